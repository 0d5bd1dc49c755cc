package envoy_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/test/egresstest"
	"github.com/outrider-mesh/outrider/test/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
)

var texts = flag.Int("texts", 300, "how many random texts of each field to compare with the real Envoy")

// routeTexts are the fields of VirtualServices whose text is part of a route, with
// texts that are valid.
var routeTexts = map[string]struct {
	seeds []string
	set   func(r *networking.HTTPRoute, text string)
}{
	"name":          {[]string{"v1"}, func(r *networking.HTTPRoute, s string) { r.Name = s }},
	"match name":    {[]string{"m"}, func(r *networking.HTTPRoute, s string) { r.Match[0].Name = s }},
	"uri exact":     {paths, func(r *networking.HTTPRoute, s string) { r.Match[0].Uri = exact(s) }},
	"uri prefix":    {paths, func(r *networking.HTTPRoute, s string) { r.Match[0].Uri = prefix(s) }},
	"method":        {[]string{"GET", "POST"}, func(r *networking.HTTPRoute, s string) { r.Match[0].Method = exact(s) }},
	"scheme":        {[]string{"http", "https"}, func(r *networking.HTTPRoute, s string) { r.Match[0].Scheme = prefix(s) }},
	"authority":     {names, func(r *networking.HTTPRoute, s string) { r.Match[0].Authority = exact(s) }},
	"header name":   {headers, func(r *networking.HTTPRoute, s string) { r.Match[0].Headers[s] = exact("v") }},
	"header exact":  {values, func(r *networking.HTTPRoute, s string) { r.Match[0].Headers["x-a"] = exact(s) }},
	"header prefix": {values, func(r *networking.HTTPRoute, s string) { r.Match[0].Headers["x-a"] = prefix(s) }},
	"without header": {headers, func(r *networking.HTTPRoute, s string) {
		r.Match[0].WithoutHeaders = map[string]*networking.StringMatch{s: prefix("v")}
	}},
	"query name": {headers, func(r *networking.HTTPRoute, s string) {
		r.Match[0].QueryParams = map[string]*networking.StringMatch{s: exact("v")}
	}},
	"query exact": {values, func(r *networking.HTTPRoute, s string) {
		r.Match[0].QueryParams = map[string]*networking.StringMatch{"q": exact(s)}
	}},
	"set name": {headers, func(r *networking.HTTPRoute, s string) {
		r.Headers = &networking.Headers{Request: &networking.Headers_HeaderOperations{Set: map[string]string{s: "v"}}}
	}},
	"set value": {formats, func(r *networking.HTTPRoute, s string) {
		r.Headers = &networking.Headers{Request: &networking.Headers_HeaderOperations{Set: map[string]string{"x-a": s}}}
	}},
	"set host": {names, func(r *networking.HTTPRoute, s string) {
		r.Headers = &networking.Headers{Request: &networking.Headers_HeaderOperations{Set: map[string]string{"host": s}}}
	}},
	"add name": {headers, func(r *networking.HTTPRoute, s string) {
		r.Headers = &networking.Headers{Response: &networking.Headers_HeaderOperations{Add: map[string]string{s: "v"}}}
	}},
	"add value": {formats, func(r *networking.HTTPRoute, s string) {
		r.Headers = &networking.Headers{Response: &networking.Headers_HeaderOperations{Add: map[string]string{"x-a": s}}}
	}},
	"remove": {headers, func(r *networking.HTTPRoute, s string) {
		r.Headers = &networking.Headers{Request: &networking.Headers_HeaderOperations{Remove: []string{s}}}
	}},
	"destination header": {formats, func(r *networking.HTTPRoute, s string) {
		r.Route[0].Headers = &networking.Headers{Response: &networking.Headers_HeaderOperations{Set: map[string]string{"x-a": s}}}
	}},
	"rewrite uri": {paths, func(r *networking.HTTPRoute, s string) {
		r.Match[0].Uri = prefix("/a/")
		r.Rewrite = &networking.HTTPRewrite{Uri: s}
	}},
	"rewrite authority": {names, func(r *networking.HTTPRoute, s string) { r.Rewrite = &networking.HTTPRewrite{Authority: s} }},
	"rewrite regex": {[]string{`\1`, `/\0/x`, "/a"}, func(r *networking.HTTPRoute, s string) {
		r.Rewrite = &networking.HTTPRewrite{UriRegexRewrite: &networking.RegexRewrite{Match: "/(a)(b)", Rewrite: s}}
	}},
	"redirect uri": {append(paths, formats...), func(r *networking.HTTPRoute, s string) { r.Route, r.Redirect = nil, &networking.HTTPRedirect{Uri: s} }},
	"redirect authority": {names, func(r *networking.HTTPRoute, s string) {
		r.Route, r.Redirect = nil, &networking.HTTPRedirect{Authority: s}
	}},
	"redirect scheme": {[]string{"https"}, func(r *networking.HTTPRoute, s string) {
		r.Route, r.Redirect = nil, &networking.HTTPRedirect{Scheme: s}
	}},
	"response body": {values, func(r *networking.HTTPRoute, s string) {
		r.Route, r.DirectResponse = nil, &networking.HTTPDirectResponse{Status: 200, Body: &networking.HTTPBody{Specifier: &networking.HTTPBody_String_{String_: s}}}
	}},
	"retryOn": {[]string{"5xx,reset", "503,gateway-error", "connect-failure"}, func(r *networking.HTTPRoute, s string) {
		r.Retries = &networking.HTTPRetry{Attempts: 2, RetryOn: s}
	}},
	"cors origin": {names, func(r *networking.HTTPRoute, s string) {
		r.CorsPolicy = &networking.CorsPolicy{AllowOrigins: []*networking.StringMatch{exact(s), prefix(s)}}
	}},
	"cors method": {[]string{"GET"}, func(r *networking.HTTPRoute, s string) {
		r.CorsPolicy = &networking.CorsPolicy{AllowMethods: []string{s}}
	}},
	"cors header": {headers, func(r *networking.HTTPRoute, s string) {
		r.CorsPolicy = &networking.CorsPolicy{AllowHeaders: []string{s}}
	}},
	"cors exposed": {headers, func(r *networking.HTTPRoute, s string) {
		r.CorsPolicy = &networking.CorsPolicy{ExposeHeaders: []string{s}}
	}},
	"mirror":  {names, func(r *networking.HTTPRoute, s string) { r.Mirror = &networking.Destination{Host: s} }},
	"numbers": {[]string{"1", "100.5", "0.0001", "599"}, setNumbers},
}

