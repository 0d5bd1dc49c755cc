package objects

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
)

// Object is one object with its specification.
type Object[T any] struct {
	Namespace, Name string
	Created         time.Time
	Spec            T
}

// Hosts are the names that may be declared and asked for.
func Hosts() []string {
	var out []string
	for _, zone := range []string{"a", "b", "_c"} {
		for i := range 6 {
			out = append(out, fmt.Sprintf("h%d.%s.example", i, zone))
		}
	}
	return out
}

// Wildcards cover some of Hosts.
func Wildcards() []string { return []string{"*.a.example", "*.b.example", "*.example"} }

// Ports are those that are declared.
func Ports() []uint32 { return []uint32{80, 443, 8080, 9000} }

// Pick takes one at random.
func Pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func some(r *rand.Rand, one, of int) bool { return r.IntN(of) < one }

// ServiceEntry is valid to the API, and mostly to us.
func ServiceEntry(r *rand.Rand, i int) Object[*networkingv1alpha3.ServiceEntry] {
	s := &networkingv1alpha3.ServiceEntry{Resolution: networkingv1alpha3.ServiceEntry_Resolution(r.IntN(4))}
	for range 1 + r.IntN(3) {
		host := Pick(r, Hosts()...)
		if some(r, 1, 4) {
			host = Pick(r, Wildcards()[:2]...)
		}
		if some(r, 1, 8) {
			host = strings.ToUpper(host)
		}
		s.Hosts = append(s.Hosts, host)
	}
	for j := range 1 + r.IntN(3) {
		p := &networkingv1alpha3.ServicePort{
			Number: Pick(r, Ports()...), Name: fmt.Sprint("p", j), Protocol: Pick(r, "HTTP", "HTTP", "HTTPS", "TLS", "TCP", "MONGO", "", "GRPC", "HTTP2"),
			TargetPort: Pick[uint32](r, 0, 0, 8081),
		}
		s.Ports = append(s.Ports, p)
	}
	for range r.IntN(3) {
		s.Addresses = append(s.Addresses, Pick(r, "192.0.2.1", "192.0.2.0/24", "192.0.2.128/25", "2001:db8::/32", "198.51.100.7", "10.0.0.0/8", "10.96.0.1"))
	}
	for range r.IntN(3) {
		s.Endpoints = append(s.Endpoints, &networkingv1alpha3.WorkloadEntry{
			Address: Pick(r, "192.0.2.9", "2001:db8::9", Pick(r, Hosts()...), "::ffff:192.0.2.8"), Weight: uint32(r.IntN(3)),
			Ports: map[string]uint32{"p0": Pick[uint32](r, 8080, 8081)},
		})
	}
	return Object[*networkingv1alpha3.ServiceEntry]{Pick(r, "shop", "shop", "bank", "istio-system"), fmt.Sprint("e", i), time.Unix(int64(r.IntN(5)), 0), s}
}

// VirtualService is valid to the API, and mostly to us. When it is to be certain
// it leaves nothing to chance but the choice among weighted destinations.
func VirtualService(r *rand.Rand, i int, certain bool) Object[*networkingv1alpha3.VirtualService] {
	s := &networkingv1alpha3.VirtualService{}
	for range 1 + r.IntN(2) {
		s.Hosts = append(s.Hosts, Pick(r, append(Hosts(), Wildcards()...)...))
	}
	for range 1 + r.IntN(4) {
		s.Http = append(s.Http, httpRoute(r, s.Hosts, certain))
	}
	if some(r, 1, 3) {
		for range 1 + r.IntN(2) {
			s.Tls = append(s.Tls, tlsRoute(r, s.Hosts))
		}
	}
	if some(r, 1, 4) {
		s.Http = nil
		s.Tls = append(s.Tls, tlsRoute(r, s.Hosts))
	}
	return Object[*networkingv1alpha3.VirtualService]{Pick(r, "shop", "shop", "bank", "istio-system"), fmt.Sprint("v", i), time.Unix(int64(r.IntN(5)), 0), s}
}

func destination(r *rand.Rand, own []string) *networkingv1alpha3.Destination {
	d := &networkingv1alpha3.Destination{Host: Pick(r, Pick(r, own...), Pick(r, Hosts()...))}
	if some(r, 1, 3) {
		d.Port = &networkingv1alpha3.PortSelector{Number: Pick(r, Ports()...)}
	}
	return d
}

