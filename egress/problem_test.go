package egress_test

import (
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/egresstest"
	"github.com/outrider-mesh/outrider/test/kit"
)

// TestProblems has invalid inputs, with all their problems and the clusters
// that remain.
func TestProblems(t *testing.T) {
	const port80 = `ports: [{number: 80, name: http, protocol: HTTP}], `
	for name, c := range map[string]struct {
		text, want string   // of the problems, a part of each, one a line
		left       []string // clusters
	}{
		"no hosts":     {egresstest.EntryText(`{` + port80 + `resolution: DNS}`), "spec.hosts: service entry must have at least one host", nil},
		"no ports":     {egresstest.EntryText(`{hosts: [a.example]}`), "spec.ports: service entry must have at least one port", nil},
		"one bad host": {egresstest.EntryText(`{hosts: [a.example, "a b"], ` + port80 + `resolution: DNS}`), `spec.hosts[1]: "a b": invalid DNS name: ' ' is not a letter`, []string{"outbound|80||a.example"}},
		"all names":    {egresstest.EntryText(`{hosts: ["*"], ` + port80 + `}`), `spec.hosts[0]: "*": wildcard host "*" is not allowed`, nil},
		"top level":    {egresstest.EntryText(`{hosts: ["*.com"], ` + port80 + `}`), `spec.hosts[0]: "*.com": wildcard must not cover a top-level domain`, nil},
		"inner star":   {egresstest.EntryText(`{hosts: ["a.*.com"], ` + port80 + `}`), `spec.hosts[0]: "a.*.com": "*" is only allowed as the first label`, nil},
		"address":      {egresstest.EntryText(`{hosts: ["192.0.2.1"], ` + port80 + `}`), `spec.hosts[0]: "192.0.2.1": must be a DNS name`, nil},
		"number last":  {egresstest.EntryText(`{hosts: ["a.1"], ` + port80 + `}`), `spec.hosts[0]: "a.1": invalid DNS name: the last label is a number`, nil},
		"host twice":   {egresstest.EntryText(`{hosts: [a.example, A.example.], ` + port80 + `}`), `spec.hosts[1]: "A.example.": duplicate host`, []string{"outbound|80||a.example"}},
		"port 0":       {egresstest.EntryText(`{hosts: [a.example], ports: [{number: 0, protocol: TCP}], resolution: DNS}`), `spec.ports[0].number: "0": port number must be in the range 1..65535`, nil},
		"own port":     {egresstest.EntryText(`{hosts: [a.example], ports: [{number: 15001, protocol: TCP}], resolution: DNS}`), `spec.ports[0].number: "15001": port is reserved by the sidecar`, nil},
		"sidecar ports": {egresstest.EntryText(`{hosts: [a.example], ports: [{number: 15000, name: a, protocol: HTTP}, {number: 15021, name: b, protocol: HTTP}, {number: 15090, name: c, protocol: TLS}, {number: 15020, name: d, protocol: HTTP}], resolution: DNS}`),
			`spec.ports[0].number: "15000": port is reserved by the sidecar` + "\n" + `spec.ports[1].number: "15021": port is` + "\n" + `spec.ports[2].number: "15090": port is`, []string{"outbound|15020||a.example"}},
		"port twice":     {egresstest.EntryText(`{hosts: [a.example], ports: [{number: 80, name: http, protocol: HTTP}, {number: 80, name: tcp, protocol: TCP}], resolution: DNS}`), `spec.ports[1].number: "80": duplicate port number, also in spec.ports[0]`, []string{"outbound|80||a.example"}},
		"protocol":       {egresstest.EntryText(`{hosts: [a.example], ports: [{number: 80, protocol: UDP}], resolution: DNS}`), `spec.ports[0].protocol: "UDP": protocol is not supported`, nil},
		"range":          {egresstest.EntryText(`{hosts: [a.example], addresses: [0.0.0.0/0], ports: [{number: 1, protocol: TCP}]}`), "spec.addresses[0]: \"0.0.0.0/0\": must not cover all addresses", nil},
		"no address":     {egresstest.EntryText(`{hosts: [a.example], addresses: [x], ports: [{number: 1, protocol: TCP}], resolution: DNS}`), "spec.addresses[0]: \"x\": must be an IP address or a CIDR", nil},
		"tcp none":       {egresstest.EntryText(`{hosts: [a.example], ports: [{number: 1, protocol: TCP}]}`), "spec.addresses: TCP port 1 with resolution NONE would allow all addresses", nil},
		"wildcard dns":   {egresstest.EntryText(`{hosts: ["*.example.com"], ` + port80 + `resolution: DNS}`), `spec.hosts[0]: "*.example.com": wildcard hosts cannot be used with resolution DNS`, nil},
		"static empty":   {egresstest.EntryText(`{hosts: [a.example], ` + port80 + `resolution: STATIC}`), "spec.endpoints: resolution STATIC requires endpoints", nil},
		"static name":    {egresstest.EntryText(`{hosts: [a.example], ` + port80 + `resolution: STATIC, endpoints: [{address: b.example}]}`), `spec.endpoints[0].address: "b.example": resolution STATIC requires IP addresses`, nil},
		"own loopback":   {egresstest.EntryText(`{hosts: [a.example], ` + port80 + `resolution: STATIC, endpoints: [{address: 127.0.0.1}]}`), `spec.endpoints[0].address: "127.0.0.1": loopback and link-local`, nil},
		"metadata":       {egresstest.EntryText(`{hosts: [a.example], ` + port80 + `resolution: DNS, endpoints: [{address: 169.254.169.254}, {address: b.example}]}`), `spec.endpoints[0].address: "169.254.169.254": loopback and link-local addresses are not allowed`, []string{"outbound|80||a.example"}},
		"none endpoints": {egresstest.EntryText(`{hosts: [a.example], ` + port80 + `endpoints: [{address: 192.0.2.1}]}`), "spec.endpoints: endpoints cannot be used with resolution NONE", nil},
		"selector":       {egresstest.EntryText(`{hosts: [a.example], ` + port80 + `workloadSelector: {labels: {a: b}}}`), "spec.workloadSelector: no effect", []string{"outbound|80||a.example"}},
		"two at once":    {egresstest.EntryText(`{hosts: ["*"], ports: [{number: 0, protocol: TCP}]}`), "spec.ports[0].number\nspec.hosts[0]", nil},

		"zone":          {egresstest.EntryText(`{hosts: [a.example], ` + port80 + `resolution: STATIC, endpoints: [{address: "fd00::1%eth0"}]}`), `spec.endpoints[0].address: "fd00::1%eth0": IPv6 zones are not allowed`, nil},
		"endpoint port": {egresstest.EntryText(`{hosts: [a.example], ` + port80 + `resolution: STATIC, endpoints: [{address: 192.0.2.1, ports: {http: 70000}}]}`), `spec.endpoints[0].ports.http: "70000": port number must be in the range 1..65535`, nil},
		"log file":      {"accessLogFile: /var/log/x\n", `accessLogFile: "/var/log/x": if the file is not writable`, nil},
		"log sign":      {"accessLogFormat: \"100% x\"\n", `MeshConfig: accessLogFormat: "100% x": invalid command operator`, nil},
		"log end":       {"accessLogFormat: \"%PROTOCOL\"\n", "unterminated command operator: missing %", nil},
		"log bracket":   {"accessLogFormat: \"%REQ(:METHOD%\"\n", "unterminated command operator: missing )", nil},
		"log length":    {"accessLogFormat: \"%REQ(A):x%\"\n", "invalid command operator: expected a length", nil},
		"log no JSON":   {"accessLogEncoding: JSON\naccessLogFormat: \"%PROTOCOL%\"\n", "accessLogEncoding JSON needs a JSON object", nil},
		"log in JSON":   {"accessLogEncoding: JSON\naccessLogFormat: '{\"a\": {\"b\": [\"%\"]}}'\n", "invalid command operator", nil},
		"log all good":  {"accessLogFormat: \"%START_TIME(%Y %s)% %REQ(A?B):10% %%\"\n", "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			m, problems := egress.Build(egresstest.Parse(t, c.text))
			var want []string
			if c.want != "" {
				want = strings.Split(c.want, "\n")
			}
			if len(problems) != len(want) {
				t.Fatalf("problems %v, want %q", problems, want)
			}
			for i, p := range problems {
				if text := p.String(); !strings.Contains(text, want[i]) || p.Fix == "" || !strings.HasSuffix(text, "; "+p.Fix) {
					t.Errorf("problem %q, want %q and a fix", text, want[i])
				}
			}
			if got := m.View("shop").Hosts(); strings.Join(got, " ") != strings.Join(c.left, " ") {
				t.Errorf("clusters %q, want %q", got, c.left)
			}
			egresstest.Make(t, m.View("shop"))
		})
	}
}

