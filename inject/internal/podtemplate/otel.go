package podtemplate

import (
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
)

// otelResourceAttributes is the value of OTEL_RESOURCE_ATTRIBUTES by OpenTelemetry's
// semantic conventions, where the mesh configures them; "" otherwise. Each
// attribute comes from the pod's annotation resource.opentelemetry.io/NAME, or
// from what the pod is.
func otelResourceAttributes(mesh *meshconfig.MeshConfig, annotations, labels map[string]string, namespace string, containers []corev1.Container) string {
	if !wantsOtelConventions(mesh) {
		return ""
	}
	var instance, version string
	if len(containers) > 0 {
		// The pod's name is not known yet; the kubelet fills it in.
		instance = namespace + ".$(POD_NAME)." + containers[0].Name
	}
	if len(containers) == 1 {
		version = imageVersion(containers[0].Image)
	}
	var out []string
	for _, attribute := range []struct{ name, fallback string }{
		{"service.namespace", namespace},
		{"service.version", firstOf(labels["app.kubernetes.io/version"], version)},
		{"service.instance.id", instance},
	} {
		value := firstOf(annotations["resource.opentelemetry.io/"+attribute.name], attribute.fallback)
		if value != "" {
			out = append(out, attribute.name+"="+otelEscaper.Replace(value))
		}
	}
	return strings.Join(out, ",")
}

// otelEscaper keeps a value from ending early: the list is k=v,k=v.
var otelEscaper = strings.NewReplacer("%", "%25", ",", "%2C", "=", "%3D")

func wantsOtelConventions(mesh *meshconfig.MeshConfig) bool {
	for _, provider := range mesh.GetExtensionProviders() {
		if provider.GetOpentelemetry().GetServiceAttributeEnrichment() == meshconfig.MeshConfig_ExtensionProvider_OTEL_SEMANTIC_CONVENTIONS {
			return true
		}
	}
	return false
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// imageVersion is the tag and digest of an image: "1.2", "sha256:ab", "1.2@sha256:ab" or "".
func imageVersion(image string) string {
	name, digest, _ := strings.Cut(image, "@")
	tag := ""
	if at := strings.LastIndexByte(name, ':'); at > strings.LastIndexByte(name, '/') {
		tag = name[at+1:]
	}
	if tag != "" && digest != "" {
		return tag + "@" + digest
	}
	return tag + digest
}
