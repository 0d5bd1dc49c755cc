{{/*
outrider.init adds to the context what several templates use:
  .Revision  the revision, "default" if none is set
  .Suffix    what the names of its objects end in, empty for the default revision
  .Default   whether pods and objects without a revision are this one's
  .Selects   whether its own name selects it: "default" selects the default revision
  .Tags      the tags that select it beside its name
  .EveryNamespace  whether namespaces without a label are injected
*/}}
{{- define "outrider.init" -}}
{{- $revision := .Values.revision | default "default" -}}
{{- $_ := set . "Revision" $revision -}}
{{- $_ := set . "Suffix" (ternary "" (printf "-%s" $revision) (eq $revision "default")) -}}
{{- $tags := without (.Values.revisionTags | default list | uniq | sortAlpha) $revision -}}
{{- $default := or (eq (.Values.defaultRevision | default "default") $revision) (has "default" $tags) -}}
{{- if and $default (ne $revision "default") -}}
{{- $tags = append $tags "default" | uniq | sortAlpha -}}
{{- end -}}
{{- $_ := set . "Default" $default -}}
{{- $_ := set . "Selects" (or $default (ne $revision "default")) -}}
{{- $_ := set . "Tags" $tags -}}
{{- $_ := set . "EveryNamespace" .Values.sidecarInjectorWebhook.enableNamespacesByDefault -}}
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
