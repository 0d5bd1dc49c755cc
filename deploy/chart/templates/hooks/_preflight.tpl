{{/* outrider.preflight.own: "true" if the object .object is of this release. */}}
{{- define "outrider.preflight.own" -}}
{{- $annotations := .object.metadata.annotations | default dict -}}
{{- and (eq (index $annotations "meta.helm.sh/release-name" | default "") .Release.Name) (eq (index $annotations "meta.helm.sh/release-namespace" | default "") .Release.Namespace) -}}
{{- end -}}

{{/* outrider.preflight.release: whose the object .object is, in words. */}}
{{- define "outrider.preflight.release" -}}
{{- $annotations := .object.metadata.annotations | default dict -}}
{{- with index $annotations "meta.helm.sh/release-name" -}}
Helm release {{ . }} in namespace {{ index $annotations "meta.helm.sh/release-namespace" }}
{{- else -}}
no Helm release
{{- end -}}
{{- end -}}

{{/* outrider.preflight.outrider: "true" if the webhook configuration is Outrider's. */}}
{{- define "outrider.preflight.outrider" -}}
{{- $outrider := false -}}
{{- range .webhooks -}}
{{- if hasPrefix "outrider" ((.clientConfig.service | default dict).name | default "") -}}{{- $outrider = true -}}{{- end -}}
{{- end -}}
{{- $outrider -}}
{{- end -}}

