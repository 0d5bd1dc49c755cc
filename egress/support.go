package egress

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/internal/problem"
)

const (
	fixRemove   = "remove it"
	fixNotUsed  = "remove it; the routes are not used with it"
	notOurs     = "not supported"
	apiPackage  = "istio.networking.v1alpha3."
	withoutTLS  = "the sidecar does not originate TLS"
	noLocality  = "endpoints are not selected by locality or network"
	noSelection = "endpoints have no labels to be selected by"
)

// supportOf is the problem of a field of a ServiceEntry or a VirtualService that is
// set, by the full name of its descriptor: an error where it cannot be ignored, a
// warning where it has no effect, without a rule where it has one. A field that is
// not listed, such as one of a later version of the API, has no effect.
func supportOf(field protoreflect.FullName) problem.Problem {
	switch strings.TrimPrefix(string(field), apiPackage) {
	case "ServiceEntry.hosts", "ServiceEntry.addresses", "ServiceEntry.ports", "ServiceEntry.resolution", "ServiceEntry.endpoints", "ServiceEntry.export_to",
		"ServicePort.number", "ServicePort.protocol", "ServicePort.name", "ServicePort.target_port",
		"WorkloadEntry.address", "WorkloadEntry.ports", "WorkloadEntry.weight":
		return problem.Problem{}
	case "ServiceEntry.location": // set where it is not MESH_EXTERNAL, the default
		return problem.NoEffect("", "", "hosts are external to the mesh, and connections to them have no mutual TLS", "use MESH_EXTERNAL, or remove it")
	case "ServiceEntry.workload_selector":
		return problem.NoEffect("", "", "workloadSelector is not supported", "list the endpoints")
	case "ServiceEntry.subject_alt_names", "WorkloadEntry.service_account":
		return problem.NoEffect("", "", withoutTLS, fixRemove)
	case "WorkloadEntry.labels":
		return problem.NoEffect("", "", noSelection, fixRemove)
	case "WorkloadEntry.network", "WorkloadEntry.locality":
		return problem.NoEffect("", "", noLocality, fixRemove)
	}
	return supportOfSidecars(strings.TrimPrefix(string(field), apiPackage))
}

// supportOfSidecars is supportOf for the fields of a Sidecar.
func supportOfSidecars(field string) problem.Problem {
	switch field {
	case "Sidecar.workload_selector", "Sidecar.egress", "Sidecar.outbound_traffic_policy", "WorkloadSelector.labels",
		"IstioEgressListener.hosts", "IstioEgressListener.port", "IstioEgressListener.bind", "IstioEgressListener.capture_mode",
		"SidecarPort.number", "OutboundTrafficPolicy.mode":
		return problem.Problem{}
	case "Sidecar.ingress", "Sidecar.inbound_connection_pool":
		return problem.NoEffect("", "", "inbound traffic is never captured", fixRemove)
	case "SidecarPort.protocol", "SidecarPort.name", "SidecarPort.target_port":
		return problem.NoEffect("", "", "it is that of the ServiceEntry", fixRemove)
	case "OutboundTrafficPolicy.egress_proxy":
		return problem.Invalid("", "", "egressProxy is not supported: undeclared hosts are blocked while it is set", "remove it, and set mode")
	}
	return supportOfRoutes(field)
}

