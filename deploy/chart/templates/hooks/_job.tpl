{{/*
outrider.hook.job: the Job .name of a hook that runs the program with .args, as the
service account of the same name.
*/}}
{{- define "outrider.hook.job" -}}
{{- $root := .root -}}
{{- $settings := $root.Webhook -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .name }}
  namespace: {{ $root.Release.Namespace | toYaml }}
  labels: {app: {{ .name }}}
  annotations:
    helm.sh/hook: {{ .events }}
    helm.sh/hook-weight: "5"
    # A Job that failed stays, for its log, until ttlSecondsAfterFinished.
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
    helm.sh/hook-output-log-policy: hook-succeeded,hook-failed
spec:
  backoffLimit: {{ .retries }}
  # Less than the five minutes that Helm waits by default: the Job then has the reason.
  activeDeadlineSeconds: 240
  ttlSecondsAfterFinished: 3600
  template:
    metadata:
      # Not the labels of the Deployments: Services must not select this pod.
      labels:
        app: {{ .name }}
        sidecar.istio.io/inject: "false"
    spec:
      serviceAccountName: {{ .name }}
      restartPolicy: Never
      {{- with $root.V.global.imagePullSecrets }}
      imagePullSecrets:
      {{- range include "outrider.items" . | fromYamlArray }}
      - name: {{ . }}
      {{- end }}
      {{- end }}
      {{- if $root.V.global.priorityClassName }}
      priorityClassName: {{ $root.V.global.priorityClassName }}
      {{- end }}
      {{- with $settings.nodeSelector }}
      nodeSelector:
        {{- include "outrider.strings" . | nindent 8 }}
      {{- end }}
      {{- with $settings.tolerations }}
      tolerations:
      {{- toYaml . | nindent 6 }}
      {{- end }}
      securityContext:
        runAsNonRoot: true
        {{- if ne $root.V.global.platform "openshift" }}
        {{- with $settings.runAsUser }}
        runAsUser: {{ . }}
        {{- end }}
        {{- with $settings.runAsGroup }}
        runAsGroup: {{ . }}
        {{- end }}
        {{- end }}
        seccompProfile: {type: RuntimeDefault}
      containers:
      - name: outrider
        image: {{ include "outrider.image" (list $root $settings) }}
        {{- with $root.V.global.imagePullPolicy }}
        imagePullPolicy: {{ . }}
        {{- end }}
        args: {{- .args | toYaml | nindent 8 }}
        resources:
          requests: {cpu: 10m, memory: 32Mi}
          limits: {memory: 128Mi}
        securityContext:
          readOnlyRootFilesystem: true
          allowPrivilegeEscalation: false
          capabilities: {drop: [ALL]}
{{- end -}}

{{/* outrider.hook.meta: metadata of an object .name that a hook needs before its Job. */}}
{{- define "outrider.hook.meta" -}}
name: {{ .name }}
{{- with .namespace }}
namespace: {{ . | toYaml }}
{{- end }}
labels: {app: {{ .name }}}
annotations:
  helm.sh/hook: {{ .events }}
  helm.sh/hook-weight: {{ .weight | toString | toJson }}
  helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}
