{{/* How many, how fast, and how many may be missing. */}}

{{- define "prosa.cpu" -}}
- type: Resource
  resource:
    name: cpu
    target: { type: Utilization, averageUtilization: {{ int .cpuPercent }} }
{{- end }}

{{/* Up at once, at most twofold in half a minute; down after a quiet time, one a minute: each one drains. */}}
{{- define "prosa.behavior" -}}
scaleUp:
  stabilizationWindowSeconds: 0
  selectPolicy: Max
  policies:
    - { type: Percent, value: 100, periodSeconds: 30 }
    - { type: Pods, value: 2, periodSeconds: 30 }
scaleDown:
  stabilizationWindowSeconds: {{ int .downAfterSeconds }}
  selectPolicy: Max
  policies:
    - { type: Pods, value: 1, periodSeconds: 60 }
{{- end }}

{{- define "prosa.disruption" -}}
maxUnavailable: {{ .Values.disruption.maxUnavailable }}
# One that is not ready serves nobody: it need not be kept.
unhealthyPodEvictionPolicy: AlwaysAllow
{{- end }}

{{/* Labels in a query: of (dict "base" SELECTOR "more" …). */}}
{{- define "prosa.where" -}}
{{- $both := list }}
{{- with .base }}{{ $both = append $both . }}{{ end }}
{{- with .more }}{{ $both = append $both . }}{{ end }}
{{- join "," $both }}
{{- end }}

{{/* The pools as a pattern of Prometheus, as it stands in a string of a query. */}}
{{- define "prosa.pattern" -}}
{{- $quoted := list }}
{{- range . }}{{ $quoted = append $quoted (regexQuoteMeta .) }}{{ end }}
{{- join "|" $quoted | replace "\\" "\\\\" }}
{{- end }}

{{/* How many runs wait or run. Every gateway tells of all of them: the max is the number, a sum is none. A pool's are
the messages of its queue, which are there until their run ends. */}}
{{- define "prosa.query.demand" -}}
{{- $own := tpl .root.Values.keda.prometheus.selector .root }}
{{- if .pools }}
{{- $rabbit := tpl .root.Values.keda.prometheus.rabbitmqSelector .root }}
{{- $queues := printf "queue=~\"prosa\\\\.jobs\\\\.v1\\\\.(%s)\"" (include "prosa.pattern" .pools) -}}
sum(rabbitmq_detailed_queue_messages{ {{- include "prosa.where" (dict "base" $rabbit "more" $queues) -}} })
{{- else -}}
max(prosa_runs{ {{- include "prosa.where" (dict "base" $own "more" "state=\"queued\"") -}} })
+ max(prosa_runs{ {{- include "prosa.where" (dict "base" $own "more" "state=\"running\"") -}} })
{{- end }}
{{- end }}

{{/* How long they wait. The store knows the oldest of all pools; of one pool, how long its latest had waited. */}}
{{- define "prosa.query.age" -}}
{{- $own := tpl .root.Values.keda.prometheus.selector .root }}
{{- if .pools }}
{{- $pools := printf "pool=~\"%s\"" (include "prosa.pattern" .pools) -}}
(histogram_quantile(0.95, sum by (le) (rate(prosa_queue_seconds_bucket{ {{- include "prosa.where" (dict "base" $own "more" $pools) -}} }[2m]))) >= 0)
or vector(0)
{{- else -}}
max(prosa_oldest_run_seconds{ {{- include "prosa.where" (dict "base" $own "more" "state=\"queued\"") -}} })
{{- end }}
{{- end }}

{{/* Of (dict "root" . "name" … "query" … "threshold" … "type" …). */}}
{{- define "prosa.trigger" -}}
{{- $of := .root.Values.keda.prometheus -}}
- type: prometheus
  name: {{ .name }}
  metricType: {{ .type }}
  {{- with $of.authenticationRef }}
  authenticationRef:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  metadata:
    serverAddress: {{ $of.url | quote }}
    query: |-
      {{- .query | nindent 6 }}
    threshold: {{ .threshold | quote }}
    # Nothing found is no reason to take workers away: it is an error, and all stay.
    ignoreNullValues: "false"
    {{- with $of.authModes }}
    authModes: {{ . | quote }}
    {{- end }}
{{- end }}
