{{/*
outrider.deployment is the Deployment of a component:
  root, settings   the context, and .Webhook or .ControlPlane
  name, component  its name without the revision, and the argument of --components
*/}}
{{- define "outrider.deployment" -}}
{{- $root := .root -}}
{{- $labels := include "outrider.labels" (list .root .name) -}}
{{- $app := printf "%s%s" .name .root.Suffix -}}
{{- with .settings -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ $app }}
  namespace: {{ $root.Release.Namespace | toYaml }}
  labels:
    {{- $labels | nindent 4 }}
    {{- with .deploymentLabels }}
    {{- include "outrider.strings" . | nindent 4 }}
    {{- end }}
  {{- with .deploymentAnnotations }}
  annotations:
    {{- include "outrider.strings" . | nindent 4 }}
  {{- end }}
spec:
  replicas: {{ int64 .replicaCount }}
  # Nodes see a ready pod with a delay. Rollouts, and the old replicas in an
  # update, wait for it.
  minReadySeconds: 3
  selector:
    matchLabels: {app: {{ $app }}}
  strategy:
    {{- if .hostNetwork }}
    # The port of a node is free when the old replica has stopped.
    {{- else }}
    # Old replicas are kept until the new ones are ready.
    {{- end }}
    rollingUpdate:
      maxUnavailable: {{ hasKey . "rollingMaxUnavailable" | ternary .rollingMaxUnavailable (ternary 1 0 .hostNetwork) }}
      maxSurge: {{ hasKey . "rollingMaxSurge" | ternary .rollingMaxSurge (ternary 0 1 .hostNetwork) }}
  template:
    metadata:
      labels:
        {{- $labels | nindent 8 }}
        # The webhook configurations already exclude the namespace.
        sidecar.istio.io/inject: "false"
        {{- with .podLabels }}
        {{- include "outrider.strings" . | nindent 8 }}
        {{- end }}
      annotations:
        {{- $annotations := dict "kubectl.kubernetes.io/default-container" "outrider" "prometheus.io/scrape" "true" "prometheus.io/port" (.ports.monitoring | toString) }}
        {{- include "outrider.overlay" (list $annotations .podAnnotations) }}
        {{- include "outrider.strings" $annotations | nindent 8 }}
    spec:
      serviceAccountName: {{ $app }}
      {{- with $root.V.global.imagePullSecrets }}
      imagePullSecrets:
      {{- range include "outrider.items" . | fromYamlArray }}
      - name: {{ . }}
      {{- end }}
      {{- end }}
      {{- if .hostNetwork }}
      hostNetwork: true
      dnsPolicy: ClusterFirstWithHostNet
      {{- end }}
      {{- if $root.V.global.priorityClassName }}
      priorityClassName: {{ $root.V.global.priorityClassName }}
      {{- else if $root.V.priorityClass.create }}
      priorityClassName: outrider{{ $root.Suffix }}
      {{- end }}
      # More than the shutdown delay and the ten seconds for active requests.
      terminationGracePeriodSeconds: {{ .terminationGracePeriodSeconds }}
      {{- with .nodeSelector }}
      nodeSelector:
        {{- include "outrider.strings" . | nindent 8 }}
      {{- end }}
      {{- with .tolerations }}
      tolerations:
      {{- toYaml . | nindent 6 }}
      {{- end }}
      {{- include "outrider.affinity" (list . $app) | nindent 6 }}
      topologySpreadConstraints:
      {{- with .topologySpreadConstraints }}
      {{- range . }}
      {{- $constraint := deepCopy . }}
      {{- if not (hasKey . "labelSelector") }}
      {{- $_ := set $constraint "labelSelector" (dict "matchLabels" (dict "app" $app)) }}
      {{- end }}
      - {{ toYaml $constraint | nindent 8 | trim }}
      {{- end }}
      {{- else }}
      - maxSkew: 1
        topologyKey: topology.kubernetes.io/zone
        whenUnsatisfiable: ScheduleAnyway
        labelSelector:
          matchLabels: {app: {{ $app }}}
      {{- end }}
      securityContext:
        runAsNonRoot: true
        {{- /* On OpenShift the namespace has a range of user ids. */}}
        {{- if ne $root.V.global.platform "openshift" }}
        {{- with .runAsUser }}
        runAsUser: {{ int64 . }}
        {{- end }}
        {{- with .runAsGroup }}
        runAsGroup: {{ int64 . }}
        {{- end }}
        {{- end }}
        {{- with .seccompProfile }}
        seccompProfile:
          {{- toYaml . | nindent 10 }}
        {{- end }}
      containers:
      - name: outrider
        image: {{ include "outrider.image" (list $root .) }}
        {{- with $root.V.global.imagePullPolicy }}
        imagePullPolicy: {{ . }}
        {{- end }}
        args:
        - serve
        - --components={{ $.component }}
        - --namespace={{ $root.Release.Namespace }}
        {{- if $root.Suffix }}
        - --revision={{ $root.Revision }}
        {{- end }}
        {{- if and $root.Tags (eq $.component "webhook") }}
        - --revision-tags={{ join "," $root.Tags }}
        {{- end }}
        # Keep serving while nodes update their endpoints; the image has no shell
        # for a preStop hook.
        - --shutdown-delay=5s
        {{- if and (eq $.component "xds") (ne (toString $root.V.crds.enabled) "auto") }}
        - --skip-crds
        {{- end }}
        {{- if eq $.component "xds" }}
        {{- with $root.V.egressReports }}
        {{- if not .enabled }}
        - --egress-reports=false
        {{- else if ne .retention "360h" }}
        - --egress-report-retention={{ .retention }}
        {{- end }}
        {{- end }}
        {{- if not $root.V.blockedResponseBody }}
        - --blocked-response-body=false
        {{- end }}
        {{- end }}
        {{- if eq $.component "webhook" }}
        {{- with $root.V.podCounts }}
        {{- if not .enabled }}
        - --pod-count-interval=0
        {{- else if ne .interval "10m" }}
        - --pod-count-interval={{ .interval }}
        {{- end }}
        {{- end }}
        {{- end }}
        {{- if ne .logLevel "info" }}
        - --log-level={{ .logLevel }}
        {{- end }}
        {{- with .ports }}
        {{- $https := .webhook | default .validation | toString }}
        {{- if ne $https "9443" }}
        - --port={{ $https }}
        {{- end }}
        {{- if and .xds (ne (toString .xds) "15012") }}
        - --xds-address=:{{ .xds }}
        {{- end }}
        {{- if ne (toString .monitoring) "15014" }}
        - --metrics-address=:{{ .monitoring }}
        {{- end }}
        {{- if ne (toString .health) "8080" }}
        - --health-address=:{{ .health }}
        {{- end }}
        {{- end }}
        {{- range .extraContainerArgs }}
        - {{ . | toYaml }}
        {{- end }}
        {{- with .env }}
        env:
        {{- range $name, $value := . }}
        - {name: {{ $name }}, value: {{ include "outrider.text" $value | quote }}}
        {{- end }}
        {{- end }}
        ports:
        {{- range $name, $port := dict "https-webhook" "webhook" "https-validate" "validation" }}
        {{- with get $.settings.ports $port }}
        - {name: {{ $name }}, containerPort: {{ . }}}
        {{- end }}
        {{- end }}
        {{- with .ports.xds }}
        - {name: grpc-xds, containerPort: {{ . }}}
        {{- end }}
        - {name: http-monitoring, containerPort: {{ .ports.monitoring }}}
        - {name: http-health, containerPort: {{ .ports.health }}}
        startupProbe:
          httpGet: {path: /healthz, port: http-health}
          periodSeconds: 1
          failureThreshold: 60
        livenessProbe:
          httpGet: {path: /healthz, port: http-health}
          periodSeconds: 10
          failureThreshold: 6
          timeoutSeconds: 3
        readinessProbe:
          httpGet: {path: /readyz, port: http-health}
          periodSeconds: 3
          failureThreshold: 3
          timeoutSeconds: 3
        {{- if eq $.component "webhook" }}
        # No CPU limit: a throttled webhook delays the start of every pod.
        {{- else }}
        # The CPU limit leaves the rest of the node to others when many sidecars
        # reconnect.
        {{- end }}
        resources:
          {{- toYaml .resources | nindent 10 }}
        securityContext:
          readOnlyRootFilesystem: true
          allowPrivilegeEscalation: false
          capabilities: {drop: [ALL]}
        {{- with .volumeMounts }}
        volumeMounts:
        {{- toYaml . | nindent 8 }}
        {{- end }}
      {{- with .volumes }}
      volumes:
      {{- toYaml . | nindent 6 }}
      {{- end }}
{{- end -}}
{{- end -}}

{{/* The affinity of the pods of a Deployment; a list of its settings and its label. */}}
{{- define "outrider.affinity" -}}
{{- $app := index . 1 -}}
{{- with index . 0 -}}
{{- $own := hasKey .affinity "podAntiAffinity" -}}
{{- if or .affinity (ne .podAntiAffinity "none") -}}
affinity:
  {{- with .affinity }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- if and (not $own) (eq .podAntiAffinity "preferred") }}
  podAntiAffinity:
    # Preferred, because a cluster may have a single node.
    preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      podAffinityTerm:
        topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels: {app: {{ $app }}}
  {{- else if and (not $own) (eq .podAntiAffinity "required") }}
  podAntiAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
    - topologyKey: kubernetes.io/hostname
      labelSelector:
        matchLabels: {app: {{ $app }}}
      {{- /* Replicas of an update count alone: otherwise a new one would need a node
             without an old one. */}}
      matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end -}}
{{- end -}}
{{- end -}}