func httpRoute(r *rand.Rand, own []string, certain bool) *networkingv1alpha3.HTTPRoute {
	h := &networkingv1alpha3.HTTPRoute{Name: Pick(r, "", "first", "second")}
	for range r.IntN(3) {
		h.Match = append(h.Match, match(r))
	}
	if some(r, 1, 6) {
		h.DirectResponse = &networkingv1alpha3.HTTPDirectResponse{Status: Pick[uint32](r, 200, 403, 503)}
		return h
	}
	if some(r, 1, 6) {
		h.Redirect = redirect(r)
		return h
	}
	n := Pick(r, 1, 1, 2, 3)
	for range n {
		d := &networkingv1alpha3.HTTPRouteDestination{Destination: destination(r, own), Weight: int32(r.IntN(3) * 10)}
		if some(r, 1, 5) {
			d.Headers = headers(r)
		}
		h.Route = append(h.Route, d)
	}
	h.Route[0].Weight += 10
	h.Timeout = Pick(r, nil, nil, durationpb.New(0), durationpb.New(5*time.Second))
	if some(r, 1, 3) {
		h.Retries = &networkingv1alpha3.HTTPRetry{Attempts: int32(r.IntN(4)), RetryIgnorePreviousHosts: Pick(r, nil, wrapperspb.Bool(false))}
		if h.Retries.Attempts > 0 {
			h.Retries.RetryOn = Pick(r, "", "5xx", "gateway-error, 503,reset", "connect-failure")
			h.Retries.PerTryTimeout, h.Retries.Backoff = Pick(r, nil, durationpb.New(4*time.Second)), Pick(r, nil, durationpb.New(10*time.Millisecond))
		}
	}
	h.Rewrite = Pick(r, nil, nil, rewrite(r))
	if some(r, 1, 4) {
		h.Headers = headers(r)
	}
	fault(r, h, certain)
	if some(r, 1, 6) {
		h.Mirror = destination(r, own)
	}
	if some(r, 1, 6) {
		h.CorsPolicy = &networkingv1alpha3.CorsPolicy{
			AllowOrigins: []*networkingv1alpha3.StringMatch{text(r, "https://x.example")}, AllowMethods: []string{"GET"},
			MaxAge: durationpb.New(time.Minute), UnmatchedPreflights: Pick(r, networkingv1alpha3.CorsPolicy_UNSPECIFIED, networkingv1alpha3.CorsPolicy_FORWARD, networkingv1alpha3.CorsPolicy_IGNORE),
		}
	}
	return h
}

func fault(r *rand.Rand, h *networkingv1alpha3.HTTPRoute, certain bool) {
	if !some(r, 1, 6) {
		return
	}
	share := 100.0
	if !certain {
		share = float64(r.IntN(10001)) / 100
	}
	h.Fault = &networkingv1alpha3.HTTPFaultInjection{Delay: &networkingv1alpha3.HTTPFaultInjection_Delay{
		Percentage:    &networkingv1alpha3.Percent{Value: share},
		HttpDelayType: &networkingv1alpha3.HTTPFaultInjection_Delay_FixedDelay{FixedDelay: durationpb.New(2 * time.Millisecond)},
	}}
	if some(r, 1, 2) {
		h.Fault.Abort = &networkingv1alpha3.HTTPFaultInjection_Abort{
			Percentage: &networkingv1alpha3.Percent{Value: share},
			ErrorType:  &networkingv1alpha3.HTTPFaultInjection_Abort_HttpStatus{HttpStatus: int32(Pick(r, 418, 503, 200))},
		}
		if some(r, 1, 3) {
			h.Fault.Abort.ErrorType = &networkingv1alpha3.HTTPFaultInjection_Abort_GrpcStatus{GrpcStatus: Pick(r, "UNAVAILABLE", "NOT_FOUND", "7")}
		}
	}
}

func redirect(r *rand.Rand) *networkingv1alpha3.HTTPRedirect {
	d := &networkingv1alpha3.HTTPRedirect{
		Uri: Pick(r, "", "/gone", "/gone?x=1"), Authority: Pick(r, "", "to.example", "to.example:81"), Scheme: Pick(r, "", "https", "http"),
		RedirectCode: Pick[uint32](r, 0, 301, 302, 303, 307, 308),
	}
	switch r.IntN(4) {
	case 0:
		d.RedirectPort = &networkingv1alpha3.HTTPRedirect_Port{Port: 8443}
	case 1:
		d.RedirectPort = &networkingv1alpha3.HTTPRedirect_DerivePort{DerivePort: networkingv1alpha3.HTTPRedirect_RedirectPortSelection(r.IntN(2))}
	}
	if d.Uri+d.Authority+d.Scheme == "" {
		d.Uri = "/"
	}
	return d
}

