{{/*
outrider.init adds to the context what the templates use. Each begins with it.
  .Revision        the revision, "default" if none is set
  .Suffix          what the names of its objects end in, empty for the default revision
  .Default         whether pods and objects without a revision are this one's
  .Selects         whether its own name selects it: "default" selects the default revision
  .Tags            the tags that select it beside its name
  .V               the values: those below "values" and "pilot" are laid over the others
  .Webhook         the settings of the webhook's Deployment: the defaults, those of both
                   Deployments, its own
  .ControlPlane    the same of the control plane's
  .WebhookAnnotations  of the webhook configurations
  .EveryNamespace  whether namespaces without a label are injected
*/}}
{{- define "outrider.init" -}}
{{- if not (hasKey . "V") -}}
{{- $v := omit (deepCopy .Values) "values" -}}
{{- $istioctl := deepCopy (.Values.values | default dict) -}}
{{- $deployment := include "outrider.deploymentKeys" . | fromYamlArray -}}
{{- range $pilot := list (get $v "pilot") (get $istioctl "pilot") -}}
{{- range $key := $deployment -}}
{{- if and $pilot (hasKey $pilot $key) (ne $key "env") -}}
{{- include "outrider.overlay" (list $v (dict $key (get $pilot $key))) -}}
{{- $_ := unset $pilot $key -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- include "outrider.overlay" (list $v $istioctl) -}}
{{- $_ := set . "V" $v -}}
{{- $revision := include "outrider.text" ($v.revision | default "default") -}}
{{- $_ := set . "Revision" $revision -}}
{{- $_ := set . "Suffix" (ternary "" (printf "-%s" $revision) (eq $revision "default")) -}}
{{- $tags := without (include "outrider.items" ($v.revisionTags | default list) | fromYamlArray | uniq | sortAlpha) $revision -}}
{{- $default := or (eq ($v.defaultRevision | default "default") $revision) (has "default" $tags) -}}
{{- if and $default (ne $revision "default") -}}
{{- $tags = append $tags "default" | uniq | sortAlpha -}}
{{- end -}}
{{- $_ := set . "Default" $default -}}
{{- $_ := set . "Selects" (or $default (ne $revision "default")) -}}
{{- $_ := set . "Tags" $tags -}}
{{- $_ := set . "EveryNamespace" $v.sidecarInjectorWebhook.enableNamespacesByDefault -}}
{{- /* AKS edits webhook configurations without the annotation, at each of their updates. */ -}}
{{- $annotations := ternary (dict "admissions.enforcer/disabled" "true") dict (eq $v.global.platform "aks") -}}
{{- include "outrider.overlay" (list $annotations $v.sidecarInjectorWebhookAnnotations) -}}
{{- $_ := set . "WebhookAnnotations" $annotations -}}
{{- range $name, $component := dict "Webhook" "webhook" "ControlPlane" "controlPlane" -}}
{{- $settings := include "outrider.defaults" $component | fromYaml -}}
{{- range $key := $deployment -}}
{{- if hasKey $v $key -}}
{{- include "outrider.overlay" (list $settings (dict $key (get $v $key))) -}}
{{- end -}}
{{- end -}}
{{- include "outrider.overlay" (list $settings (get $v $component)) -}}
{{- $_ := set $ $name $settings -}}
{{- end -}}
{{- include "outrider.validate" . -}}
{{- end -}}
{{- end -}}

{{/* The values of both Deployments, which one of them may override. */}}
{{- define "outrider.deploymentKeys" -}}
[replicaCount, resources, nodeSelector, tolerations, affinity, podAntiAffinity,
topologySpreadConstraints, deploymentAnnotations, deploymentLabels, podAnnotations,
podLabels, serviceAccountAnnotations, serviceAnnotations, podDisruptionBudget,
rollingMaxSurge, rollingMaxUnavailable, terminationGracePeriodSeconds, logLevel,
extraContainerArgs, env, volumes, volumeMounts, hostNetwork, runAsUser, runAsGroup,
seccompProfile, hub, tag, image]
{{- end -}}

{{/* The defaults of a Deployment that values.yaml does not have. */}}
{{- define "outrider.defaults" -}}
terminationGracePeriodSeconds: 30
logLevel: info
hostNetwork: false
runAsUser: 65532
runAsGroup: 65532
seccompProfile: {type: RuntimeDefault}
podDisruptionBudget: {unhealthyPodEvictionPolicy: AlwaysAllow}
{{- /* By make bench-serve: the webhook takes 15 MiB idle and up to 50 MiB, and 35m at 50 pods
a second; the control plane 3m and 17 MiB idle, and 0.1 MiB for each sidecar: 128Mi are
enough for 1,000. */}}
{{- if eq . "webhook" }}
resources:
  requests: {cpu: 50m, memory: 64Mi}
  limits: {memory: 512Mi}
ports: {webhook: 9443, monitoring: 15014, health: 8080}
{{- else }}
resources:
  requests: {cpu: 50m, memory: 128Mi}
  limits: {cpu: "2", memory: 512Mi}
ports: {validation: 9443, xds: 15012, monitoring: 15014, health: 8080}
{{- end }}
{{- end -}}

