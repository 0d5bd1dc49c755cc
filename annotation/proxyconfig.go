package annotation

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// ParseProxyConfig reads proxy.istio.io/config: YAML of Istio's ProxyConfig,
// as an overlay over the mesh's defaultConfig. An unknown field is an error.
// ignored are the paths that are valid but have no effect, sorted. The error
// holds every problem with its line and column.
func ParseProxyConfig(text string) (pc *meshconfig.ProxyConfig, ignored []string, err error) {
	root, found := document.Load(text, maxDocument)
	if len(found) > 0 {
		return nil, nil, found
	}
	pc = &meshconfig.ProxyConfig{}
	found = append(document.Message(root, "", pc), ProxyConfigProblems(root, "", pc)...)
	if len(found) > 0 {
		return nil, nil, found
	}
	for _, f := range IgnoredProxyConfig(root, "") {
		ignored = append(ignored, f.Path)
	}
	if root != nil && root.GetProto("interceptionMode") != nil {
		ignored = append(ignored, "interceptionMode ("+InterceptionMode+" sets it)")
	}
	slices.Sort(ignored)
	return pc, ignored, nil
}

// MaxConcurrency is the most worker threads of a proxy.
const MaxConcurrency = 1024

// ProxyConfigProblems are the values of a ProxyConfig that its type allows and
// that are rejected all the same. n is the mapping that pc was read from.
func ProxyConfigProblems(n *document.Node, path string, pc *meshconfig.ProxyConfig) problem.List {
	var found problem.List
	bad := func(name, rule, fix string) {
		found.Add(protoField(n, name).Problem(document.Join(path, name), rule, fix))
	}
	if pc.GetInterceptionMode() == meshconfig.ProxyConfig_TPROXY {
		if _, err := ParseInterceptionMode("TPROXY"); err != nil {
			p := problem.Of(err)[0].At(document.Join(path, "interceptionMode"))
			found.Add(protoField(n, "interceptionMode").Locate(p))
		}
	}
	if c := pc.GetConcurrency(); c != nil && (c.Value < 0 || c.Value > MaxConcurrency) {
		bad("concurrency", problem.OutOfRange("", "", "", 0, MaxConcurrency).Rule, "0 is one thread for each CPU")
	}
	const day = 24 * 60 * 60
	if d := pc.GetDrainDuration(); d != nil && (d.GetSeconds() < 1 || d.GetNanos() != 0 || d.GetSeconds() > day) {
		bad("drainDuration", "must be whole seconds in the range 1s..24h", "")
	}
	if d := pc.GetTerminationDrainDuration(); d.GetSeconds() < 0 || d.GetNanos() < 0 || d.GetSeconds() > day {
		bad("terminationDrainDuration", "must be in the range 0s..24h", "")
	}
	if a := pc.GetDiscoveryAddress(); a != "" && !isHostPort(a) {
		bad("discoveryAddress", "not an address", "use HOST:PORT")
	}
	if t := pc.GetImage().GetImageType(); t != "" && !slices.Contains(imageTypes, t) {
		v := protoField(protoField(n, "image"), "imageType")
		found.Add(v.Problem(document.Join(path, "image.imageType"), "invalid image type", "use one of default, debug, distroless"))
	}
	for _, name := range slices.Sorted(maps.Keys(pc.GetProxyMetadata())) {
		rule, fix := "", ""
		switch {
		case name == "" || strings.ContainsAny(name, "=\x00"):
			rule = "invalid environment variable name"
		case slices.Contains(ownVariables, name):
			rule, fix = "a variable that the sidecar's own configuration uses", "use another name"
		default:
			continue
		}
		v := protoField(n, "proxyMetadata")
		found.Add(v.Locate(invalid(name, rule, fix).At(document.Join(path, "proxyMetadata"))))
	}
	return found
}

// ownVariables are those that the kubelet inserts into the sidecar's configuration, where a
// value could be more than text.
var ownVariables = []string{"APP", "POD_IP", "POD_NAME", "POD_NAMESPACE"}