// TestConflicts has one host in several namespaces; the target port shows which
// one a namespace gets.
func TestConflicts(t *testing.T) {
	one := func(namespace, name, created, target, exportTo string) string {
		return "\n---\nkind: ServiceEntry\nmetadata: {namespace: " + namespace + ", name: " + name + ", created: \"" + created + "\"}\n" +
			"spec: {hosts: [a.example], ports: [{number: 80, name: http, protocol: HTTP, targetPort: " + target + "}], resolution: DNS, exportTo: [" + exportTo + "]}\n"
	}
	const older, newer = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
	root, own := one("istio-system", "r", newer, "1", `"*"`), one("shop", "o", newer, "2", `"."`)
	a, b := one("bank", "a", newer, "3", `"*"`), one("bank", "b", older, "4", `"*"`)
	for name, c := range map[string]struct {
		text, namespace string
		want            uint32
	}{
		"own":               {root + own + a + b, "shop", 2},
		"root":              {root + own + a + b, "gym", 1},
		"own again":         {root + own + a + b, "bank", 4},
		"oldest":            {own + a + b, "gym", 4},
		"first name":        {one("z", "b", older, "5", "") + one("z", "a", older, "6", ""), "gym", 6},
		"not exported":      {own, "gym", 0},
		"exported to it":    {one("shop", "o", older, "7", "gym, bank"), "gym", 7},
		"exported to none":  {one("shop", "o", older, "8", `"~"`), "shop", 0},
		"not to its own":    {one("shop", "o", older, "9", "gym"), "shop", 0},
		"nothing exported?": {one("shop", "o", older, "10", ""), "gym", 10},
	} {
		t.Run(name, func(t *testing.T) {
			m, problems := egress.Build(egresstest.Parse(t, "accessLogFile: /dev/stdout\n"+c.text))
			kit.Must(t, problems.Err())
			v, got := m.View(c.namespace), uint32(0)
			if hosts := v.Hosts(); len(hosts) > 0 {
				h, _ := v.Host(hosts[0])
				got = h.Endpoints[0].Port
			}
			if got != c.want {
				t.Errorf("%s is led to port %d, want %d", c.namespace, got, c.want)
			}
			if class := m.View(m.Class(c.namespace)); class.Version() != v.Version() {
				t.Errorf("the view of class %q is not that of %s", m.Class(c.namespace), c.namespace)
			}
		})
	}
}