{{/*
outrider.preflight.webhooks: problems with other injectors, as a JSON list. Istio's
control plane writes caBundle of every configuration with the label of its revision,
wherever it runs; and a pod that two webhooks select is injected twice.
*/}}
{{- define "outrider.preflight.webhooks" -}}
{{- $context := . -}}
{{- $own := printf "outrider-sidecar-injector%s" .Suffix -}}
{{- $names := append .Tags .Revision -}}
{{- /* The tags that the release has in the cluster. */ -}}
{{- $had := list -}}
{{- range (dig "spec" "template" "spec" "containers" list (lookup "apps/v1" "Deployment" .Release.Namespace (printf "outrider%s" .Suffix))) -}}
  {{- range .args -}}
    {{- if hasPrefix "--revision-tags=" . -}}{{- $had = splitList "," (trimPrefix "--revision-tags=" .) -}}{{- end -}}
  {{- end -}}
{{- end -}}
{{- $problems := list -}}
{{- range $c := (lookup "admissionregistration.k8s.io/v1" "MutatingWebhookConfiguration" "" "").items -}}
  {{- $labels := $c.metadata.labels | default dict -}}
  {{- $name := $c.metadata.name -}}
  {{- $release := include "outrider.preflight.release" (dict "object" $c) -}}
  {{- if eq (include "outrider.preflight.own" (dict "object" $c "Release" $context.Release)) "true" -}}
  {{- else if eq $name $own -}}
    {{- if hasPrefix "Helm release" $release -}}
      {{- $problems = append $problems (printf "MutatingWebhookConfiguration %s: revision %q is installed already, by %s; upgrade that release, or install another revision: --set revision=NAME" $name $context.Revision $release) -}}
    {{- end -}}
  {{- else if and (eq (include "outrider.preflight.outrider" $c) "true") (has (index $labels "istio.io/tag" | default "") $context.Tags) -}}
    {{- /* A tag that moves from another revision to this one: Helm asks for --take-ownership. But Helm does not look again
    at an object that the release had before. */ -}}
    {{- $tag := index $labels "istio.io/tag" -}}
    {{- if and $context.Release.IsUpgrade (has $tag $had) (hasPrefix "Helm release" $release) -}}
      {{- $problems = append $problems (printf "MutatingWebhookConfiguration %s: tag %q was moved to %s; remove it from this release's revisionTags, and from defaultRevision if it is \"default\"" $name $tag $release) -}}
    {{- end -}}
  {{- else if and (ne (include "outrider.preflight.outrider" $c) "true") (or (has (index $labels "istio.io/rev" | default "") $names) (has (index $labels "istio.io/tag" | default "") $names)) -}}
    {{- $problems = append $problems (printf "MutatingWebhookConfiguration %s (%s): Istio's revision %q is installed, and injects the same pods; install Outrider as another revision: --set revision=outrider, or uninstall Istio first: istioctl uninstall --revision %s" $name $release $context.Revision $context.Revision) -}}
  {{- else if $context.Default -}}
    {{- $double := "" -}}
    {{- range $w := $c.webhooks -}}
      {{- range ($w.namespaceSelector | default dict).matchExpressions -}}
        {{- if and (eq .key "istio-injection") (eq .operator "In") (has "enabled" .values) -}}
          {{- $double = $w.name -}}
        {{- end -}}
      {{- end -}}
    {{- end -}}
    {{- if and $double (eq (include "outrider.preflight.outrider" $c) "true") -}}
      {{- /* Both are the default revision for a moment while it moves: a pod that both inject has one sidecar. */ -}}
      {{- if $context.Release.IsInstall -}}
        {{- $problems = append $problems (printf "MutatingWebhookConfiguration %s (%s): its webhook %s injects pods of namespaces with istio-injection=enabled, too; install this revision beside it first, without being the default one: --set defaultRevision=default" $name $release $double) -}}
      {{- end -}}
    {{- else if $double -}}
      {{- $problems = append $problems (printf "MutatingWebhookConfiguration %s (%s): its webhook %s injects pods of namespaces with istio-injection=enabled, too; install Outrider as another revision: --set revision=outrider, or delete that configuration" $name $release $double) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}

{{/*
outrider.preflight.manifests: problems with objects of the release's names that Helm
does not manage, as a JSON list.
*/}}
{{- define "outrider.preflight.manifests" -}}
{{- $context := . -}}
{{- $problems := list -}}
{{- $deployment := lookup "apps/v1" "Deployment" .Release.Namespace (printf "outrider%s" .Suffix) -}}
{{- $applied := and $deployment (hasPrefix "no " (include "outrider.preflight.release" (dict "object" $deployment))) -}}
{{- if and $applied (not .V.hooks.adopt) -}}
  {{- $problems = append $problems (printf "Deployment %s/%s: Outrider is installed already, by kubectl apply; adopt it: add --take-ownership --force-conflicts --set hooks.adopt=true, with the settings of its ConfigMaps among your values; or remove it first: outrider uninstall --yes --istioNamespace %s && kubectl delete -f deploy/" .Release.Namespace $deployment.metadata.name .Release.Namespace) -}}
{{- end -}}
{{- if not $applied -}}
  {{- range $base := list "istio-sidecar-injector" "istio" -}}
    {{- $name := printf "%s%s" $base $context.Suffix -}}
    {{- $object := lookup "v1" "ConfigMap" $context.Release.Namespace $name -}}
    {{- if and $object (not (eq (include "outrider.preflight.own" (dict "object" $object "Release" $context.Release)) "true")) -}}
      {{- $labels := $object.metadata.labels | default dict -}}
      {{- $release := include "outrider.preflight.release" (dict "object" $object) -}}
      {{- if or (hasKey $labels "operator.istio.io/component") (hasPrefix "Helm release" $release) -}}
        {{- $problems = append $problems (printf "ConfigMap %s/%s (%s): it configures Istio's revision %q; install Outrider in another namespace, or as another revision: --set revision=outrider" $context.Release.Namespace $name $release $context.Revision) -}}
      {{- else if not $context.V.hooks.adopt -}}
        {{- $problems = append $problems (printf "ConfigMap %s/%s: it exists, and Helm does not manage it; adopt it, with its settings among your values: add --take-ownership --force-conflicts --set hooks.adopt=true; or delete it" $context.Release.Namespace $name) -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}

{{/*
outrider.preflight.namespaces: problems with the namespace of the release, and with
the one of the pod that verifies the installation, as a JSON list.
*/}}
{{- define "outrider.preflight.namespaces" -}}
{{- $problems := list -}}
{{- with lookup "v1" "Namespace" "" .Release.Namespace -}}
  {{- $labels := .metadata.labels | default dict -}}
  {{- range $label := list "istio-injection" "istio.io/rev" -}}
    {{- $value := index $labels $label | default "disabled" -}}
    {{- if ne $value "disabled" -}}
      {{- $problems = append $problems (printf "Namespace %s: label %s=%s: the namespace of the injector is never injected; remove the label: kubectl label namespace %s %s-" $.Release.Namespace $label $value $.Release.Namespace $label) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- $verify := printf "outrider-verify%s" .Suffix -}}
{{- with lookup "v1" "Namespace" "" $verify -}}
  {{- if and $.V.hooks.verify (ne (index (.metadata.labels | default dict) "app" | default "") $verify) -}}
    {{- $problems = append $problems (printf "Namespace %s: it exists, and the hook that verifies the installation would delete it; rename it, or add --set hooks.verify=false" $verify) -}}
  {{- end -}}
{{- end -}}
{{- $problems | toJson -}}
{{- end -}}
