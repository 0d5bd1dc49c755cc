package annotation

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	istio "istio.io/api/annotation"
	istiolabel "istio.io/api/label"
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/outrider-mesh/outrider/internal/problem"
)

func TestTableIsSortedAndComplete(t *testing.T) {
	seen := map[key]bool{}
	for i, r := range table {
		k := key{r.Name, r.IsLabel}
		if seen[k] {
			t.Errorf("%s: two rows", r.Name)
		}
		seen[k] = true
		if i > 0 && (key{table[i-1].Name, table[i-1].IsLabel}).compare(k) >= 0 {
			t.Errorf("%s: out of order", r.Name)
		}
		if r.Meaning == "" || r.Type == "" || r.Places == 0 {
			t.Errorf("%s: meaning, type or place is missing", r.Name)
		}
		if needs := r.Support == NoEffect || r.Support == Rejected; needs != (r.Why != "") {
			t.Errorf("%s: a reason belongs to rows with no effect and rejected ones, and only there", r.Name)
		}
		if (r.check != nil || r.warn != nil) && r.Support != Supported {
			t.Errorf("%s: a value is checked that does nothing", r.Name)
		}
		if r.Support == Supported && r.Default == "" {
			t.Errorf("%s: no default", r.Name)
		}
	}
}

// Every name that Istio's API defines for a pod has a row.
func TestIstioNames(t *testing.T) {
	for _, a := range istio.AllResourceAnnotations() {
		_, ok := lookup(a.Name, false)
		if slices.Contains(a.Resources, istio.Pod) && !ok {
			t.Errorf("annotation %s: no row", a.Name)
		}
	}
	for _, l := range istiolabel.AllResourceLabels() {
		_, ok := lookup(l.Name, true)
		if slices.Contains(l.Resources, istiolabel.Pod) && !ok {
			t.Errorf("label %s: no row", l.Name)
		}
	}
}

