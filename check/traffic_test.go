package check_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/check"
	"github.com/outrider-mesh/outrider/explain"
)

// The observations of a connection.
const podSide, sidecarSide = "10.0.0.2:1000", "10.0.0.2:2000"

type counters = map[string]uint64

func arrived(from string) *check.Arrival { return &check.Arrival{From: from} }

// connections are observations, and what they mean.
var connections = []struct {
	name  string
	trial check.Trial
	want  check.Outcome
}{
	{"forwarded", check.Trial{Seen: check.Seen{Local: podSide, Status: 200, Kernel: counters{"proxy": 1}}, Arrival: arrived(sidecarSide)}, check.Forwarded},
	{"bypassed", check.Trial{Seen: check.Seen{Local: podSide, Status: 200, Kernel: counters{"excluded-range": 1}}, Arrival: arrived(podSide)}, check.Bypassed},
	{"no rules", check.Trial{Seen: check.Seen{Local: podSide, Status: 200}, Arrival: arrived(podSide)}, check.Bypassed},
	{"a translated source", check.Trial{Seen: check.Seen{Local: podSide, Status: 200, Kernel: counters{"excluded-range": 1}}, Arrival: arrived(sidecarSide)}, check.Bypassed},
	{"kernel unread, forwarded", check.Trial{Seen: check.Seen{Local: podSide, KernelError: "no"}, Arrival: arrived(sidecarSide)}, check.Forwarded},
	{"kernel unread, bypassed", check.Trial{Seen: check.Seen{Local: podSide, KernelError: "no"}, Arrival: arrived(podSide)}, check.Bypassed},
	{"kernel unread, logged", check.Trial{Seen: check.Seen{Local: podSide, KernelError: "no", Error: "closed"}, Log: []string{"UH BlackHoleCluster"}}, check.Blocked},
	{"kernel unread, counted", check.Trial{Seen: check.Seen{Local: podSide, KernelError: "no", Error: "closed", Sidecar: counters{"tcp.BlackHoleCluster.downstream_cx_total": 1}}}, check.Blocked},
	{"kernel unread, nothing seen", check.Trial{Seen: check.Seen{Local: podSide, KernelError: "no", Error: "closed"}}, check.Lost},
	{"blocked", check.Trial{Seen: check.Seen{Local: podSide, Status: 502, Server: "envoy", Kernel: counters{"proxy": 1}}}, check.Blocked},
	{"not connected by the sidecar", check.Trial{Seen: check.Seen{Local: podSide, Status: 503, Kernel: counters{"proxy": 1}, Sidecar: counters{"cluster.a.upstream_cx_connect_fail": 1}}}, check.Lost},
	{"not connected, by the log", check.Trial{Seen: check.Seen{Local: podSide, Error: "closed", Kernel: counters{"proxy": 1}}, Log: []string{`"- - -" 0 UF upstream`}}, check.Lost},
	{"dropped", check.Trial{Seen: check.Seen{Error: "no response after 12s", Kernel: counters{"excluded-range": 1}}}, check.Lost},
	{"not made", check.Trial{}, check.Untried},
	{"external, by HTTP", check.Trial{External: true, Protocol: "http", Seen: check.Seen{Local: podSide, Status: 200, Server: "envoy", Kernel: counters{"proxy": 1}, Sidecar: counters{"cluster.PassthroughCluster.upstream_rq_total": 1}}}, check.Forwarded},
	{"external, blocked", check.Trial{External: true, Protocol: "http", Seen: check.Seen{Local: podSide, Status: 502, Server: "envoy", Kernel: counters{"proxy": 1}}}, check.Blocked},
	{"external, by TLS", check.Trial{External: true, Protocol: "tls", Seen: check.Seen{Local: podSide, Status: 404, Kernel: counters{"proxy": 1}}}, check.Forwarded},
	{"external, bypassed", check.Trial{External: true, Protocol: "http", Seen: check.Seen{Local: podSide, Status: 301, Kernel: counters{"excluded-port": 1}}}, check.Bypassed},
	{"external, no response", check.Trial{External: true, Protocol: "tls", Seen: check.Seen{Local: podSide, Error: "reset", Kernel: counters{"proxy": 1}}}, check.Blocked},
}

func TestJudge(t *testing.T) {
	for _, c := range connections {
		c.trial.Judge()
		if c.trial.Outcome != c.want {
			t.Errorf("%s: %s, want %s", c.name, c.trial.Outcome, c.want)
		}
	}
}

