package config

// Type is the type of a key of the values.
type Type string

// The types. A list is a string with commas, or a list of strings or numbers.
const (
	TypeText    Type = "string"
	TypeTag     Type = "tag" // a string or a number
	TypeFlag    Type = "boolean"
	TypeNumber  Type = "integer"
	TypeRanges  Type = "ranges"  // a list of address ranges
	TypePorts   Type = "ports"   // a list of ports
	TypeNames   Type = "names"   // a list of names
	TypeStrings Type = "strings" // a list of strings, as a list only
	TypeObject  Type = "object"  // a Kubernetes object
	TypeLists   Type = "lists"   // lists of address ranges, by names of the user's own
	TypeAny     Type = "any"
)

// Key is a key of the values. Documentation and the schema of the Helm chart are
// generated from it.
type Key struct {
	Path string
	Type Type
	// OneOf are the values of a string, if it has only these.
	OneOf []string
	// About is what the key does. Without an effect it is the reason, and Effect is
	// false.
	About  string
	Effect bool
	// Quiet are values, as text, of a key without an effect that ask for nothing else.
	Quiet []string
}

// usedKeys are read in values.go.
var usedKeys = []Key{
	{Path: "revision", Type: TypeText, About: "Revision of the control plane, which namespaces and pods select with the label istio.io/rev. Empty and \"default\" are the default revision."},
	{Path: "global.hub", Type: TypeText, About: "Registry, with a path, of images with a short name: Outrider's own, and a proxy image without a \"/\"."},
	{Path: "global.tag", Type: TypeTag, About: "Tag of images with a short name."},
	{Path: "global.variant", Type: TypeText, OneOf: []string{"", "default", "debug", "distroless"}, About: "Variant of the proxy image."},
	{Path: "global.imagePullPolicy", Type: TypeText, OneOf: []string{"", "Always", "IfNotPresent", "Never"}, About: "Pull policy of all images."},
	{Path: "global.imagePullSecrets", Type: TypeStrings, About: "Names of Secrets with credentials of the registry. Injected pods have them too: each of their namespaces needs the Secrets."},
	{Path: "global.platform", Type: TypeText, About: "Platform of the cluster, as in `outrider ranges --help`. Empty and auto: detected."},
	{Path: "global.platformFallback", Type: TypeRanges, About: "What the name \"cluster\" in a range list expands to if the cluster's ranges are not known."},
	{Path: "global.network", Type: TypeText, About: "Only read by templates."},
	{Path: "global.logAsJson", Type: TypeFlag, About: "The proxy writes its log as JSON."},
	{Path: "global.logging.level", Type: TypeText, About: "Only read by templates. The log level of the proxy is global.proxy.logLevel."},
	{Path: "global.namedRanges", Type: TypeLists, About: "Lists of address ranges by names of your own, for use in range lists."},
	{Path: "global.proxy.autoInject", Type: TypeText, OneOf: []string{"enabled", "disabled"}, About: "Whether pods of selected namespaces are injected by default (`policy` of the ConfigMap's key config)."},
	{Path: "global.proxy.includeIPRanges", Type: TypeRanges, About: "Destinations whose traffic is captured; \"*\" is all."},
	{Path: "global.proxy.excludeIPRanges", Type: TypeRanges, About: "Destinations whose traffic bypasses the proxy."},
	{Path: "global.proxy.includeOutboundPorts", Type: TypePorts, About: "Destination ports that are captured whatever the ranges are."},
	{Path: "global.proxy.excludeOutboundPorts", Type: TypePorts, About: "Destination ports whose traffic bypasses the proxy."},
	{Path: "global.proxy.excludeInterfaces", Type: TypeNames, About: "Network interfaces of the pod whose traffic bypasses the proxy."},
	{Path: "global.proxy.includeInboundPorts", Type: TypePorts, About: "Only read by templates: inbound traffic is never captured."},
	{Path: "global.proxy.excludeInboundPorts", Type: TypePorts, About: "Only read by templates: inbound traffic is never captured."},
	{Path: "global.proxy.image", Type: TypeText, About: "Image of the proxy: a name below global.hub, or a full reference, which has a \"/\"."},
	{Path: "global.proxy.logLevel", Type: TypeText, About: "Log level of the proxy: trace, debug, info, warning, error, critical or off."},
	{Path: "global.proxy.componentLogLevel", Type: TypeText, About: "Log levels of components of the proxy, such as misc:error,upstream:debug."},
	{Path: "global.proxy.clusterDomain", Type: TypeText, About: "DNS domain of the cluster."},
	{Path: "global.proxy.privileged", Type: TypeFlag, About: "The proxy's container is privileged."},
	{Path: "global.proxy.holdApplicationUntilProxyStarts", Type: TypeFlag, About: "Without native sidecars, the application starts after the proxy."},
	{Path: "global.proxy.statusPort", Type: TypeNumber, About: "With 0 the proxy has no probes. Another value has no effect."},
	{Path: "global.proxy.readinessInitialDelaySeconds", Type: TypeNumber, About: "Readiness probe of the proxy: delay of the first try."},
	{Path: "global.proxy.readinessPeriodSeconds", Type: TypeNumber, About: "Readiness probe of the proxy: time between tries."},
	{Path: "global.proxy.readinessFailureThreshold", Type: TypeNumber, About: "Readiness probe of the proxy: failed tries until it is not ready."},
	{Path: "global.proxy.startupProbe.enabled", Type: TypeFlag, About: "Applications start when the proxy is ready: istio-init waits for a native sidecar; others, and those without a redirect, have a startup probe."},
	{Path: "global.proxy.startupProbe.failureThreshold", Type: TypeNumber, About: "Startup probe of the proxy, where it has one: failed tries until it is restarted."},
	{Path: "global.proxy_init.image", Type: TypeText, About: "Image of the init container: a name below global.hub, or a full reference, which has a \"/\"."},
	{Path: "pilot.env.ENABLE_NATIVE_SIDECARS", Type: TypeTag, About: "Whether the proxy is a native sidecar: true, false, or auto, if the cluster has them."},
	{Path: "global.proxy.resources", Type: TypeObject, About: "Requests and limits of the proxy."},
	{Path: "global.proxy.lifecycle", Type: TypeObject, About: "Lifecycle handlers of the proxy."},
	{Path: "global.proxy.seccompProfile", Type: TypeObject, About: "Seccomp profile of the proxy."},
	{Path: "global.proxy_init.resources", Type: TypeObject, About: "Requests and limits of the init container."},
}

// objectPaths are the keys that hold Kubernetes objects, whose own fields are checked
// by type.
var objectPaths = pathsOf(TypeObject)

func pathsOf(t Type) (out []string) {
	for _, k := range usedKeys {
		if k.Type == t {
			out = append(out, k.Path)
		}
	}
	return out
}