// Each row with a value of its own has one that passes and one that does not.
func TestValues(t *testing.T) {
	cases := map[string]struct{ good, bad []string }{
		IncludeOutboundIPRanges: {[]string{"*", "", "10.0.0.0/8, 172.16.0.0/12", "fd00::/8,10.0.0.0/8", "10.0.0.1/24,"}, []string{"Cluster", "*,10.0.0.0/8", "10.0.0.0/33", "010.0.0.0/8", "10.0.0.0/255.0.0.0", `10.0.0.0/8\,10.1.0.0/16`}},
		ExcludeOutboundIPRanges: {[]string{"", "169.254.169.254"}, []string{"*", "10.0.0.0/33,1.2.3"}},
		IncludeOutboundPorts:    {[]string{"", "80,443"}, []string{"*", "80-90", "70000"}},
		ExcludeOutboundPorts:    {[]string{"", "22"}, []string{"*", "ssh"}},
		ExcludeInterfaces:       {[]string{"", "eth1, net1"}, []string{"a-very-long-name0", "eth/0", "eth 1"}},
		InterceptionMode:        {[]string{"REDIRECT", "NONE"}, []string{"TPROXY", "redirect", ""}},
		InjectTemplates:         {[]string{"sidecar", "sidecar, extra"}, []string{"", "sidecar,"}},
		NativeSidecar:           {[]string{"true", "false"}, []string{"True", "1", ""}},
		ProxyImage:              {[]string{"proxyv2", "r.example:5000/a/b:1@sha256:" + strings.Repeat("0", 64)}, []string{"", "a b", "https://x/y", "a:", "a\nb", "A"}},
		ProxyImageType:          {[]string{"debug", "distroless", "default"}, []string{"", "alpine"}},
		ProxyCPU:                {[]string{"100m", "2", "0"}, []string{"", "-1", "2 cores", "1\n2"}},
		ProxyCPULimit:           {[]string{"100m"}, []string{"x"}},
		ProxyMemory:             {[]string{"128Mi"}, []string{"128mb"}},
		ProxyMemoryLimit:        {[]string{"1Gi"}, []string{"1 Gi"}},
		LogLevel:                {[]string{"debug", "warning", "off"}, []string{"", "DEBUG", "verbose"}},
		ComponentLogLevel:       {[]string{"", "misc:error", "http:debug,router:trace"}, []string{"debug", "misc:loud", ":debug", "http:info,,router:info", "htpp:debug", "nonsense:debug"}},
		UserVolume:              {[]string{`{"a":{"emptyDir":{}}}`, `[{"name":"a","secret":{"secretName":"s"}}]`}, []string{"", "{", "[1]", `{"a":{}}`, `{"a":{"emptyDirs":{}}}`, `{"A_":{"emptyDir":{}}}`, `{"a":{"emptyDir":{},"secret":{"secretName":"x"}}}`, `{"a":{"name":"b","emptyDir":{}}}`, `{"a":{"emptyDir":{"sizeLimit":"much"}}}`, `"x"`}},
		UserVolumeMount:         {[]string{`{"a":{"mountPath":"/x","readOnly":true}}`}, []string{"", "null", `{"a":{}}`, `{"a":{"mountPath":"x"}}`, `{"a":{"mountpath":"/x"}}`, `{"a":{"mountPath":"/x","readOnly":"yes"}}`, `{"a":{"mountPath":"/x"},"a":{"mountPath":"/y"}}`}},
		ProxyConfig:             {[]string{"concurrency: 4", "drainDuration: 90s", "terminationDrainDuration: 1m30s\nproxyMetadata:\n  A: b", "", "{}", "tracing: {}", "discoveryAddress: 'xds.mesh.svc:15012'", "discoveryAddress: '[fd00::1]:15012'"}, []string{"concurrencyy: 4", "drainDuration: 0s", "drainDuration: 1500ms", "drainDuration: 25h", "concurrency: many", "concurrency: -1", "interceptionMode: TPROXY", "interception_mode: TPROXY", "proxyMetadata: {A: 1}", "[1]", "a: [", "image: {imageType: huge}", "terminationDrainDuration: 5", "terminationDrainDuration: 48h", "terminationDrainDuration: -1ms", "discoveryAddress: x", "discoveryAddress: 'a:0'", "discoveryAddress: '::1:2'", "discoveryAddress: 'a b:1'"}},
	}
	for _, r := range table {
		c, ok := cases[r.Name]
		if ok != (r.check != nil) {
			t.Errorf("%s: has a check: %v, has cases: %v", r.Name, r.check != nil, ok)
		}
		for _, v := range c.good {
			if errs, _ := Check(map[string]string{r.Name: v}, nil); errs != nil {
				t.Errorf("%s: %q is rejected: %v", r.Name, v, errs)
			}
		}
		for _, v := range c.bad {
			errs, _ := Check(map[string]string{r.Name: v}, nil)
			if len(errs) == 0 {
				t.Errorf("%s: %q passes", r.Name, v)
			}
			for _, e := range errs {
				if e.Path != Path(r.Name, false) || e.Rule == "" || e.Severity != problem.Error {
					t.Errorf("%s: %q: incomplete problem %+v", r.Name, v, e)
				}
			}
		}
	}
}

