{{/* What every pod of Prosa is made of. */}}

{{/* Of (dict "root" . "account" …): nobody is root, nobody holds a token of the cluster, nothing leaks in. */}}
{{- define "prosa.pod" -}}
serviceAccountName: {{ .account }}
automountServiceAccountToken: false
# Else a Service called prosa would be told to us as PROSA_PORT=tcp://…, which is no port.
enableServiceLinks: false
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
  - name: {{ . }}
{{- end }}
{{- end }}
securityContext:
  {{- include "prosa.podSecurity" 10001 | nindent 2 }}
{{- end }}

{{/* Of the user's number. */}}
{{- define "prosa.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ . }}
runAsGroup: {{ . }}
fsGroup: {{ . }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "prosa.confined" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Of (dict "root" . "component" … "workers" …). */}}
{{- define "prosa.spread" -}}
{{- $selector := include "prosa.selector" . }}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- maxSkew: 1
  topologyKey: {{ . }}
  whenUnsatisfiable: {{ $.root.Values.spread.whenUnsatisfiable }}
  # An upgrade's new pods are spread among themselves.
  matchLabelKeys: [pod-template-hash]
  labelSelector:
    matchLabels:
      {{- $selector | nindent 6 }}
{{- end }}
{{- end }}

{{/* Where nodes of one kind are wanted: of `gateway` or of a Deployment of workers. */}}
{{- define "prosa.placed" -}}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* Of (dict "port" …): live from the start, ready once the database and, in a worker, the models are there. */}}
{{- define "prosa.probes" -}}
startupProbe:
  httpGet: { path: /health/live, port: {{ .port }} }
  periodSeconds: 2
  failureThreshold: 45
  timeoutSeconds: 2
# It asks the database, which has 2 s to answer.
readinessProbe:
  httpGet: { path: /health/ready, port: {{ .port }} }
  periodSeconds: 3
  failureThreshold: 2
  timeoutSeconds: 4
livenessProbe:
  httpGet: { path: /health/live, port: {{ .port }} }
  periodSeconds: 10
  failureThreshold: 6
  timeoutSeconds: 5
{{- end }}

{{/* Seconds that a process takes to leave, rounded up, and a margin. */}}
{{- define "prosa.grace" -}}
{{- $sum := 0.0 }}
{{- range . }}{{ $sum = addf $sum . }}{{ end }}
{{- ceil $sum | int }}
{{- end }}

{{/* A value as a variable: true, 1048576 and a,b rather than Go's idea of them. */}}
{{- define "prosa.text" -}}
{{- if kindIs "string" . }}{{ . }}{{ else if kindIs "slice" . }}{{ join "," . }}{{ else }}{{ toJson . }}{{ end }}
{{- end }}

{{/* The database, for whatever needs no more. */}}
{{- define "prosa.env.database" -}}
{{- $of := .Values.postgresql }}
{{- if $of.bundled }}
- name: PROSA_DATABASE_URL
  value: postgresql://prosa@{{ include "prosa.fullname" . }}-postgresql:5432/prosa
{{- else if $of.external.url }}
- name: PROSA_DATABASE_URL
  value: {{ $of.external.url | quote }}
{{- else }}
- name: PROSA_DATABASE_URL_FILE
  value: /secrets/postgres/url
{{- end }}
{{- if or $of.bundled $of.external.passwordSecret }}
- name: PROSA_DATABASE_PASSWORD_FILE
  value: /secrets/postgres/password
{{- end }}
- name: PROSA_LOG_FORMAT
  value: {{ .Values.settings.log_format | default "json" }}
{{- end }}

{{- define "prosa.env.broker" -}}
{{- $of := .Values.rabbitmq }}
{{- if $of.bundled }}
- name: PROSA_BROKER_URL
  value: amqp://prosa@{{ include "prosa.fullname" . }}-rabbitmq:5672/
{{- else if $of.external.url }}
- name: PROSA_BROKER_URL
  value: {{ $of.external.url | quote }}
{{- else }}
- name: PROSA_BROKER_URL_FILE
  value: /secrets/rabbitmq/url
{{- end }}
{{- if or $of.bundled $of.external.passwordSecret }}
- name: PROSA_BROKER_PASSWORD_FILE
  value: /secrets/rabbitmq/password
{{- end }}
{{- end }}

{{/* What gateways and workers have in common. */}}
{{- define "prosa.env" -}}
{{- $secure := and .Values.ingress.enabled .Values.ingress.tls }}
{{- $settings := merge (dict) .Values.settings (ternary (dict "secure_cookies" "on") (dict) (not (empty $secure))) }}
{{- include "prosa.env.database" . }}
{{- include "prosa.env.broker" . | nindent 0 }}
- name: PROSA_METRICS_TOKEN_FILE
  value: /secrets/metrics/token