// TestVersion has inputs that change a view's version, and inputs that do not.
func TestVersion(t *testing.T) {
	const mesh = "accessLogFile: /dev/stdout\noutboundTrafficPolicy: {mode: REGISTRY_ONLY}\n"
	const entry = "\n---\nkind: ServiceEntry\nmetadata: {namespace: shop, name: e}\nspec: {hosts: [a.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}\n"
	const cluster = "\n---\ninCluster: [{address: 10.96.0.1, ports: [443]}, {address: 10.96.0.2}]\n"
	version := func(text string) string {
		m, problems := egress.Build(egresstest.Parse(t, text))
		kit.Must(t, problems.Err())
		return m.View("shop").Version()
	}
	base := version(mesh + entry + cluster)
	for _, same := range []string{
		mesh + cluster + entry, mesh + strings.Replace(entry, "name: e", "name: f", 1) + cluster,
		mesh + entry + "\n---\ninCluster: [{address: 10.96.0.2}, {address: \"::ffff:10.96.0.1\", ports: [443]}, {address: 10.96.0.2, ports: [1]}, {address: 127.0.0.1}]\n",
		"trustDomain: x\n" + mesh + entry + cluster,
	} {
		if version(same) != base {
			t.Errorf("another version for\n%s", same)
		}
	}
	seen := map[string]bool{base: true}
	for _, other := range []string{
		mesh + entry, mesh + cluster, strings.Replace(mesh, "REGISTRY_ONLY", "ALLOW_ANY", 1) + entry + cluster,
		"protocolDetectionTimeout: 1s\n" + mesh + entry + cluster, "accessLogEncoding: JSON\n" + mesh + entry + cluster,
		"accessLogEncoding: JSON\naccessLogFormat: '{\"a\": \"b\"}'\n" + mesh + entry + cluster,
		mesh + strings.Replace(entry, "protocol: HTTP", "protocol: TLS", 1) + cluster,
		mesh + entry + strings.Replace(cluster, "443", "444", 1), "connectTimeout: 1s\n" + mesh + entry + cluster,
	} {
		v := version(other)
		if seen[v] {
			t.Errorf("no version of its own for\n%s", other)
		}
		seen[v] = true
	}
}
