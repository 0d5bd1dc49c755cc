{{/* Key "config" of ConfigMap istio-sidecar-injector. */}}
{{- define "outrider.injectionConfig" -}}
{{- $global := .V.global -}}
{{- with .V.sidecarInjectorWebhook -}}
policy: {{ .policy | default $global.proxy.autoInject | default "enabled" }}
defaultTemplates: {{ include "outrider.items" .defaultTemplates | fromYamlArray | toJson }}
{{- range $key := list "alwaysInjectSelector" "neverInjectSelector" "injectedAnnotations" "aliases" "templates" }}
{{- with get $.V.sidecarInjectorWebhook $key }}
{{ $key }}:
  {{- if eq $key "injectedAnnotations" }}
  {{- include "outrider.strings" . | nindent 2 }}
  {{- else }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end }}
{{- end -}}
{{- end -}}

{{/*
Key "values" of ConfigMap istio-sidecar-injector: what sidecars are made from, and
what Istio's chart would put there. What the chart itself uses, and an unset value, is
left out: the program has the default.
*/}}
{{- define "outrider.injectionValues" -}}
{{- $global := omit (deepCopy .V.global) "priorityClassName" "defaultPodDisruptionBudget" "networkPolicy" "ipFamilyPolicy" "ipFamilies" "istioNamespace" -}}
{{- range $key := list "tag" "hub" "imagePullPolicy" "imagePullSecrets" "platform" -}}
{{- if or (not (get $global $key)) (eq (toString (get $global $key)) "docker.io/outrider") -}}
{{- $_ := unset $global $key -}}
{{- end -}}
{{- end -}}
{{- with $global.tag -}}
{{- $_ := set $global "tag" (include "outrider.text" .) -}}
{{- end -}}
{{- with $global.imagePullSecrets -}}
{{- $_ := set $global "imagePullSecrets" (include "outrider.items" . | fromYamlArray) -}}
{{- end -}}
{{- with $global.platformFallback -}}
{{- $_ := set $global "platformFallback" (include "outrider.joined" .) -}}
{{- end -}}
{{- range $name, $ranges := $global.namedRanges -}}
{{- $_ := set $global.namedRanges $name (include "outrider.joined" $ranges) -}}
{{- end -}}
{{- range $key := list "includeIPRanges" "excludeIPRanges" "includeOutboundPorts" "excludeOutboundPorts" "excludeInterfaces" "includeInboundPorts" "excludeInboundPorts" -}}
{{- if hasKey $global.proxy $key -}}
{{- $_ := set $global.proxy $key (include "outrider.joined" (get $global.proxy $key)) -}}
{{- end -}}
{{- end -}}
{{- $values := dict "global" $global -}}
{{- range $key := list "pilot" "istio_cni" "gateways" -}}
{{- with get $.V $key -}}
{{- $_ := set $values $key . -}}
{{- end -}}
{{- end -}}
{{- with .V.env -}}
{{- if hasKey . "ENABLE_NATIVE_SIDECARS" -}}
{{- include "outrider.overlay" (list $values (dict "pilot" (dict "env" (dict "ENABLE_NATIVE_SIDECARS" .ENABLE_NATIVE_SIDECARS)))) -}}
{{- end -}}
{{- end -}}
{{- if .Suffix -}}
{{- $_ := set $values "revision" .Revision -}}
{{- end -}}
{{- with .V.sidecarInjectorWebhook.rewriteAppHTTPProbe -}}
{{- $_ := set $values "sidecarInjectorWebhook" (dict "rewriteAppHTTPProbe" .) -}}
{{- end -}}
{{- toYaml $values | replace "'*'" "\"*\"" -}}
{{- end -}}