func TestMessages(t *testing.T) {
	long := strings.Repeat("1", 200)
	for _, c := range []struct {
		name        string
		annotations map[string]string
		labels      map[string]string
		errs, warns []string
	}{
		{name: "nothing of ours", annotations: map[string]string{"a/b": "c", "prometheus.io/scrape": "true"}, labels: map[string]string{"app": "x"}},
		{name: "every bad element", annotations: map[string]string{ExcludeOutboundIPRanges: "10.0.0.0/33,*"},
			errs: []string{
				`annotation traffic.sidecar.istio.io/excludeOutboundIPRanges: "10.0.0.0/33": `,
				`annotation traffic.sidecar.istio.io/excludeOutboundIPRanges: "*": wildcard is not allowed here`}},
		{name: "many bad elements", annotations: map[string]string{ExcludeOutboundPorts: strings.Repeat("x,", 12)},
			errs: append(slices.Repeat([]string{`annotation traffic.sidecar.istio.io/excludeOutboundPorts: "x": not a port number`}, 10), `: 2 more invalid elements`)},
		{name: "sorted by name", annotations: map[string]string{ProxyMemory: "x", LogLevel: "y", ProxyCPU: "z"},
			errs: []string{`annotation sidecar.istio.io/logLevel: "y"`, `annotation sidecar.istio.io/proxyCPU: "z"`, `annotation sidecar.istio.io/proxyMemory: "x"`}},
		{name: "long values are cut", annotations: map[string]string{ProxyCPU: long},
			errs: nil},
		{name: "long bad values are cut", annotations: map[string]string{ProxyCPU: long + "x"},
			errs: []string{`: "` + strings.Repeat("1", 80) + `…": invalid quantity`}},
		{name: "request over limit", annotations: map[string]string{ProxyCPU: "2", ProxyCPULimit: "1"},
			errs: []string{`annotation sidecar.istio.io/proxyCPU: "2": exceeds the limit "1" of annotation sidecar.istio.io/proxyCPULimit`}},
		{name: "invalid inject", labels: map[string]string{Inject: "True"},
			warns: []string{`label sidecar.istio.io/inject: "True": only exactly "true" means yes, so this value is ignored; use "true"`}},
		{name: "invalid inject, annotation", annotations: map[string]string{Inject: "no"},
			warns: []string{`only exactly "false" means no`}},
		{name: "exact values are silent", annotations: map[string]string{Inject: "true"}, labels: map[string]string{Inject: "true"}},
		{name: "label beats annotation", annotations: map[string]string{Inject: "false"}, labels: map[string]string{Inject: "true"},
			warns: []string{`the label of the same name takes precedence, with the value "true"`}},
		{name: "inbound", annotations: map[string]string{IncludeInboundPorts: "80"}, warns: []string{"no effect: inbound traffic is never captured"}},
		{name: "a request for what happens anyway", annotations: map[string]string{RewriteAppHTTPProbers: "false", PrometheusMergeMetrics: "false"}, labels: map[string]string{DataplaneMode: "none"}},
		{name: "rejected", annotations: map[string]string{RerouteVirtualInterfaces: "net1"}, errs: []string{`"net1": not supported: traffic that arrives on a virtual interface`}},
		{name: "unknown", annotations: map[string]string{"traffic.sidecar.istio.io/excludeOutboundIPRange": "10.0.0.0/8"},
			warns: []string{`did you mean "traffic.sidecar.istio.io/excludeOutboundIPRanges"?`}},
		{name: "right name, wrong prefix", annotations: map[string]string{"sidecar.istio.io/includeOutboundIPRanges": "*"},
			warns: []string{`did you mean "traffic.sidecar.istio.io/includeOutboundIPRanges"?`}},
		{name: "a label as an annotation", annotations: map[string]string{DataplaneMode: "none"}, warns: []string{"no effect: this name is a label, not an annotation"}},
		{name: "an annotation as a label", labels: map[string]string{IncludeOutboundIPRanges: "x"}, warns: []string{"no effect: this name is an annotation, not a label"}},
		{name: "namespace label on a pod", labels: map[string]string{Injection: "enabled"}, warns: []string{"no effect on a pod; set it on a namespace"}},
		{name: "every interface", annotations: map[string]string{ExcludeInterfaces: "net1,+"},
			errs: []string{`"+": excludes every interface; set sidecar.istio.io/interceptionMode: NONE to capture nothing`}},
		{name: "nearest component", annotations: map[string]string{ComponentLogLevel: "misc:error,rooter:debug"},
			errs: []string{`"rooter:debug": unknown Envoy log component "rooter" (Envoy would fail to start); did you mean "router"?`}},
		{name: "no component near", annotations: map[string]string{ComponentLogLevel: "everything:debug"},
			errs: []string{`(Envoy would fail to start); the components are a2a, admin, `}},
		{name: "ignored fields", annotations: map[string]string{ProxyConfig: "statusPort: 1\ntracing: {}\nproxyMetadata: {ISTIO_META_DNS_CAPTURE: 'true'}"},
			warns: []string{"no effect for proxyMetadata.ISTIO_META_DNS_CAPTURE, statusPort, tracing"}},
		{name: "nearest field with its place", annotations: map[string]string{ProxyConfig: "image: {}\n  \nconcurency: 2"},
			errs: []string{`line 3, column 1: concurency: unknown key; did you mean "concurrency"?`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			errs, warns := Check(c.annotations, c.labels)
			match(t, "error", errs, c.errs)
			match(t, "warning", warns, c.warns)
		})
	}
}

