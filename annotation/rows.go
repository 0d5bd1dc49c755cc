package annotation

import (
	"strings"

	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// checkOf makes a row's check from a typed parser.
func checkOf[T any](parse func(string) (T, error)) func(string) problem.List {
	return func(value string) problem.List {
		_, err := parse(value)
		return problem.Of(err)
	}
}

func ranges(o cidr.Options) func(string) problem.List {
	return checkOf(func(value string) (cidr.List, error) { return cidr.Parse(value, o) })
}

// ports does not allow a wildcard: "every port" is the range list "*".
func ports(value string) problem.List {
	_, err := cidr.ParsePorts(value, false)
	return problem.Of(err)
}

var injectionRows = []Row{
	{Name: Inject, Type: `"true" or "false"`, Default: "the namespace's label, then the configured selectors and policy",
		Meaning: "Whether to inject the pod; deprecated as an annotation: the label of the same name takes precedence", warn: warnInject},
	{Name: Inject, IsLabel: true, Type: `"true" or "false"`, Default: "the namespace's label, then the configured selectors and policy",
		Meaning: "Whether to inject the pod", warn: warnInject},
	{Name: Injection, IsLabel: true, Places: OnNamespace, Type: "enabled or disabled", Default: "not selected",
		Meaning: "Whether pods of the namespace are considered for injection", warn: warnInjection},
	{Name: Rev, IsLabel: true, Places: OnPod | OnNamespace, Type: "revision name", Default: "default",
		Meaning: "The control-plane revision that injects the pod or the pods of the namespace"},
	{Name: InjectTemplates, Type: "names of templates or aliases", Default: "defaultTemplates of the configuration (sidecar)",
		Meaning: "The templates to apply, in order", check: checkOf(ParseTemplates)},
	{Name: NativeSidecar, Type: `"true" or "false"`, Default: "values pilot.env.ENABLE_NATIVE_SIDECARS, then by the Kubernetes version",
		Meaning: "Whether to run the proxy as a native sidecar (true) or as an ordinary container (false)", check: checkOf(ParseTrueFalse)},
}

func warnInject(value string) problem.List {
	if _, decided := ParseInject(value); decided || value == "" {
		return nil
	}
	rule, fix := `only "true" and "false" count, so this value is ignored`, `use "true" or "false"`
	switch strings.ToLower(strings.TrimSpace(value)) {
	case "true", "yes", "y", "on", "1", "t", "enabled", "enable":
		rule, fix = `only exactly "true" means yes, so this value is ignored`, `use "true"`
	case "false", "no", "n", "off", "0", "f", "disabled", "disable":
		rule, fix = `only exactly "false" means no, so this value is ignored`, `use "false"`
	}
	return problem.List{invalid(value, rule, fix)}
}

func warnInjection(value string) problem.List {
	if value == "enabled" || value == "disabled" {
		return nil
	}
	return problem.List{invalid(value, `only "enabled" and "disabled" count, so pods of this namespace are not injected`, `use "enabled" or "disabled"`)}
}

// OpenShift itself writes the values of these rows.
var openShiftRows = []Row{
	{Name: OpenShiftUIDRange, Places: OnNamespace, Type: "FIRST/SIZE or FIRST-LAST", Default: "uid 1337",
		Meaning: "OpenShift's uid range of the namespace: the proxy runs as its last uid that no other container has"},
	{Name: OpenShiftSupplementalGroups, Places: OnNamespace, Type: "list of FIRST/SIZE or FIRST-LAST", Default: "gid 1337",
		Meaning: "OpenShift's group ranges of the namespace: the proxy runs with the last gid of the first"},
}

var trafficRows = []Row{
	{Name: IncludeOutboundIPRanges, Type: `list of ranges and names, or "*"`, Default: `values global.proxy.includeIPRanges ("*")`,
		Meaning: "Destinations whose TCP traffic goes through the proxy; empty means none", check: ranges(IncludeRangeOptions)},
	{Name: ExcludeOutboundIPRanges, Type: "list of ranges and names", Default: "values global.proxy.excludeIPRanges (none)",
		Meaning: "Destinations that bypass the proxy; takes precedence over every include", check: ranges(ExcludeRangeOptions)},
	{Name: IncludeOutboundPorts, Type: "port list", Default: "values global.proxy.includeOutboundPorts (none)",
		Meaning: "Destination ports that go through the proxy regardless of the address, unless the address is excluded", check: ports},
	{Name: ExcludeOutboundPorts, Type: "port list", Default: "values global.proxy.excludeOutboundPorts (none)",
		Meaning: "Destination ports that bypass the proxy", check: ports},
	{Name: ExcludeInterfaces, Type: "interface names", Default: "values global.proxy.excludeInterfaces (none)",
		Meaning: "Network interfaces whose traffic bypasses the proxy", check: checkOf(ParseInterfaces)},
	{Name: InterceptionMode, Type: "REDIRECT or NONE", Default: "meshConfig.defaultConfig.interceptionMode (REDIRECT)",
		Meaning: "REDIRECT sends outbound TCP traffic to the proxy; NONE redirects nothing and adds no init container", check: checkOf(ParseInterceptionMode)},
}

var proxyRows = []Row{
	{Name: ProxyImage, Type: "image", Default: "values global.proxy.image",
		Meaning: "Image of the proxy: a full reference, or a name below values global.hub", check: checkOf(ParseImage)},
	{Name: ProxyImageType, Type: "default, debug or distroless", Default: "meshConfig.defaultConfig.image.imageType",
		Meaning: "Variant of the proxy image", check: checkOf(ParseImageType)},
	{Name: ProxyCPU, Type: "quantity", Default: "values global.proxy.resources.requests.cpu (10m)",
		Meaning: "CPU request of the proxy; the other three resources keep their own values", check: checkOf(ParseQuantity)},
	{Name: ProxyCPULimit, Type: "quantity", Default: "values global.proxy.resources.limits.cpu (2000m)",
		Meaning: "CPU limit of the proxy; the other three resources keep their own values", check: checkOf(ParseQuantity)},
	{Name: ProxyMemory, Type: "quantity", Default: "values global.proxy.resources.requests.memory (80Mi)",
		Meaning: "Memory request of the proxy; the other three resources keep their own values", check: checkOf(ParseQuantity)},
	{Name: ProxyMemoryLimit, Type: "quantity", Default: "values global.proxy.resources.limits.memory (1024Mi)",
		Meaning: "Memory limit of the proxy; the other three resources keep their own values", check: checkOf(ParseQuantity)},
	{Name: LogLevel, Type: "Envoy log level", Default: "values global.proxy.logLevel (warning)",
		Meaning: "Log level of the proxy", check: checkOf(ParseLogLevel)},
	{Name: ComponentLogLevel, Type: "component:level list", Default: "values global.proxy.componentLogLevel (misc:error)",
		Meaning: "Log levels of single components of the proxy", check: checkOf(ParseComponentLogLevel)},
	{Name: UserVolume, Type: "JSON mapping from name to volume", Default: "none",
		Meaning: "Volumes to add to the pod for the proxy", check: checkOf(ParseVolumes)},
	{Name: UserVolumeMount, Type: "JSON mapping from name to mount", Default: "none",
		Meaning: "Volume mounts to add to the proxy", check: checkOf(ParseVolumeMounts)},
	{Name: ProxyConfig, Type: "YAML of ProxyConfig", Default: "meshConfig.defaultConfig",
		Meaning: "Overlay over the mesh's proxy configuration: concurrency, discoveryAddress, drainDuration, holdApplicationUntilProxyStarts, image, proxyMetadata, terminationDrainDuration",
		check:   func(v string) problem.List { _, _, err := ParseProxyConfig(v); return problem.Of(err) }, warn: ignoredFields},
}

func ignoredFields(value string) problem.List {
	_, ignored, err := ParseProxyConfig(value)
	if err != nil || len(ignored) == 0 {
		return nil
	}
	return problem.List{problem.Invalid("", "", "no effect for "+strings.Join(ignored, ", ")+": the proxy runs without Istio's agent", "remove them")}
}

var writtenRows = []Row{
	{Name: SidecarStatus, Type: "JSON", Default: "absent", Support: Written,
		Meaning: "What was injected, the effective settings with their sources, the hash of the configuration"},
	{Name: ProxyOverrides, Type: "JSON", Default: "absent", Support: Written,
		Meaning: "The user's settings of injected containers, which a later injection restores"},
	{Name: Rev, Type: "revision name", Default: "absent", Support: Written,
		Meaning: "The revision that injected the pod"},
	{Name: DefaultContainer, Type: "container name", Default: "the first container that was not injected", Support: Written,
		Meaning: "The container kubectl uses by default; an existing value is kept"},
}
