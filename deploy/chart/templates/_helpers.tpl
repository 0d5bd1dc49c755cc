{{/*
outrider.init adds to the context what several templates use:
  .Revision  the revision, "default" if none is set
  .Suffix    what the names of its objects end in, empty for the default revision
  .EveryNamespace  whether namespaces without a label are injected
*/}}
{{- define "outrider.init" -}}
{{- $revision := .Values.revision | default "default" -}}
{{- $_ := set . "Revision" $revision -}}
{{- $_ := set . "Suffix" (ternary "" (printf "-%s" $revision) (eq $revision "default")) -}}
{{- $_ := set . "EveryNamespace" .Values.sidecarInjectorWebhook.enableNamespacesByDefault -}}
{{- end -}}
