package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// hijackURLs are requests of a namespace whose hosts another one tries to take over: to
// hosts that it declares, that the root namespace declares, that nobody declares, and to
// a Service.
var hijackURLs = []string{
	"http://httpbin.org/headers", "https://www.google.com/", "http://en.wikipedia.org/headers", "https://en.wikipedia.org/",
	"http://edition.cnn.com/", "https://edition.cnn.com/", server + "/headers",
}

// istioDefault is a mesh as Istio has it without settings: objects are for all namespaces.
const istioDefault = `kubectl -n istio-system patch configmap istio --type merge -p '{"data": {"mesh": "accessLogFile: /dev/stdout\noutboundTrafficPolicy: {mode: REGISTRY_ONLY}\n"}}'`

const rootEntry = `kubectl apply -f - <<EOF
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wikipedia, namespace: istio-system}
spec:
  exportTo: ["*"]
  hosts: ["*.wikipedia.org"]
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]
EOF`

// hijackers are what the other namespace tries; THIEF is its own server, and EXPORT its
// exportTo.
var hijackers = []struct{ name, objects string }{
	{"endpoints", thiefEntry("e", "hosts: [httpbin.org], ports: [{number: 80, name: http, protocol: HTTP}], resolution: STATIC, endpoints: [{address: THIEF}]")},
	{"a wildcard", thiefEntry("e", `hosts: ["*.google.com"], ports: [{number: 443, name: tls, protocol: TLS}], resolution: STATIC, endpoints: [{address: THIEF}]`)},
	{"other protocols", thiefEntry("e", "hosts: [httpbin.org, www.google.com], ports: [{number: 80, name: tls, protocol: TLS}, {number: 443, name: http, protocol: HTTP}], resolution: STATIC, endpoints: [{address: THIEF}]")},
	{"addresses", thiefEntry("e", "hosts: [mine.example.com], addresses: [HTTPBIN, CNN], ports: [{number: 80, name: a, protocol: TCP}, {number: 443, name: b, protocol: TCP}], resolution: STATIC, endpoints: [{address: THIEF}]")},
	{"a host of the root namespace", thiefEntry("e", `hosts: [en.wikipedia.org], ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}], resolution: STATIC, endpoints: [{address: THIEF}]`)},
	{"a host that nobody declares", thiefEntry("e", `hosts: [edition.cnn.com], ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}], resolution: STATIC, endpoints: [{address: THIEF}]`)},
	{"routes", thiefEntry("e", `hosts: [own.example.com], ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}], resolution: STATIC, endpoints: [{address: THIEF}]`) + "---\n" +
		thiefObject("VirtualService", "v", `hosts: [httpbin.org, "*.wikipedia.org", edition.cnn.com], http: [{headers: {response: {set: {x-by: thief}}}, route: [{destination: {host: own.example.com}}], mirror: {host: own.example.com}}]`) + "---\n" +
		thiefObject("VirtualService", "w", `hosts: [www.google.com], tls: [{match: [{sniHosts: [www.google.com]}], route: [{destination: {host: own.example.com, port: {number: 443}}}]}]`)},
}

func thiefEntry(name, spec string) string { return thiefObject("ServiceEntry", name, spec) }

func thiefObject(kind, name, spec string) string {
	return "{apiVersion: networking.istio.io/v1, kind: " + kind + ", metadata: {name: " + name + "}, spec: {EXPORT" + spec + "}}\n"
}