{{/*
outrider.overlay lays the second mapping of a list over the first: mappings key by key,
everything else replaces, null removes. Sprig's merge functions keep false, 0 and "".
*/}}
{{- define "outrider.overlay" -}}
{{- $into := index . 0 -}}
{{- range $key, $value := index . 1 -}}
{{- if and (kindIs "map" $value) (kindIs "map" (get $into $key)) -}}
{{- include "outrider.overlay" (list (get $into $key) $value) -}}
{{- else if kindIs "invalid" $value -}}
{{- $_ := unset $into $key -}}
{{- else -}}
{{- $_ := set $into $key $value -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* What the schema cannot express: all problems at once. */}}
{{- define "outrider.validate" -}}
{{- $problems := list -}}
{{- with .V.global.istioNamespace -}}
{{- if ne . $.Release.Namespace -}}
{{- $problems = append $problems (printf "global.istioNamespace: %q: must be the namespace of the release, %q; install with --namespace %s, or remove it" . $.Release.Namespace .) -}}
{{- end -}}
{{- end -}}
{{- if not (regexMatch "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$" .Revision) -}}
{{- $problems = append $problems (printf "revision: %q: must consist of lower case letters, digits and \"-\"; use dashes instead of dots, such as 1-2-3" .Revision) -}}
{{- else if gt (len .Revision) 40 -}}
{{- $problems = append $problems (printf "revision: %q: %d characters exceed the limit of 40, which leaves room for the names of pods; use a shorter name" .Revision (len .Revision)) -}}
{{- end -}}
{{- range $name, $settings := dict "webhook" .Webhook "controlPlane" .ControlPlane -}}
{{- $used := dict -}}
{{- range $port, $number := $settings.ports -}}
{{- $key := $number | toString -}}
{{- if hasKey $used $key -}}
{{- $problems = append $problems (printf "%s.ports.%s: %s: is already %s.ports.%s; use another port" $name $port $key $name (get $used $key)) -}}
{{- end -}}
{{- $_ := set $used $key $port -}}
{{- end -}}
{{- range $label := list "app" "app.kubernetes.io/part-of" "istio.io/rev" "sidecar.istio.io/inject" -}}
{{- range $key := list "podLabels" "deploymentLabels" -}}
{{- if hasKey (get $settings $key | default dict) $label -}}
{{- $problems = append $problems (printf "%s.%s: label %s is set by the chart; remove it" $name $key $label) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not (or (contains "/" $settings.image) $settings.hub $.V.global.hub) -}}
{{- $problems = append $problems (printf "global.hub: required, because %s.image is the short name %q; set it, or use a full image reference" $name $settings.image) -}}
{{- end -}}
{{- with $settings.podDisruptionBudget -}}
{{- if and (hasKey . "minAvailable") (hasKey . "maxUnavailable") -}}
{{- $problems = append $problems (printf "%s.podDisruptionBudget: minAvailable and maxUnavailable exclude each other; remove one" $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with $problems -}}
{{- fail (printf "\n%s" (join "\n" .)) -}}
{{- end -}}
{{- end -}}

{{/* A scalar as text. Helm reads numbers of a file as floating point. */}}
{{- define "outrider.text" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) -}}{{ int64 . }}{{- else -}}{{ toString . }}{{- end -}}
{{- end -}}

{{/* A list as a string with commas, whatever it was given as. */}}
{{- define "outrider.joined" -}}
{{- if kindIs "slice" . -}}
{{- $out := list -}}
{{- range . -}}{{- $out = append $out (include "outrider.text" .) -}}{{- end -}}
{{- join "," $out -}}
{{- else -}}
{{- include "outrider.text" . -}}
{{- end -}}
{{- end -}}

{{/* The items of a list, given as a list or as a string with commas, as YAML. */}}
{{- define "outrider.items" -}}
{{- $out := list -}}
{{- range splitList "," (include "outrider.joined" .) -}}
{{- with trim . -}}{{- $out = append $out . -}}{{- end -}}
{{- end -}}
{{- toYaml $out -}}
{{- end -}}

{{/* A mapping whose values are strings, as YAML. */}}
{{- define "outrider.strings" -}}
{{- $out := dict -}}
{{- range $key, $value := . -}}{{- $_ := set $out $key (include "outrider.text" $value) -}}{{- end -}}
{{- toYaml $out -}}
{{- end -}}

{{/* The labels of every object of a Deployment, the second item of the list. */}}
{{- define "outrider.labels" -}}
{{- $root := index . 0 -}}
app: {{ index . 1 }}{{ $root.Suffix }}
app.kubernetes.io/part-of: outrider{{ $root.Suffix }}
istio.io/rev: {{ $root.Revision | toYaml }}
{{- end -}}

{{/* The image of a Deployment's settings; the second item of the list. */}}
{{- define "outrider.image" -}}
{{- $root := index . 0 -}}
{{- with index . 1 -}}
{{- if contains "/" .image -}}
{{- .image -}}
{{- else -}}
{{- $tag := include "outrider.text" (.tag | default $root.V.global.tag | default $root.Chart.AppVersion) -}}
{{- printf "%s/%s" (.hub | default $root.V.global.hub) .image -}}
{{- if not (regexMatch "[:@]" .image) -}}:{{ $tag }}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/*
outrider.bundle adds .Bundle: the CA bundle that the control plane of the revision has
published in its own webhook configuration, where Helm reaches the cluster.
*/}}
{{- define "outrider.bundle" -}}
{{- $own := lookup "admissionregistration.k8s.io/v1" "ValidatingWebhookConfiguration" "" (printf "outrider-sidecar-injector%s" .Suffix) -}}
{{- $bundle := "" -}}
{{- range ((default dict $own).webhooks | default list) -}}
{{- $bundle = (.clientConfig.caBundle | default "") -}}
{{- end -}}
{{- $_ := set . "Bundle" $bundle -}}
{{- end -}}