// setNumbers sets durations, shares and statuses to numbers that a text is read as.
func setNumbers(r *networking.HTTPRoute, s string) {
	var n float64
	_, _ = fmt.Sscan(s, &n)
	d := durationpb.New(time.Duration(n * float64(time.Second)))
	switch int(n) % 3 {
	case 0:
		r.Timeout = d
	case 1:
		r.Retries = &networking.HTTPRetry{Attempts: int32(n), PerTryTimeout: d, Backoff: d}
	default:
		r.CorsPolicy = &networking.CorsPolicy{AllowMethods: []string{"GET"}, MaxAge: d}
	}
	r.Fault = &networking.HTTPFaultInjection{
		Delay: &networking.HTTPFaultInjection_Delay{Percentage: &networking.Percent{Value: n}, HttpDelayType: &networking.HTTPFaultInjection_Delay_FixedDelay{FixedDelay: d}},
		Abort: &networking.HTTPFaultInjection_Abort{Percentage: &networking.Percent{Value: n}, ErrorType: &networking.HTTPFaultInjection_Abort_HttpStatus{HttpStatus: 200 + int32(n)}},
	}
}

// entryTexts are the fields of ServiceEntries.
var entryTexts = map[string]struct {
	seeds []string
	set   func(e *networking.ServiceEntry, text string)
}{
	"host":        {names, func(e *networking.ServiceEntry, s string) { e.Hosts = []string{s} }},
	"TLS host":    {names, func(e *networking.ServiceEntry, s string) { e.Hosts, e.Ports[0].Protocol = []string{s}, "TLS" }},
	"port name":   {[]string{"http", "tcp-1"}, func(e *networking.ServiceEntry, s string) { e.Ports[0].Name = s }},
	"protocol":    {[]string{"HTTP", "TLS", "GRPC", "TCP"}, func(e *networking.ServiceEntry, s string) { e.Ports[0].Protocol = s }},
	"address":     {addresses, func(e *networking.ServiceEntry, s string) { e.Addresses = []string{s} }},
	"TCP address": {addresses, func(e *networking.ServiceEntry, s string) { e.Addresses, e.Ports[0].Protocol = []string{s}, "TCP" }},
	"TLS address": {addresses, func(e *networking.ServiceEntry, s string) { e.Addresses, e.Ports[0].Protocol = []string{s}, "TLS" }},
	"endpoint":    {append(addresses, names...), func(e *networking.ServiceEntry, s string) { e.Endpoints = []*networking.WorkloadEntry{{Address: s}} }},
	"static endpoint": {addresses, func(e *networking.ServiceEntry, s string) {
		e.Resolution, e.Endpoints = networking.ServiceEntry_STATIC, []*networking.WorkloadEntry{{Address: s}}
	}},
	"TLS endpoint": {append(addresses, names...), func(e *networking.ServiceEntry, s string) {
		e.Ports[0].Protocol, e.Endpoints = "TLS", []*networking.WorkloadEntry{{Address: s}, {Address: "b.test"}}
	}},
	"port of endpoint": {[]string{"p"}, func(e *networking.ServiceEntry, s string) {
		e.Endpoints = []*networking.WorkloadEntry{{Address: "b.test", Ports: map[string]uint32{s: 81}}}
	}},
}