// supportOfRoutes is supportOf for the fields of a VirtualService.
func supportOfRoutes(field string) problem.Problem {
	switch field {
	case "VirtualService.hosts", "VirtualService.gateways", "VirtualService.http", "VirtualService.tls", "VirtualService.export_to",
		"HTTPRoute.name", "HTTPRoute.match", "HTTPRoute.route", "HTTPRoute.redirect", "HTTPRoute.direct_response", "HTTPRoute.rewrite", "HTTPRoute.timeout",
		"HTTPRoute.retries", "HTTPRoute.fault", "HTTPRoute.mirror", "HTTPRoute.mirrors", "HTTPRoute.mirror_percent", "HTTPRoute.mirror_percentage",
		"HTTPRoute.cors_policy", "HTTPRoute.headers",
		"HTTPMatchRequest.name", "HTTPMatchRequest.uri", "HTTPMatchRequest.scheme", "HTTPMatchRequest.method", "HTTPMatchRequest.authority", "HTTPMatchRequest.headers",
		"HTTPMatchRequest.port", "HTTPMatchRequest.gateways", "HTTPMatchRequest.query_params", "HTTPMatchRequest.ignore_uri_case", "HTTPMatchRequest.without_headers",
		"StringMatch.exact", "StringMatch.prefix", "StringMatch.regex",
		"HTTPRouteDestination.destination", "HTTPRouteDestination.weight", "HTTPRouteDestination.headers", "RouteDestination.destination", "RouteDestination.weight",
		"Destination.host", "Destination.port", "PortSelector.number",
		"Headers.request", "Headers.response", "Headers.HeaderOperations.set", "Headers.HeaderOperations.add", "Headers.HeaderOperations.remove",
		"HTTPRedirect.uri", "HTTPRedirect.authority", "HTTPRedirect.port", "HTTPRedirect.derive_port", "HTTPRedirect.scheme", "HTTPRedirect.redirect_code",
		"HTTPDirectResponse.status", "HTTPDirectResponse.body", "HTTPBody.string", "HTTPBody.bytes",
		"HTTPRewrite.uri", "HTTPRewrite.authority", "HTTPRewrite.uri_regex_rewrite", "RegexRewrite.match", "RegexRewrite.rewrite",
		"HTTPRetry.attempts", "HTTPRetry.per_try_timeout", "HTTPRetry.retry_on", "HTTPRetry.retry_ignore_previous_hosts", "HTTPRetry.backoff",
		"HTTPFaultInjection.delay", "HTTPFaultInjection.abort", "HTTPFaultInjection.Delay.percent", "HTTPFaultInjection.Delay.fixed_delay",
		"HTTPFaultInjection.Delay.percentage", "HTTPFaultInjection.Abort.http_status", "HTTPFaultInjection.Abort.grpc_status",
		"HTTPFaultInjection.Abort.percentage", "Percent.value", "HTTPMirrorPolicy.destination", "HTTPMirrorPolicy.percentage",
		"CorsPolicy.allow_origin", "CorsPolicy.allow_origins", "CorsPolicy.allow_methods", "CorsPolicy.allow_headers", "CorsPolicy.expose_headers",
		"CorsPolicy.max_age", "CorsPolicy.allow_credentials", "CorsPolicy.unmatched_preflights",
		"TLSRoute.match", "TLSRoute.route", "TLSMatchAttributes.sni_hosts", "TLSMatchAttributes.port", "TLSMatchAttributes.gateways":
		return problem.Problem{}
	case "VirtualService.tcp":
		return problem.Invalid("", "", "TCP routes are not supported", "remove them")
	case "HTTPRoute.delegate", "HTTPMatchRequest.source_labels", "HTTPMatchRequest.source_namespace",
		"TLSMatchAttributes.destination_subnets", "TLSMatchAttributes.source_labels", "TLSMatchAttributes.source_namespace":
		return problem.Invalid("", "", notOurs, fixNotUsed)
	case "Destination.subset":
		return problem.Invalid("", "", "subset is not supported", fixRemove)
	case "HTTPRedirect.prefix_rewrite":
		return problem.Invalid("", "", notOurs, "use uri")
	case "HTTPFaultInjection.Delay.exponential_delay":
		return problem.Invalid("", "", notOurs, "use fixedDelay")
	case "HTTPFaultInjection.Abort.http2_error":
		return problem.Invalid("", "", notOurs, "use httpStatus or grpcStatus")
	case "HTTPMatchRequest.stat_prefix":
		return problem.NoEffect("", "", "statistics by route are not supported", fixRemove)
	case "HTTPRetry.retry_remote_localities":
		return problem.NoEffect("", "", "locality retry is not supported", fixRemove)
	}
	return problem.NoEffect("", "", "Outrider does not read this field", fixRemove)
}

// fields reports every field of a message, and of the messages in it, that has no
// effect or is not supported. A warning about items of lists is for the first one,
// with the number of others: an entry may have thousands of endpoints. What a
// VirtualService has for other gateways only is not included.
func (r reporter) fields(m proto.Message, path string) {
	w := fieldWalk{}
	w.walk(m.ProtoReflect(), &place{name: path, index: -1})
	for i, p := range w.found {
		if more := w.more[i]; more > 0 {
			p.Rule += fmt.Sprintf(" (and %d more)", more)
		}
		r.add(p)
	}
}

