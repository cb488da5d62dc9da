{{/* Names, labels, and which Deployments of workers there are. */}}

{{- define "prosa.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "prosa.fullname" -}}
{{- $name := include "prosa.name" . }}
{{- $full := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) }}
{{- default $full .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{/* Of (dict "root" . "component" …): what selects the pods of a component. Never changes from release to release. */}}
{{- define "prosa.selector" -}}
app.kubernetes.io/name: {{ include "prosa.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- with .workers }}
prosa/workers: {{ . }}
{{- end }}
{{- end }}

{{- define "prosa.labels" -}}
{{ include "prosa.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end }}

{{- define "prosa.image" -}}
{{- $of := .Values.image }}
{{- if $of.digest }}{{ $of.repository }}@{{ $of.digest }}{{ else }}{{ $of.repository }}:{{ $of.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{/* The Deployments of workers by name, each with all that holds for it: `worker`, and over it what `pools` says. */}}
{{- define "prosa.workers" -}}
{{- $base := .Values.worker }}
{{- $found := dict }}
{{- range $name, $own := .Values.pools }}
{{- $full := printf "%s-worker-%s" (include "prosa.fullname" $) $name }}
{{- $pools := ternary $own.pools (list $name) (hasKey $own "pools") }}
{{- $one := mustMergeOverwrite (deepCopy $base) (deepCopy $own) (dict "fullname" $full "pools" $pools) }}
{{- $_ := set $found $name $one }}
{{- else }}
{{- $full := printf "%s-worker" (include "prosa.fullname" $) }}
{{- $_ := set $found "all" (mustMergeOverwrite (deepCopy $base) (dict "fullname" $full "pools" list)) }}
{{- end }}
{{- range $name, $one := $found }}
{{- if gt (int $one.autoscaling.minReplicas) (int $one.autoscaling.maxReplicas) }}
{{- fail (printf "%s: autoscaling.minReplicas is above maxReplicas. Correct one of them." $one.fullname) }}
{{- end }}
{{- end }}
{{- toJson $found }}
{{- end }}

{{/* How many connections to PostgreSQL all processes open at most, with those that an upgrade starts beside the old. */}}
{{- define "prosa.connections" -}}
{{- $each := add 1 (.Values.settings.database_connections | default 10) }}
{{- $processes := add 1 (include "prosa.most" .Values.gateway.autoscaling) }}
{{- range include "prosa.workers" . | fromJson }}
{{- $processes = add $processes 1 (include "prosa.most" .autoscaling) }}
{{- end }}
{{- mul $processes $each }}
{{- end }}

{{- define "prosa.most" -}}
{{- ternary .maxReplicas .minReplicas .enabled | int }}
{{- end }}

{{/* The ports of the external services, for network policies: of (dict "external" … "usual" …). */}}
{{- define "prosa.port" -}}
{{- $host := "" }}
{{- with .external.url }}{{ $host = (urlParse .).host }}{{ end }}
{{- $given := regexFind ":[0-9]+$" $host | trimPrefix ":" }}
{{- if $given }}{{ $given }}{{ else if .external.url }}{{ .usual }}{{ else }}{{ int .external.port }}{{ end }}
{{- end }}