// tried are facts of a trial of one connection.
func tried(w check.Way, mode string, outcome check.Outcome, configured explain.Connection, seen check.Seen) *check.Facts {
	trial := check.Trial{Way: w, Protocol: "http", Name: "a.example", Address: "10.0.0.1:80", Want: check.Wanted(w, mode), Outcome: outcome, Seen: seen}
	if configured.Outcome != "" {
		trial.Explain(configured)
	}
	return &check.Facts{Unread: map[check.Resource]string{}, Traffic: &check.Traffic{Namespace: "n", Image: "i", Mode: mode, Trials: []check.Trial{trial}}}
}

var (
	excluded   = explain.Connection{Outcome: explain.Bypassed, Redirect: explain.Rule{Text: "its address is in the excluded range 10.0.0.0/8", Source: "ConfigMap istio-system/istio-sidecar-injector", Line: 4, Fix: "remove the range"}}
	redirected = explain.Connection{Outcome: explain.Forwarded, Sidecar: &explain.Sidecar{Rule: explain.Rule{Text: "no ServiceEntry declares it", Source: "default"}}}
	aborted    = explain.Connection{Outcome: explain.Answered, Sidecar: &explain.Sidecar{Rule: explain.Rule{Text: "fault.abort applies", Source: "VirtualService a/b"}}}
)

// verdicts are connections whose outcome is not what was to happen, and what the report has.
var verdicts = []struct {
	name  string
	facts *check.Facts
	check string
	text  string
	fix   string
}{
	{"bypass by the configuration", tried(check.Passthrough, "ALLOW_ANY", check.Bypassed, excluded, check.Seen{Kernel: counters{"excluded-range": 1}}),
		"traffic-passthrough", "A bypass that should not be: a connection to an undeclared host", "istio-sidecar-injector, line 4; to change it: remove the range"},
	{"bypass by another program", tried(check.Controlled, "ALLOW_ANY", check.Bypassed, redirected, check.Seen{Kernel: counters{"loopback-address": 1}}),
		"traffic-controlled", "a connection to a declared host does not go through", "another webhook changes the pod, or another program its rules"},
	{"no rules", tried(check.Controlled, "ALLOW_ANY", check.Bypassed, redirected, check.Seen{}), "traffic-controlled", "bypass that should not be", "has none of the rules"},
	{"block by an object", tried(check.Controlled, "REGISTRY_ONLY", check.Blocked, aborted, check.Seen{}), "traffic-controlled", "A block that should not be", "fault.abort applies, by VirtualService a/b"},
	{"block by an old configuration", tried(check.Passthrough, "ALLOW_ANY", check.Blocked, redirected, check.Seen{}), "traffic-passthrough", "A block that should not be", "newest configuration"},
	{"block, not explained", tried(check.Passthrough, "ALLOW_ANY", check.Blocked, explain.Connection{}, check.Seen{}), "traffic-passthrough", "A block that should not be", "outrider explain"},
	{"not blocked", tried(check.Passthrough, "REGISTRY_ONLY", check.Forwarded, redirected, check.Seen{}), "traffic-passthrough", "is forwarded, and should be blocked", "no ServiceEntry declares it"},
	{"not as declared", tried(check.Controlled, "ALLOW_ANY", check.Forwarded, redirected, check.Seen{Sidecar: counters{"cluster.PassthroughCluster.upstream_rq_total": 1}}),
		"traffic-controlled", "as if the host were not declared", "no ServiceEntry declares it"},
	{"network, of the sidecar", tried(check.Controlled, "ALLOW_ANY", check.Lost, redirected, check.Seen{Kernel: counters{"proxy": 1}}), "traffic-controlled", "the sidecar cannot connect", "NetworkPolicies"},
	{"network, bypassing", tried(check.Passthrough, "ALLOW_ANY", check.Lost, redirected, check.Seen{Kernel: counters{"excluded-port": 1}}), "traffic-passthrough", "and does not arrive", "NetworkPolicies"},
	{"network, of an excluded address", tried(check.Bypass, "ALLOW_ANY", check.Lost, redirected, check.Seen{}), "traffic-bypass", "does not arrive", "NetworkPolicies"},
	{"excluded, and redirected", tried(check.Bypass, "ALLOW_ANY", check.Forwarded, excluded, check.Seen{}), "traffic-bypass", "goes through the sidecar, and should not", "newest configuration"},
	{"not made", tried(check.Bypass, "ALLOW_ANY", check.Untried, redirected, check.Seen{}), "traffic-bypass", "was not made", "newest configuration"},
}