var (
	paths     = []string{"/", "/a/b", "/%41", "/a?b", "/é", "//"}
	names     = []string{"a.test", "*.a.test", "xn--bcher-kva.test", "a.test:80", "A.test.", "192.0.2.1", "[2001:db8::1]:80", "a_b.test", "*"}
	headers   = []string{"x-a", "X-B", "cookie", "host", ":path", "connection", "x-envoy-a", "te"}
	values    = []string{"v", "", "a b", "\t", "é", `"q"`, "%", "%%"}
	formats   = []string{"v", "%REQ(X-A)%", "%START_TIME(%s.%3f)%", "%START_TIME(%n)%", "%%", "%PROTOCOL%", "%REQ(X?Y):3%", "%UPSTREAM_HOST%", "%RESP(a)%x", "%DURATION%"}
	addresses = []string{"192.0.2.1", "192.0.2.0/24", "2001:db8::1", "2001:db8::/32", "fe80::1%eth0", "127.0.0.1", "::ffff:1.2.3.4", "0.0.0.0/0"}
)

func exact(s string) *networking.StringMatch {
	return &networking.StringMatch{MatchType: &networking.StringMatch_Exact{Exact: s}}
}

func prefix(s string) *networking.StringMatch {
	return &networking.StringMatch{MatchType: &networking.StringMatch_Prefix{Prefix: s}}
}

var fragments = strings.Split(`a A 0 . - _ / : ; , ? # % %% %REQ( )% %( * [ ] { } " ' \ \0 \1 \9 \\ = & + ~ @ ! | ^ $ < > xn-- .. :80 :0 :99999 /32 /129 %eth0 é ü 😀 http https GET %41 %zz -1 1e9 NaN 1e-9 `+
	`:path :authority host x-envoy- x-outrider- content-length transfer-encoding upgrade 5xx reset 200 600`, " ")

// randomText is a valid text with changes, or a random one.
func randomText(r *rand.Rand, seeds []string) string {
	text := seeds[r.IntN(len(seeds))]
	for range r.IntN(4) {
		at := r.IntN(len(text) + 1)
		switch r.IntN(6) {
		case 0: // without the rest
			text = text[:at]
		case 1: // any character, control characters among them
			text = text[:at] + string(rune(r.IntN(0x180))) + text[at:]
		case 2:
			text += seeds[r.IntN(len(seeds))]
		case 3:
			text = text[:at] + strings.Repeat(fragments[r.IntN(len(fragments))], r.IntN(200)) + text[at:]
		default:
			text = text[:at] + fragments[r.IntN(len(fragments))] + text[at:]
		}
	}
	return strings.ToValidUTF8(text, "?")
}

// How many texts Envoy reads at once: a route each, or a listener each.
const (
	routeBatch    = 4000
	listenerBatch = 1000
)

// TestEnvoyAcceptsTheTexts makes random texts for each field that Envoy gets, and has
// the real Envoy read those that validation accepts. What validation rejects has a
// rule.
func TestEnvoyAcceptsTheTexts(t *testing.T) {
	program := envoy.Require(t)
	mesh := egress.CompileMesh(nil)
	declared := egress.ServiceEntry{Meta: egress.Meta{Namespace: "shop", Name: "declared"}, Spec: &networking.ServiceEntry{
		Hosts: []string{"a.test"}, Ports: []*networking.ServicePort{{Number: 80, Name: "http", Protocol: "HTTP"}}, Resolution: networking.ServiceEntry_DNS,
	}}
	for name, field := range routeTexts {
		t.Run("route/"+name, func(t *testing.T) {
			compareTexts(t, field.seeds, func(text string) (problem.List, *networking.HTTPRoute) {
				r := &networking.HTTPRoute{
					Match: []*networking.HTTPMatchRequest{{Headers: map[string]*networking.StringMatch{"x-n": exact("1")}}},
					Route: []*networking.HTTPRouteDestination{{Destination: &networking.Destination{Host: "a.test"}}},
				}
				field.set(r, text)
				return egress.CheckVirtualService(routesOf(r), mesh), r
			}, func(all []*networking.HTTPRoute) egresstest.Messages {
				model, _ := egress.Build(egress.Input{Mesh: mesh, ServiceEntries: []egress.ServiceEntry{declared}, VirtualServices: []egress.VirtualService{routesOf(all...)}})
				return egresstest.Make(t, model.View("shop"))
			}, program, routeBatch)
		})
	}
	for name, field := range entryTexts {
		t.Run("entry/"+name, func(t *testing.T) {
			compareTexts(t, field.seeds, func(text string) (problem.List, *networking.ServiceEntry) {
				e := &networking.ServiceEntry{
					Hosts: []string{"a.test"}, Ports: []*networking.ServicePort{{Number: 443, Name: "p", Protocol: "HTTP"}}, Resolution: networking.ServiceEntry_DNS,
				}
				field.set(e, text)
				return egress.CheckServiceEntry(egress.ServiceEntry{Meta: egress.Meta{Namespace: "shop", Name: "e"}, Spec: e}, mesh), e
			}, func(all []*networking.ServiceEntry) egresstest.Messages {
				in := egress.Input{Mesh: mesh}
				for i, e := range all { // one port for each, so that all are in effect
					e.Ports[0].Number = uint32(16000 + i)
					in.ServiceEntries = append(in.ServiceEntries, egress.ServiceEntry{Meta: egress.Meta{Namespace: "shop", Name: fmt.Sprint("e", i)}, Spec: e})
				}
				model, _ := egress.Build(in)
				return egresstest.Make(t, model.View("shop"))
			}, program, listenerBatch)
		})
	}
	t.Run("log format", func(t *testing.T) { logTexts(t, program) })
}