func isHostPort(address string) bool {
	i := strings.LastIndexByte(address, ':')
	if i <= 0 {
		return false
	}
	host, port := address[:i], address[i+1:]
	if inner, ok := strings.CutPrefix(host, "["); ok {
		host = strings.TrimSuffix(inner, "]")
		if a, err := netip.ParseAddr(host); err != nil || !a.Is6() {
			return false
		}
		host = "ipv6"
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return err == nil && n > 0 && host != "" && printable(host) && !strings.ContainsAny(host, "\"'/{}[]:")
}

// protoField is a field's value, or n itself where it is absent.
func protoField(n *document.Node, name string) *document.Node {
	if v := n.GetProto(name); v != nil {
		return v
	}
	return n
}

func fieldsOf(n *document.Node) []document.Field {
	if n == nil {
		return nil
	}
	return n.Fields
}

// effective are the fields of ProxyConfig that have an effect without an agent.
var effective = []string{
	"concurrency", "discoveryAddress", "drainDuration", "holdApplicationUntilProxyStarts", "image",
	"interceptionMode", "proxyMetadata", "terminationDrainDuration",
}

// EffectiveProxyConfig are the fields of ProxyConfig that have an effect, sorted.
func EffectiveProxyConfig() []string { return slices.Clone(effective) }

// agentMetadata are environment variables that only Istio's agent, its
// redirection or its CNI plugin read.
var agentMetadata = []string{
	"INVALID_DROP", "ISTIO_DUAL_STACK", "ISTIO_META_DNS_AUTO_ALLOCATE", "ISTIO_META_DNS_CAPTURE",
	"ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR", "ISTIO_OUTBOUND_OWNER_GROUPS", "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE",
}

// IgnoredProxyConfig are warnings about the fields of a ProxyConfig mapping that
// are valid but have no effect, in the order of the document.
func IgnoredProxyConfig(n *document.Node, path string) problem.List {
	const why = "the proxy runs without Istio's agent, and its bootstrap does not use this field"
	known := (&meshconfig.ProxyConfig{}).ProtoReflect().Descriptor().Fields()
	var out problem.List
	for _, f := range fieldsOf(n) {
		fd := known.ByJSONName(f.Name)
		if fd == nil {
			fd = known.ByTextName(f.Name)
		}
		switch {
		case fd == nil || f.Value.Kind == document.Null:
		case fd.JSONName() == "proxyMetadata":
			for _, m := range f.Value.Fields {
				if slices.Contains(agentMetadata, m.Name) {
					at := document.Join(document.Join(path, f.Name), m.Name)
					out.Add(m.Locate(problem.NoEffect(at, "", "only Istio's agent and init container read it", "remove it")))
				}
			}
		case fd.JSONName() == "proxyHeaders" && path != "":
			out.Add(ignoredHeaders(f.Value, document.Join(path, f.Name))...)
		case fd.JSONName() == "proxyHeaders":
			out.Add(f.Locate(problem.NoEffect(f.Name, "", "the headers are those of the mesh", "set proxyHeaders below defaultConfig of the key mesh")))
		case !slices.Contains(effective, fd.JSONName()):
			out.Add(f.Locate(problem.NoEffect(document.Join(path, f.Name), "", why, "remove it")))
		}
	}
	return out
}

// effectiveHeaders are the fields of proxyHeaders that have an effect.
var effectiveHeaders = []string{"attemptCount", "envoyDebugHeaders", "requestId", "server"}

// ignoredHeaders are warnings about the fields of the mesh's proxyHeaders that have no
// effect.
func ignoredHeaders(n *document.Node, path string) problem.List {
	known := (&meshconfig.ProxyConfig_ProxyHeaders{}).ProtoReflect().Descriptor().Fields()
	var out problem.List
	for _, f := range fieldsOf(n) {
		fd := known.ByJSONName(f.Name)
		if fd == nil {
			fd = known.ByTextName(f.Name)
		}
		if fd != nil && f.Value.Kind != document.Null && !slices.Contains(effectiveHeaders, fd.JSONName()) {
			out.Add(f.Locate(problem.NoEffect(document.Join(path, f.Name), "", "the proxy neither adds nor changes what it is about", "remove it")))
		}
	}
	return out
}