- name: PROSA_HOST
  value: {{ .Values.listenHost | quote }}
{{- if or .Values.config.toml .Values.config.configMap }}
- name: PROSA_CONFIG
  value: /etc/prosa/prosa.toml
{{- end }}
{{- if .Values.otlpHeaders }}
- name: PROSA_OTLP_HEADERS_FILE
  value: /secrets/traces/headers
{{- end }}
{{- range $name, $value := omit $settings "log_format" }}
- name: PROSA_{{ upper $name }}
  value: {{ include "prosa.text" $value | quote }}
{{- end }}
{{- end }}

{{/* Of a Secret as { name, key } and the path under /secrets: one source of the volume. */}}
{{- define "prosa.source" -}}
- secret:
    name: {{ .of.name }}
    items:
      - key: {{ .of.key }}
        path: {{ .path }}
{{- end }}

{{/* A key of the Secret that is made here, or of yours in its place. */}}
{{- define "prosa.made" -}}
{{- dict "name" (.root.Values.existingSecret | default (printf "%s-secrets" (include "prosa.fullname" .root))) "key" .key | toJson }}
{{- end }}

{{- define "prosa.sources.database" -}}
{{- $of := .Values.postgresql }}
{{- if $of.bundled }}
{{- $made := include "prosa.made" (dict "root" . "key" "postgresql-password") | fromJson }}
{{- include "prosa.source" (dict "of" $made "path" "postgres/password") }}
{{- else }}
{{- with $of.external.passwordSecret }}{{ include "prosa.source" (dict "of" . "path" "postgres/password") | nindent 0 }}{{ end }}
{{- with $of.external.urlSecret }}{{ include "prosa.source" (dict "of" . "path" "postgres/url") | nindent 0 }}{{ end }}
{{- end }}
{{- end }}

{{- define "prosa.sources" -}}
{{- $of := .Values.rabbitmq }}
{{- include "prosa.sources.database" . }}
{{- if $of.bundled }}
{{- $made := include "prosa.made" (dict "root" . "key" "rabbitmq-password") | fromJson }}
{{- include "prosa.source" (dict "of" $made "path" "rabbitmq/password") | nindent 0 }}
{{- else }}
{{- with $of.external.passwordSecret }}{{ include "prosa.source" (dict "of" . "path" "rabbitmq/password") | nindent 0 }}{{ end }}
{{- with $of.external.urlSecret }}{{ include "prosa.source" (dict "of" . "path" "rabbitmq/url") | nindent 0 }}{{ end }}
{{- end }}
{{- $token := include "prosa.made" (dict "root" . "key" "metrics-token") | fromJson }}
{{- include "prosa.source" (dict "of" $token "path" "metrics/token") | nindent 0 }}
{{- with .Values.otlpHeaders }}{{ include "prosa.source" (dict "of" . "path" "traces/headers") | nindent 0 }}{{ end }}
{{- end }}

{{/* Of (dict "root" . "sources" …). */}}
{{- define "prosa.volumes" -}}
- name: secrets
  projected:
    defaultMode: 0440
    sources:
      {{- .sources | trim | nindent 6 }}
{{- with .root.Values.config }}
{{- if or .toml .configMap }}
- name: config
  configMap:
    name: {{ .configMap | default (printf "%s-config" (include "prosa.fullname" $.root)) }}
    items:
      - key: prosa.toml
        path: prosa.toml
{{- end }}
{{- end }}
- name: data
  emptyDir: { sizeLimit: 64Mi }
- name: tmp
  emptyDir: { sizeLimit: 256Mi }
{{- end }}

{{/* `bare`: for `prosa migrate`, which needs no models. */}}
{{- define "prosa.mounts" -}}
- name: secrets
  mountPath: /secrets
  readOnly: true
{{- if and (not .bare) (or .root.Values.config.toml .root.Values.config.configMap) }}
- name: config
  mountPath: /etc/prosa
  readOnly: true
{{- end }}
- name: data
  mountPath: /var/lib/prosa
- name: tmp
  mountPath: /tmp
{{- end }}

{{- define "prosa.migrate" -}}
name: migrate
image: {{ include "prosa.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
args: [migrate]
env:
  {{- include "prosa.env.database" . | trim | nindent 2 }}
volumeMounts:
  {{- include "prosa.mounts" (dict "root" . "bare" true) | nindent 2 }}
securityContext:
  {{- include "prosa.confined" . | nindent 2 }}
resources:
  {{- toYaml .Values.migrations.resources | nindent 2 }}
{{- end }}

{{/* What makes a new release start new pods: nothing else tells them of other models. */}}
{{- define "prosa.annotations" -}}
prosa/config: {{ .root.Values.config.toml | sha256sum | trunc 16 | quote }}
{{- with .own }}
{{ toYaml . }}
{{- end }}
{{- end }}