func rewrite(r *rand.Rand) *networkingv1alpha3.HTTPRewrite {
	switch r.IntN(3) {
	case 0:
		return &networkingv1alpha3.HTTPRewrite{Uri: Pick(r, "/", "/new", "/new/")}
	case 1:
		return &networkingv1alpha3.HTTPRewrite{Authority: "new.example", Uri: Pick(r, "", "/x")}
	}
	return &networkingv1alpha3.HTTPRewrite{UriRegexRewrite: &networkingv1alpha3.RegexRewrite{
		Match: Pick(r, "/api/(.*)", "([a-z]+)/?", "^/"), Rewrite: Pick(r, "/v2", `/<\0>`, `/\\$1`),
	}}
}

func headers(r *rand.Rand) *networkingv1alpha3.Headers {
	h := &networkingv1alpha3.Headers{
		Request: &networkingv1alpha3.Headers_HeaderOperations{
			Set: map[string]string{"x-set": Pick(r, "1", "%REQ(x-a)%", "100%%", "")}, Add: map[string]string{"x-add": "%PROTOCOL%"}, Remove: []string{"x-remove"},
		},
		Response: &networkingv1alpha3.Headers_HeaderOperations{Add: map[string]string{"x-out": "%RESPONSE_CODE%"}},
	}
	if some(r, 1, 3) {
		h.Request.Set[Pick(r, "host", ":authority", "Host")] = "set.example"
	}
	return h
}

func text(r *rand.Rand, whole string) *networkingv1alpha3.StringMatch {
	switch r.IntN(3) {
	case 0:
		return &networkingv1alpha3.StringMatch{MatchType: &networkingv1alpha3.StringMatch_Exact{Exact: whole}}
	case 1:
		return &networkingv1alpha3.StringMatch{MatchType: &networkingv1alpha3.StringMatch_Prefix{Prefix: whole[:1+r.IntN(len(whole))]}}
	}
	return &networkingv1alpha3.StringMatch{MatchType: &networkingv1alpha3.StringMatch_Regex{Regex: Pick(r, ".*", whole+".*", "[^x]+", "(?i)"+whole)}}
}

func match(r *rand.Rand) *networkingv1alpha3.HTTPMatchRequest {
	m := &networkingv1alpha3.HTTPMatchRequest{Name: Pick(r, "", "m")}
	if some(r, 2, 3) {
		m.Uri = text(r, Pick(r, Paths()[:4]...))
		m.IgnoreUriCase = m.Uri.GetRegex() == "" && some(r, 1, 3)
	}
	if some(r, 1, 5) {
		m.Method = text(r, Pick(r, "GET", "POST"))
	}
	if some(r, 1, 8) {
		m.Authority = text(r, Pick(r, Hosts()...))
	}
	if some(r, 1, 8) {
		m.Scheme = text(r, Pick(r, "http", "https"))
	}
	if some(r, 1, 5) {
		m.Port = Pick(r, Ports()...)
	}
	if some(r, 1, 4) {
		m.Headers = map[string]*networkingv1alpha3.StringMatch{Pick(r, "x-a", "X-B"): Pick(r, text(r, "one"), &networkingv1alpha3.StringMatch{})}
	}
	if some(r, 1, 8) {
		m.Headers = map[string]*networkingv1alpha3.StringMatch{Pick(r, "Host", "host"): text(r, Pick(r, Hosts()...)), "X-Forwarded-Proto": text(r, "http")}
	}
	if some(r, 1, 4) {
		m.WithoutHeaders = map[string]*networkingv1alpha3.StringMatch{Pick(r, "x-a", "x-b"): Pick(r, text(r, "one"), &networkingv1alpha3.StringMatch{})}
	}
	if some(r, 1, 4) {
		m.QueryParams = map[string]*networkingv1alpha3.StringMatch{Pick(r, "q", "r"): Pick(r, text(r, "one"), &networkingv1alpha3.StringMatch{})}
	}
	return m
}

// Paths are the paths that are matched, then others.
func Paths() []string {
	return []string{"/", "/api/", "/api/v1", "/Static", "/api", "/API/v1/x", "/static/../api/v1", "/other"}
}

func tlsRoute(r *rand.Rand, own []string) *networkingv1alpha3.TLSRoute {
	t := &networkingv1alpha3.TLSRoute{}
	for range 1 + r.IntN(2) {
		m := &networkingv1alpha3.TLSMatchAttributes{SniHosts: []string{Pick(r, own...)}}
		if some(r, 1, 3) {
			m.Port = Pick(r, Ports()...)
		}
		t.Match = append(t.Match, m)
	}
	for range Pick(r, 1, 1, 2) {
		t.Route = append(t.Route, &networkingv1alpha3.RouteDestination{Destination: destination(r, own), Weight: 10})
	}
	return t
}
