{{/*
outrider.hook.job: the Job .name of a hook that runs the program with .args, as the
service account of the same name.
*/}}
{{- define "outrider.hook.job" -}}
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .name }}
  namespace: {{ .Release.Namespace | toYaml }}
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
      {{- with (.Values.global | default dict).imagePullSecrets }}
      imagePullSecrets:
      {{- range . }}
      - name: {{ . }}
      {{- end }}
      {{- end }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        seccompProfile: {type: RuntimeDefault}
      containers:
      - name: outrider
        image: {{ .image }}
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

{{/* outrider.hook.image: the program's image. */}}
{{- define "outrider.hook.image" -}}
docker.io/outrider/outrider:dev
{{- end -}}