// hijack: with the shipped settings a namespace cannot change what another's requests get,
// where they go or what is logged about them, whatever it exports; kubectl prints a
// warning. With Istio's default the authors of both objects get one.
func hijack(t *testing.T, s *Suite) {
	n, thief := s.Namespace(t, "hijacked", injected), s.Namespace(t, "thief")
	t.Cleanup(func() {
		s.undo(t, "kubectl apply -f deploy/settings.yaml; kubectl -n istio-system delete serviceentry wikipedia --ignore-not-found")
	})
	n.run(toRegistryOnly)
	n.run("kubectl apply -f samples/sleep/sleep.yaml")
	n.run(httpbinEntry)
	n.run(googleEntry)
	n.run(rootEntry)
	n.rolledOut("deployment/sleep")
	p := n.pod("-l app=sleep")
	eventually(t, "the namespace has its hosts, and no others", func() error {
		got := p.hijackable(t)
		for _, text := range []string{"outbound|80||httpbin.org", "outbound|443||www.google.com", "outbound|80||*.wikipedia.org", "outbound|443||*.wikipedia.org", "block_all", "BlackHoleCluster", "PassthroughCluster"} {
			if !strings.Contains(got, text) {
				return fmt.Errorf("%q is not in\n%s", text, got)
			}
		}
		return nil
	})
	before := p.hijackable(t)
	for _, h := range hijackers {
		out := thief.applied(h.objects, `exportTo: ["*"], `)
		const warning = `serviceEntryVisibility of the mesh is NAMESPACE for namespace thief: no other one sees this entry; use ["."], or ask the administrator of the mesh`
		if !strings.Contains(out, "Warning: ServiceEntry thief/e: spec.exportTo: no effect: "+warning) {
			t.Errorf("%s: kubectl prints %s", h.name, out)
		}
		thief.conditionHas(t, "serviceentry/e", warning)
		if got := p.hijackable(t); got != before {
			t.Errorf("%s: the requests get\n%s\nwant\n%s", h.name, got, before)
		}
		thief.run("kubectl delete virtualservices,serviceentries --all")
	}

	n.run(istioDefault)
	eventually(t, "the mesh is as Istio has it", func() error {
		out := thief.applied(hijackers[0].objects, "")
		const takes = `Warning: ServiceEntry thief/e: spec.hosts: "httpbin.org": ServiceEntry hijacked/httpbin-ext takes precedence in other namespaces (older); set exportTo: ["."] to limit this one to its namespace`
		if !strings.Contains(out, takes) {
			thief.run("kubectl delete serviceentries --all")
			return fmt.Errorf("kubectl prints %s", out)
		}
		return nil
	})
	thief.conditionHas(t, "serviceentry/e", `spec.hosts: "httpbin.org": ServiceEntry hijacked/httpbin-ext takes precedence in other namespaces (older)`)
	n.conditionHas(t, "serviceentry/httpbin-ext", `spec.hosts: "httpbin.org": takes precedence over ServiceEntry thief/e in other namespaces (older); set exportTo to limit it`)
	out := thief.applied(hijackers[len(hijackers)-1].objects, "")
	if want := `Warning: VirtualService thief/v: spec.hosts[0]: "httpbin.org": applies in namespace thief only: in others, the routes of the namespace that declares the host, and of the root namespace, apply: there ServiceEntry hijacked/httpbin-ext declares httpbin.org`; !strings.Contains(out, want) {
		t.Errorf("kubectl prints %s, want %s", out, want)
	}
	thief.conditionHas(t, "virtualservice/v", "applies in namespace thief only")
	n.conditionHas(t, "serviceentry/httpbin-ext", `spec.hosts: "httpbin.org": routes for this host are in another namespace (VirtualService thief/v): they apply in that namespace only`)
	if got := p.hijackable(t); got != before {
		t.Errorf("with Istio's default the requests get\n%s\nwant\n%s", got, before)
	}
	thief.applied(hijackers[5].objects, "")
	eventually(t, "a host that nobody else declares is opened, which shows that a difference would be noticed", func() error {
		if got := p.hijackable(t); !strings.Contains(got, `"`+n.Host("thief.example.com").IPv4.String()+`:443" outbound|443||edition.cnn.com`) {
			return fmt.Errorf("%s", got)
		}
		return nil
	})
}

// applied applies objects and returns what kubectl prints.
func (n *Namespace) applied(objects, exportTo string) string {
	n.t.Helper()
	ip := func(name string) string { return n.Host(name).IPv4.String() }
	text := strings.NewReplacer("THIEF", ip("thief.example.com"), "HTTPBIN", ip("httpbin.org"), "CNN", ip("edition.cnn.com"), "EXPORT", exportTo).Replace(objects)
	return n.run("kubectl apply -f - 2>&1 <<'EOF'\n" + text + "EOF")
}

// conditionHas waits until the condition of an object contains a text.
func (n *Namespace) conditionHas(t *testing.T, object, text string) {
	t.Helper()
	eventually(t, "the status of "+object+" has "+text, func() error {
		out := n.run("kubectl get " + object + ` -o jsonpath='{.status.conditions[?(@.type=="Accepted")].message}'`)
		if !strings.Contains(out, text) {
			return fmt.Errorf("it has %s", out)
		}
		return nil
	})
}

// What differs between two requests that get the same: times, random IDs, ephemeral ports,
// the length of TLS signatures, and who closes a connection first.
var (
	hijackVaries = regexp.MustCompile(`(?im)^(date|x-envoy-upstream-service-time): .*$|"X-Request-Id": "[^"]*"`)
	hijackLog    = regexp.MustCompile(`^\[[^]]*\] ("[^"]*" \d+) \S+ (\S+) .* ("[^"]*" "[^"]*" \S+) \S+ (\S+) \S+ (\S+ \S+)$`)
)

// hijackable is what the requests of a pod get, and what its sidecar logs about them.
func (p *Pod) hijackable(t *testing.T) string {
	t.Helper()
	logged := strings.Count(p.log(), "\n")
	out := p.n.run("kubectl exec " + p.name + " -c sleep -- sh -c '" +
		`for u in ` + strings.Join(hijackURLs, " ") + `; do echo "$u"; curl -s --max-time 15 -D- "$u"; echo " exit code $?"; done'`)
	var lines []string
	eventually(t, "the sidecar has logged the requests", func() error {
		lines = nil
		for i, line := range strings.Split(strings.TrimSuffix(p.log(), "\n"), "\n") {
			if i >= logged {
				lines = append(lines, hijackLog.ReplaceAllString(line, "$1 $2 $3 $4 $5"))
			}
		}
		if len(lines) < len(hijackURLs) {
			return fmt.Errorf("%d lines", len(lines))
		}
		return nil
	})
	slices.Sort(lines)
	return hijackVaries.ReplaceAllString(out, "") + strings.Join(lines, "\n")
}