// logTexts has all formats in one configuration: each is that of another mesh. It has
// no CEL, whose expressions only Envoy reads: a sidecar that rejects one gets the
// default format.
func logTexts(t *testing.T, program string) {
	compareTexts(t, append(formats, `%FILTER_STATE(a:PLAIN)%`, `%DYNAMIC_METADATA(a:b)%`, `%ENVIRONMENT(A)%`), func(text string) (problem.List, *egress.Mesh) {
		c, _ := config.Parse(config.Texts{}, config.Labels{})
		mc := c.Mesh
		mc.AccessLogFile, mc.AccessLogFormat, mc.AccessLogEncoding = "/dev/stdout", text, meshconfig.MeshConfig_TEXT
		m := egress.CompileMesh(mc)
		return m.Problems(), m
	}, func(all []*egress.Mesh) (out egresstest.Messages) {
		for i, m := range all {
			model, _ := egress.Build(egress.Input{Mesh: m})
			made := egresstest.Make(t, model.View("shop"))
			l := made.Listeners[0]
			l.Name, l.FilterChainMatcher, l.UseOriginalDst = fmt.Sprint("log ", i), nil, nil
			l.AdditionalAddresses, l.FilterChains = nil, l.FilterChains[:1]
			l.Address.GetSocketAddress().Address = "127.0.0.1"
			l.Address.GetSocketAddress().PortSpecifier = &corev3.SocketAddress_PortValue{PortValue: uint32(20000 + i)}
			if i == 0 {
				out.Clusters = made.Clusters
			}
			out.Listeners = append(out.Listeners, l)
		}
		return out
	}, program, listenerBatch)
}

func routesOf(all ...*networking.HTTPRoute) egress.VirtualService {
	return egress.VirtualService{Meta: egress.Meta{Namespace: "shop", Name: "v"}, Spec: &networking.VirtualService{Hosts: []string{"a.test"}, Http: all}}
}

// compareTexts compares validation with the real Envoy for one field.
func compareTexts[T any](t *testing.T, seeds []string, check func(string) (problem.List, T), make func([]T) egresstest.Messages, program string, size int) {
	t.Helper()
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 3))
	accepted := 0
	file := filepath.Join(t.TempDir(), "bootstrap.pb") // which Envoy reads faster than JSON
	accepts := func(all []T) ([]byte, bool) {
		text, err := proto.Marshal(make(all).Bootstrap(t))
		kit.Must(t, err)
		kit.Must(t, os.WriteFile(file, text, 0o600))
		out, err := exec.CommandContext(t.Context(), program, "--mode", "validate", "-c", file, "--log-level", "error").CombinedOutput()
		return out, err == nil
	}
	for made := 0; made < *texts; {
		var batch []T
		var of []string
		for ; made < *texts && len(batch) < size; made++ {
			text := randomText(random, seeds)
			problems, object := check(text)
			if problems.Err() == nil {
				batch, of = append(batch, object), append(of, text)
				continue
			}
			for _, p := range problems {
				if p.Rule == "" || p.Path == "" {
					t.Fatalf("seed %d: %q is rejected without a rule or path: %v", seed, text, p)
				}
			}
		}
		accepted += len(batch)
		if out, ok := accepts(batch); !ok {
			for len(batch) > 1 {
				half := len(batch) / 2
				if _, ok := accepts(batch[:half]); ok {
					batch, of = batch[half:], of[half:]
				} else {
					batch, of = batch[:half], of[:half]
				}
				out, _ = accepts(batch)
			}
			t.Fatalf("seed %d: Envoy rejects %q, validation accepts it:\n%s", seed, of[0], out[max(0, len(out)-1000):])
		}
	}
	t.Logf("%d texts, %d valid", *texts, accepted)
}
