{{- define "a.name" -}}
{{- if contains "affectstream" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-affectstream" (.Release.Name | trunc 27) }}{{ end -}}
{{- end }}

{{- define "a.select" -}}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/name: affectstream
app.kubernetes.io/component: {{ .part }}
{{- end }}

{{- define "a.labels" -}}
{{ include "a.select" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ .root.Chart.Name }}-{{ .root.Chart.Version }}
{{- end }}

{{- /* An image of ours has the prefix, one of others stands for itself. */ -}}
{{- define "a.image" -}}
{{ if hasPrefix "affectstream/" .image.repository }}{{ .root.Values.imagePrefix }}{{ end }}{{ .image.repository }}:{{ .image.tag }}
{{- end }}

{{- define "a.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .user }}
  runAsGroup: {{ .group }}
  fsGroup: {{ .group }}
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{- define "a.confined" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "a.spread" -}}
topologySpreadConstraints:
  {{- range $key := list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
  - maxSkew: 1
    topologyKey: {{ $key }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector: {matchLabels: {{ include "a.select" $ | fromYaml | toJson }}}
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}

{{- define "a.drainSeconds" -}}
{{ (.Values.settings.server | default dict).drain_s | default 10 }}
{{- end }}

{{- define "a.replicasHost" -}}
{{ include "a.name" . }}-replicas.{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}
{{- end }}