func match(t *testing.T, what string, got problem.List, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d %ss, want %d: %v", len(got), what, len(want), got)
	}
	for i := range got {
		if !strings.Contains(got[i].Error(), want[i]) {
			t.Errorf("%s %d: got %s\nwant %s", what, i+1, got[i].Error(), want[i])
		}
	}
}

func TestCheckPlace(t *testing.T) {
	traffic := map[string]string{ExcludeOutboundIPRanges: "10.0.0.0/8", IncludeInboundPorts: "*", SidecarStatus: "{}"}
	for _, c := range []struct {
		where       Place
		kind        string
		annotations map[string]string
		labels      map[string]string
		want        []string
	}{
		{where: OnWorkload, kind: "Deployment", annotations: traffic, want: []string{"no effect on the metadata of a Deployment itself; move it to spec.template.metadata.annotations"}},
		{where: OnWorkload, kind: "CronJob", annotations: traffic, want: []string{"move it to spec.jobTemplate.spec.template.metadata.annotations"}},
		{where: OnWorkload, kind: "Job", labels: map[string]string{Inject: "false"}, want: []string{"move it to spec.template.metadata.labels"}},
		{where: OnNamespace, kind: "Namespace", annotations: traffic, want: []string{"set it on the pods (spec.template.metadata.annotations of their workload)"}},
		{where: OnNamespace, kind: "Namespace", labels: map[string]string{Injection: "enabled", Rev: "canary"}},
		{where: OnNamespace, kind: "Namespace", labels: map[string]string{Injection: "true"}, want: []string{`only "enabled" and "disabled" count`}},
		{where: OnNamespace, kind: "Namespace", labels: map[string]string{Inject: "true"}, want: []string{"set the namespace label istio-injection: enabled or disabled"}},
		{where: OnPod, kind: "Pod", annotations: traffic},
		{where: OnWorkload, kind: "Deployment", labels: map[string]string{Injection: "enabled"}, want: []string{"set it on a namespace"}},
		{where: OnWorkload, kind: "Deployment", labels: map[string]string{"app": "x", ServiceCanonicalName: "x"}},
	} {
		t.Run(c.kind+fmt.Sprint(c.annotations, c.labels), func(t *testing.T) {
			match(t, "problem", CheckPlace(c.where, c.kind, c.annotations, c.labels), c.want)
		})
	}
}

func TestTypedParsers(t *testing.T) {
	vs, err := ParseVolumes(`{"b":{"emptyDir":{}},"a":{"configMap":{"name":"x"}}}`)
	if err != nil || len(vs) != 2 || vs[0].Name != "a" || vs[0].ConfigMap.Name != "x" || vs[1].EmptyDir == nil {
		t.Errorf("volumes: %+v, %v", vs, err)
	}
	ms, err := ParseVolumeMounts(`{"b":{"mountPath":"/b","subPath":"s"},"a":{"mountPath":"/a","readOnly":true}}`)
	if err != nil || len(ms) != 2 || ms[0].Name != "a" || !ms[0].ReadOnly || ms[1].SubPath != "s" {
		t.Errorf("mounts: %+v, %v", ms, err)
	}
	pc, ignored, err := ParseProxyConfig("concurrency: 3\nterminationDrainDuration: 1m30s\nholdApplicationUntilProxyStarts: true\nmeshId: x\nimage:\n  imageType: debug\nproxyMetadata:\n  A: '1'\n")
	if err != nil || pc.Concurrency.GetValue() != 3 || pc.TerminationDrainDuration.GetSeconds() != 90 || !pc.HoldApplicationUntilProxyStarts.GetValue() ||
		pc.Image.GetImageType() != "debug" || pc.ProxyMetadata["A"] != "1" || !slices.Equal(ignored, []string{"meshId"}) {
		t.Errorf("proxy configuration: %v, %v, %v", pc, ignored, err)
	}
}

