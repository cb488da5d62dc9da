{{/* Who may reach whom. What is not said here is refused. */}}

{{- define "prosa.to.names" -}}
- ports:
    - { protocol: UDP, port: 53 }
    - { protocol: TCP, port: 53 }
{{- end }}

{{/* Of (dict "root" . "component" …): pods of this release. */}}
{{- define "prosa.peer" -}}
- podSelector:
    matchLabels:
      {{- include "prosa.selector" . | nindent 6 }}
{{- end }}

{{- define "prosa.to.database" -}}
{{- $of := .Values.postgresql -}}
- ports:
    - { protocol: TCP, port: {{ if $of.bundled }}5432{{ else }}{{ include "prosa.port" (dict "external" $of.external "usual" 5432) }}{{ end }} }
  {{- if $of.bundled }}
  to:
    {{- include "prosa.peer" (dict "root" . "component" "postgresql") | nindent 4 }}
  {{- else if .Values.networkPolicy.database }}
  to:
    {{- toYaml .Values.networkPolicy.database | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "prosa.to.broker" -}}
{{- $of := .Values.rabbitmq -}}
{{- $usual := ternary 5671 5672 (hasPrefix "amqps:" $of.external.url) -}}
- ports:
    - { protocol: TCP, port: {{ if $of.bundled }}5672{{ else }}{{ include "prosa.port" (dict "external" $of.external "usual" $usual) }}{{ end }} }
  {{- if $of.bundled }}
  to:
    {{- include "prosa.peer" (dict "root" . "component" "rabbitmq") | nindent 4 }}
  {{- else if .Values.networkPolicy.broker }}
  to:
    {{- toYaml .Values.networkPolicy.broker | nindent 4 }}
  {{- end }}
{{- end }}

{{- define "prosa.to.traces" -}}
{{- with .Values.settings.otlp_endpoint }}
{{- $port := regexFind ":[0-9]+$" (urlParse .).host | trimPrefix ":" }}
- ports:
    - { protocol: TCP, port: {{ $port | default (ternary 443 80 (hasPrefix "https:" .)) }} }
  {{- with $.Values.networkPolicy.traces }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Of (dict "root" . "port" …). */}}
{{- define "prosa.from.prometheus" -}}
- ports:
    - { protocol: TCP, port: {{ .port }} }
  from:
    {{- toYaml .root.Values.networkPolicy.metrics | nindent 4 }}
{{- end }}

{{/* Of (dict "root" . "port" …): gateways, workers, and the first container of either. */}}
{{- define "prosa.from.processes" -}}
- ports:
    - { protocol: TCP, port: {{ .port }} }
  from:
    {{- range list "gateway" "worker" }}
    {{- include "prosa.peer" (dict "root" $.root "component" .) | nindent 4 }}
    {{- end }}
{{- end }}