// place is where a message is: a field of another one, or an item of a list in it.
// The text is made for problems only.
type place struct {
	in    *place
	name  string
	index int // -1 where it is no item
}

func (p *place) String() string {
	text := p.name
	if p.in != nil {
		text = p.in.String() + "." + text
	}
	if p.index >= 0 {
		text += fmt.Sprintf("[%d]", p.index)
	}
	return text
}

// fieldWalk collects problems of fields.
type fieldWalk struct {
	found problem.List
	more  []int                         // for each, how many others are like it
	first map[protoreflect.FullName]int // the warning about a field
}

func (w *fieldWalk) walk(m protoreflect.Message, at *place) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if !m.Has(f) {
			continue
		}
		nested := isNested(f)
		if nested && isElsewhere(m.Get(f), f) {
			continue
		}
		if p := supportOf(f.FullName()); p.Rule != "" {
			w.add(p, at, m, f)
			continue
		}
		switch {
		case !nested:
		case f.IsList():
			items := m.Get(f).List()
			for i := range items.Len() {
				if item := items.Get(i).Message(); !elsewhere(item) {
					w.walk(item, &place{at, f.JSONName(), i})
				}
			}
		default:
			w.walk(m.Get(f).Message(), &place{at, f.JSONName(), -1})
		}
	}
}

func (w *fieldWalk) add(p problem.Problem, at *place, m protoreflect.Message, f protoreflect.FieldDescriptor) {
	if i, again := w.first[f.FullName()]; again && p.Severity == problem.Warning {
		w.more[i]++
		return
	}
	if text := fieldText(m, f); text != "" {
		p.Value = problem.Quote(text)
	}
	if w.first == nil {
		w.first = map[protoreflect.FullName]int{}
	}
	w.first[f.FullName()] = len(w.found)
	w.found, w.more = append(w.found, p.At(at.String()+"."+f.JSONName())), append(w.more, 0)
}

// isNested reports whether a field has messages of the API. A mapping has only
// values of which all fields have an effect.
func isNested(f protoreflect.FieldDescriptor) bool {
	return f.Message() != nil && !f.IsMap() && strings.HasPrefix(string(f.Message().FullName()), apiPackage)
}

// isElsewhere reports whether a field has messages for other gateways only.
func isElsewhere(v protoreflect.Value, f protoreflect.FieldDescriptor) bool {
	if !f.IsList() {
		return false // only routes and matches are for gateways
	}
	for i := range v.List().Len() {
		if !elsewhere(v.List().Get(i).Message()) {
			return false
		}
	}
	return v.List().Len() > 0
}

func fieldText(m protoreflect.Message, f protoreflect.FieldDescriptor) string {
	switch {
	case f.IsList() || f.IsMap() || f.Message() != nil:
		return ""
	case f.Enum() != nil:
		if v := f.Enum().Values().ByNumber(m.Get(f).Enum()); v != nil {
			return string(v.Name())
		}
	}
	return strings.Trim(m.Get(f).String(), `"`)
}

// elsewhere reports whether a part of a VirtualService is for gateways other than
// the sidecars only.
func elsewhere(m protoreflect.Message) bool {
	switch m := m.Interface().(type) {
	case *networkingv1alpha3.HTTPMatchRequest:
		return !forMesh(m.GetGateways())
	case *networkingv1alpha3.TLSMatchAttributes:
		return !forMesh(m.GetGateways())
	case *networkingv1alpha3.L4MatchAttributes:
		return !forMesh(m.GetGateways())
	case *networkingv1alpha3.HTTPRoute:
		return allElsewhere(m.GetMatch())
	case *networkingv1alpha3.TLSRoute:
		return allElsewhere(m.GetMatch())
	case *networkingv1alpha3.TCPRoute:
		return allElsewhere(m.GetMatch())
	}
	return false
}

// allElsewhere reports whether a route has matches, and none for the sidecars.
func allElsewhere[M interface{ GetGateways() []string }](matches []M) bool {
	return len(matches) > 0 && !slices.ContainsFunc(matches, func(m M) bool { return forMesh(m.GetGateways()) })
}