func TestOverlayProxyConfig(t *testing.T) {
	read := func(text string) *meshconfig.ProxyConfig {
		pc, _, err := ParseProxyConfig(text)
		if err != nil {
			t.Fatal(err)
		}
		return pc
	}
	base := read("concurrency: 2\nterminationDrainDuration: 5s\nholdApplicationUntilProxyStarts: true\nproxyMetadata: {A: a, B: b}\nimage: {imageType: debug}\ndiscoveryAddress: x:1")
	before := proto.Clone(base)
	got := OverlayProxyConfig(base, read("concurrency: 0\nterminationDrainDuration: 0s\nholdApplicationUntilProxyStarts: false\nproxyMetadata: {B: c, C: d}"))
	if got.Concurrency.Value != 0 || got.TerminationDrainDuration.Seconds != 0 || got.HoldApplicationUntilProxyStarts.Value ||
		got.Image.ImageType != "debug" || got.DiscoveryAddress != "x:1" || fmt.Sprint(got.ProxyMetadata) != "map[A:a B:c C:d]" {
		t.Errorf("%v", got)
	}
	if !proto.Equal(base, before) {
		t.Error("the base changed")
	}
	if got := OverlayProxyConfig(base, read("")); !proto.Equal(got, base) {
		t.Errorf("an empty overlay: %v", got)
	}
}

func TestCheck_DoesNotAllocateWithoutOurNames(t *testing.T) {
	a := map[string]string{"kubectl.kubernetes.io/restartedAt": "x", "prometheus.io/port": "80", "checksum/config": "y"}
	l := map[string]string{"app": "sleep", "pod-template-hash": "z"}
	if n := testing.AllocsPerRun(100, func() { Check(a, l) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzCheck(f *testing.F) {
	for _, r := range table {
		f.Add(r.Name, "10.0.0.0/8,*", r.IsLabel)
		f.Add(r.Name, "{\"a\": {\"mountPath\": \"/x\", \"emptyDir\": {}}}", r.IsLabel)
		f.Add(r.Name, "concurrency: 2\nproxyMetadata: {a: b}\n", r.IsLabel)
	}
	f.Fuzz(func(t *testing.T, name, value string, isLabel bool) {
		m := map[string]string{name: value}
		var errs, warns problem.List
		if isLabel {
			errs, warns = Check(nil, m)
			CheckPlace(OnWorkload, "Deployment", nil, m)
		} else {
			errs, warns = Check(m, nil)
			CheckPlace(OnNamespace, "Namespace", m, nil)
		}
		for _, p := range append(errs, warns...) {
			if p.Rule == "" || strings.Contains(p.Error(), "\n") {
				t.Errorf("bad message %q", p.Error())
			}
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	for _, c := range []struct {
		name string
		a    map[string]string
	}{
		{"none of ours", map[string]string{"prometheus.io/scrape": "true", "checksum/config": "x", "kubectl.kubernetes.io/restartedAt": "y"}},
		{"two ranges", map[string]string{IncludeOutboundIPRanges: "10.0.0.0/8,fd00::/8", ExcludeOutboundIPRanges: "169.254.169.254/32"}},
		{"proxy configuration", map[string]string{ProxyConfig: "concurrency: 4\nterminationDrainDuration: 30s\n"}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Check(c.a, nil)
			}
		})
	}
}