func TestTrafficVerdicts(t *testing.T) {
	for _, c := range verdicts {
		report := check.Run(c.facts)
		if !slices.ContainsFunc(report.Results, func(r check.Result) bool {
			return r.Check == c.check && r.Status == check.Failed && strings.Contains(r.What, c.text) && strings.Contains(r.What, "(1 of 1 connections)") && strings.Contains(r.Fix, c.fix)
		}) {
			t.Errorf("%s: not found; %s", c.name, report.Text(false))
		}
	}
}

// TestTrafficPasses: what was to happen has happened, with what was seen of it.
func TestTrafficPasses(t *testing.T) {
	f := tried(check.Controlled, "REGISTRY_ONLY", check.Forwarded, redirected, check.Seen{
		Local: podSide, Kernel: counters{"proxy": 1, "everything": 1}, Sidecar: counters{"cluster.outbound|80||a.example.upstream_cx_total": 1, "cluster.outbound|80||a.example.upstream_rq_total": 2},
	})
	f.Traffic.Trials[0].Arrival = &check.Arrival{From: sidecarSide, Headers: []string{"X-Request-Id"}}
	f.Traffic.Trials[0].Log = []string{"GET / 200"}
	f.Traffic.Trials = append(f.Traffic.Trials, check.Trial{Way: check.Bypass, Protocol: "tls", Name: "a.example", Address: "10.0.0.1:443", Want: check.Bypassed, Outcome: check.Bypassed, Seen: check.Seen{Local: podSide, KernelError: "no", SidecarError: "no"}, Arrival: arrived(podSide)})
	f.Traffic.Notes = []string{"a note"}
	f.Traffic.Leftovers = []check.Leftover{{Name: "namespace/a", Removed: true}}
	report := check.Run(f)
	want := `✓ traffic-pods: The pods ran in namespace n, with image i.
    a note
- traffic-passthrough: It was not tried: see traffic-pods.
✓ traffic-controlled: A declared host is reached through the sidecar (1 connections).
    HTTP to a.example at 10.0.0.1:80: forwarded
      arrived: from 10.0.0.2:2000, the pod's connection was 10.0.0.2:1000, with X-Request-Id
      kernel: everything +1, proxy +1
      sidecar: outbound|80||a.example: connections +1, requests +2
      log: GET / 200
      configuration: forwarded: no ServiceEntry declares it, by default
✓ traffic-bypass: An excluded address bypasses the sidecar (1 connections).
    TLS to a.example at 10.0.0.1:443: bypassed
      arrived: from the pod's own connection 10.0.0.2:1000
      kernel: not read: no
      sidecar: not read: no
✓ traffic-leftovers: What earlier runs have left was removed.
    namespace/a
`
	if got := report.Text(false); !strings.Contains(got, want) || report.Status != check.Skipped {
		t.Errorf("%s\nwant:\n%s", got, want)
	}
}

// TestTrafficStopped: what keeps the pods from running is a failure, and no way passes.
func TestTrafficStopped(t *testing.T) {
	f := tried(check.Controlled, "", check.Forwarded, redirected, check.Seen{})
	f.Traffic.Stopped = &check.Stop{What: "Image a cannot be pulled.", Fix: "set another one with --image", Details: []string{"not found"}}
	f.Traffic.Leftovers = []check.Leftover{{Name: "namespace/a", Note: "the run may be active", Command: "kubectl delete namespace a"}}
	got := map[string]check.Status{}
	for _, r := range check.Run(f).Results {
		got[r.Check] = r.Status
	}
	want := map[string]check.Status{"api-reachable": check.Passed, "traffic-pods": check.Failed, "traffic-passthrough": check.Skipped, "traffic-controlled": check.Skipped, "traffic-bypass": check.Skipped, "traffic-leftovers": check.Warning}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// TestChanges: only what has grown, of what a connection changes.
func TestChanges(t *testing.T) {
	if got := check.Changes(counters{"a": 1, "b": 2}, counters{"a": 1, "b": 3, "c": 1}); !maps.Equal(got, counters{"b": 1, "c": 1}) {
		t.Error(got)
	}
	for name, want := range map[string]bool{
		"cluster.outbound|80||a.upstream_rq_total": true, "cluster.PassthroughCluster.upstream_cx_total": true, "tcp.BlackHoleCluster.downstream_cx_total": true,
		"cluster.xds-grpc.upstream_rq_total": false, "cluster.admin.upstream_rq_total": false, "cluster.a.upstream_rq_200": false, "server.uptime": false,
	} {
		if check.Relevant(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}
