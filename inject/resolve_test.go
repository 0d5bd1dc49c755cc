package inject

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/config"
)

const values = `
global:
  hub: reg.example/outrider
  tag: v1
  proxy:
    includeIPRanges: 10.0.0.0/8
    excludeIPRanges: [10.9.0.0/16, 10.8.0.1/16]
    excludeOutboundPorts: "22"
    image: envoy
    logLevel: info
    resources: {requests: {cpu: 50m, memory: 64Mi}, limits: {cpu: "1"}}
`

// TestResolve: every setting with its value and its source, from each of the
// places it may come from.
func TestResolve(t *testing.T) {
	const global = "ConfigMap istio-sidecar-injector values "
	for _, c := range []struct {
		name        string
		texts       config.Texts
		env         Environment
		annotations []string
		setting     string
		value       string
		source      Source
	}{
		{name: "default include", setting: "includeOutboundIPRanges", value: "*", source: "default"},
		{name: "default exclude", setting: "excludeOutboundIPRanges", value: "", source: "default"},
		{name: "global include", texts: config.Texts{Values: values}, setting: "includeOutboundIPRanges", value: "10.0.0.0/8", source: global + "global.proxy.includeIPRanges"},
		{name: "global exclude, a list, merged", texts: config.Texts{Values: values}, setting: "excludeOutboundIPRanges", value: "10.8.0.0/15", source: global + "global.proxy.excludeIPRanges"},
		{name: "annotation replaces", texts: config.Texts{Values: values}, annotations: []string{"traffic.sidecar.istio.io/excludeOutboundIPRanges", "1.2.3.4"}, setting: "excludeOutboundIPRanges", value: "1.2.3.4/32", source: "annotation traffic.sidecar.istio.io/excludeOutboundIPRanges"},
		{name: "present but empty", texts: config.Texts{Values: values}, annotations: []string{"traffic.sidecar.istio.io/includeOutboundIPRanges", ""}, setting: "includeOutboundIPRanges", value: "", source: "annotation traffic.sidecar.istio.io/includeOutboundIPRanges"},
		{name: "star on the pod", texts: config.Texts{Values: values}, annotations: []string{"traffic.sidecar.istio.io/includeOutboundIPRanges", " * "}, setting: "includeOutboundIPRanges", value: "*", source: "annotation traffic.sidecar.istio.io/includeOutboundIPRanges"},
		{name: "global ports", texts: config.Texts{Values: values}, setting: "excludeOutboundPorts", value: "22", source: global + "global.proxy.excludeOutboundPorts"},
		{name: "annotated ports", annotations: []string{"traffic.sidecar.istio.io/includeOutboundPorts", "443, 80,"}, setting: "includeOutboundPorts", value: "80,443", source: "annotation traffic.sidecar.istio.io/includeOutboundPorts"},
		{name: "interfaces", annotations: []string{"traffic.sidecar.istio.io/excludeInterfaces", "eth1, net0"}, setting: "excludeInterfaces", value: "eth1,net0", source: "annotation traffic.sidecar.istio.io/excludeInterfaces"},
		{name: "mode", annotations: []string{"sidecar.istio.io/interceptionMode", "NONE"}, setting: "interceptionMode", value: "NONE", source: "annotation sidecar.istio.io/interceptionMode"},
		{name: "mode of the mesh", texts: config.Texts{Mesh: "defaultConfig: {interceptionMode: NONE}"}, setting: "interceptionMode", value: "NONE", source: "ConfigMap istio mesh"},
		{name: "native by version", env: Environment{Kubernetes: Version{1, 32}}, setting: "nativeSidecar", value: "true", source: "Kubernetes version"},
		{name: "not before 1.32", env: Environment{Kubernetes: Version{1, 31}}, setting: "nativeSidecar", value: "false", source: "Kubernetes version"},
		{name: "forbidden by value", texts: config.Texts{Values: "pilot: {env: {ENABLE_NATIVE_SIDECARS: 'false'}}"}, setting: "nativeSidecar", value: "false", source: global + "pilot.env.ENABLE_NATIVE_SIDECARS"},
		{name: "forced on the pod", texts: config.Texts{Values: "pilot: {env: {ENABLE_NATIVE_SIDECARS: 'false'}}"}, annotations: []string{"sidecar.istio.io/nativeSidecar", "true"}, setting: "nativeSidecar", value: "true", source: "annotation sidecar.istio.io/nativeSidecar"},
		{name: "bare image", texts: config.Texts{Values: values}, setting: "proxyImage", value: "reg.example/outrider/envoy:v1", source: global + "global.proxy.image"},
		{name: "image on the pod", annotations: []string{"sidecar.istio.io/proxyImage", "a.b/c:1"}, setting: "proxyImage", value: "a.b/c:1", source: "annotation sidecar.istio.io/proxyImage"},
		{name: "image type", annotations: []string{"sidecar.istio.io/proxyImageType", "debug"}, setting: "proxyImage", value: "docker.io/envoyproxy/envoy:debug-v" + config.DefaultEnvoy(), source: "annotation sidecar.istio.io/proxyImageType"},
		{name: "one resource leaves the others", texts: config.Texts{Values: values}, annotations: []string{"sidecar.istio.io/proxyCPU", "70m"}, setting: "proxyMemory", value: "64Mi", source: global + "global.proxy.resources.requests.memory"},
		{name: "one resource", texts: config.Texts{Values: values}, annotations: []string{"sidecar.istio.io/proxyCPU", "70m"}, setting: "proxyCPU", value: "70m", source: "annotation sidecar.istio.io/proxyCPU"},
		{name: "log level", texts: config.Texts{Values: values}, setting: "logLevel", value: "info", source: global + "global.proxy.logLevel"},
		{name: "component log levels", annotations: []string{"sidecar.istio.io/componentLogLevel", "upstream:debug, config:trace"}, setting: "componentLogLevel", value: "upstream:debug,config:trace", source: "annotation sidecar.istio.io/componentLogLevel"},
		{name: "templates", texts: config.Texts{Config: "templates: {a: 'spec: {}'}\naliases: {both: [sidecar, a]}"}, annotations: []string{"inject.istio.io/templates", " both "}, setting: "templates", value: "sidecar,a", source: "annotation inject.istio.io/templates"},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := mustCompile(t, c.texts, c.env)
			result := mustInject(t, i, Request{Pod: podWith(c.annotations...), Namespace: "default"})
			got := result.Settings.Setting(c.setting)
			if got.Value != c.value || got.Source != c.source {
				t.Errorf("%s is %q from %q; want %q from %q", c.setting, got.Value, got.Source, c.value, c.source)
			}
		})
	}
}

// TestConcurrency: threads for the CPU limit, unless the ProxyConfig has a number.
func TestConcurrency(t *testing.T) {
	limited := func(limit string) config.Texts {
		return config.Texts{Values: "global: {proxy: {resources: {limits: {cpu: " + limit + "}}}}"}
	}
	for _, c := range []struct {
		texts      config.Texts
		annotation []string
		want       string
	}{
		{config.Texts{}, nil, "2"}, // the default limit is 2
		{limited("100m"), nil, "1"},
		{limited(`"1"`), nil, "1"},
		{limited("1001m"), nil, "2"},
		{limited(`"4"`), nil, "4"},
		{limited("1M"), nil, "1024"},
		{limited("null"), nil, "2"},
		{limited(`"4"`), []string{annotation.ProxyCPULimit, "100m"}, "1"},
		{limited("100m"), []string{annotation.ProxyConfig, "concurrency: 3"}, "3"},
		{config.Texts{Mesh: "defaultConfig: {concurrency: 5}"}, []string{annotation.ProxyCPULimit, "100m"}, "5"},
		{config.Texts{}, []string{annotation.ProxyConfig, "concurrency: 0"}, ""}, // one for each core
	} {
		pod := string(mustInject(t, mustCompile(t, c.texts, Environment{}), Request{Pod: podWith(c.annotation...)}).PodJSON())
		_, after, _ := strings.Cut(pod, `"--concurrency","`)
		if got, _, _ := strings.Cut(after, `"`); got != c.want {
			t.Errorf("%+v, %q: --concurrency %q, want %q", c.texts, c.annotation, got, c.want)
		}
	}
}

func TestOpenShiftIdentity(t *testing.T) {
	i := mustCompile(t, config.Texts{}, Environment{})
	r := Request{Pod: podWith(), Namespace: "default", NamespaceAnnotations: map[string]string{
		"openshift.io/sa.scc.uid-range": "1000700000/10000", "openshift.io/sa.scc.supplemental-groups": "1000800000-1000809999,5/3",
	}}
	s := mustInject(t, i, r).Settings
	if s.ProxyUID != 1000709999 || s.ProxyGID != 1000809999 || s.Setting("proxyUID").Source != SourceNamespace {
		t.Errorf("uid %d, gid %d, %+v", s.ProxyUID, s.ProxyGID, s.Setting("proxyUID"))
	}
	for _, bad := range []string{"x", "1/0", "5-1", "-1/3", "99999999999/5"} {
		r.NamespaceAnnotations = map[string]string{"openshift.io/sa.scc.uid-range": bad}
		if e := rejection(t, i, r); !strings.Contains(e.Error(), bad) {
			t.Errorf("%s: %v", bad, e)
		}
	}
}

func TestImageTypes(t *testing.T) {
	for _, c := range [][3]string{
		{"envoyproxy/envoy:distroless-v1.40.0", "default", "envoyproxy/envoy:v1.40.0"},
		{"envoyproxy/envoy:v1.40.0", "distroless", "envoyproxy/envoy:distroless-v1.40.0"},
		{"istio/proxyv2:1.31.0", "distroless", "istio/proxyv2:1.31.0-distroless"},
		{"istio/proxyv2:1.31.0-debug", "distroless", "istio/proxyv2:1.31.0-distroless"},
		{"istio/proxyv2:1.31.0-debug", "default", "istio/proxyv2:1.31.0"},
		{"reg:5000/proxy", "debug", "reg:5000/proxy"},
		{"a/b@sha256:0", "debug", "a/b@sha256:0"},
		{"a/b:1", "", "a/b:1"},
	} {
		if got := withImageType(c[0], c[1]); got != c[2] {
			t.Errorf("%s as %s: %s, want %s", c[0], c[1], got, c[2])
		}
	}
}

// TestRejections: all problems at once, in a stable order, each with its place.
func TestRejections(t *testing.T) {
	i := mustCompile(t, config.Texts{Values: values}, Environment{})
	e := rejection(t, i, Request{Pod: podWith(
		"traffic.sidecar.istio.io/includeOutboundIPRanges", "10.0.0.0/33",
		"traffic.sidecar.istio.io/excludeOutboundIPRanges", "*",
		"sidecar.istio.io/interceptionMode", "TPROXY",
		"sidecar.istio.io/proxyCPU", "lots",
	)})
	if e.Code != RejectedAnnotation || len(e.Problems) != 4 {
		t.Fatalf("%s: %q", e.Code, e.Problems)
	}
	for n, want := range []string{"interceptionMode", "proxyCPU", "excludeOutboundIPRanges", "includeOutboundIPRanges"} {
		if !strings.Contains(e.Problems[n].String(), want) {
			t.Errorf("problem %d is %q, want one about %s", n, e.Problems[n], want)
		}
	}
	for name, c := range map[string]struct {
		pod  []byte
		code string
		want string
	}{
		"request over limit": {podWith("sidecar.istio.io/proxyCPU", "3"), RejectedAnnotation, "must be less than or equal to proxyCPULimit 1 (ConfigMap"},
		"no such template":   {podWith("inject.istio.io/templates", "sidecar,nope"), RejectedUnknown, `"nope": no such template; use one of sidecar`},
		"no pod":             {[]byte(`{"spec":{"containers":{}}}`), RejectedPod, "not a valid v1 Pod"},
		"no object":          {[]byte(`[]`), RejectedPod, "not a valid v1 Pod"},
		"no JSON":            {[]byte(`{`), RejectedPod, "not a valid v1 Pod"},
	} {
		e := rejection(t, i, Request{Pod: c.pod})
		if e.Code != c.code || !strings.Contains(e.Error(), c.want) {
			t.Errorf("%s: %s: %v; want %q", name, e.Code, e, c.want)
		}
	}
}

// TestCacheKeysAreDistinct: pods that resolve differently never share.
func TestCacheKeysAreDistinct(t *testing.T) {
	uid := int64(5)
	seen := map[string]podInputs{}
	for _, in := range []podInputs{
		{}, {uid: &uid}, {grace: &uid},
		{annotations: map[string]string{"sidecar.istio.io/logLevel": "a"}},
		{annotations: map[string]string{"sidecar.istio.io/logLevel": ""}},
		{annotations: map[string]string{"sidecar.istio.io/logLevel": `a";sidecar.istio.io/componentLogLevel"b`}},
		{annotations: map[string]string{"sidecar.istio.io/logLevel": "a", "sidecar.istio.io/componentLogLevel": "b"}},
		{namespace: map[string]string{"openshift.io/sa.scc.uid-range": "1/2"}},
	} {
		key := in.key()
		if other, twice := seen[key]; twice {
			t.Errorf("%+v and %+v share the key %q", in, other, key)
		}
		seen[key] = in
	}
	if key := (podInputs{annotations: map[string]string{"other": "x"}}).key(); key != "" {
		t.Errorf("an annotation that is no setting is in the key: %q", key)
	}
}

func TestCacheIsBounded(t *testing.T) {
	i := mustCompile(t, config.Texts{}, Environment{})
	for n := range 3 * maxCached {
		in := podInputs{annotations: map[string]string{"traffic.sidecar.istio.io/excludeOutboundPorts": sprintf("%d", n+1)}}
		if _, err := i.resolved(in); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(i.cache.entries); n > maxCached {
		t.Errorf("%d entries", n)
	}
}

func TestStatusAnnotation(t *testing.T) {
	i := mustCompile(t, config.Texts{Values: values}, Environment{})
	result := mustInject(t, i, Request{Pod: podWith("traffic.sidecar.istio.io/includeOutboundIPRanges", "172.16.0.0/12"), Namespace: "default"})
	var pod struct {
		Metadata struct{ Annotations map[string]string }
	}
	if err := json.Unmarshal(result.PodJSON(), &pod); err != nil {
		t.Fatal(err)
	}
	var status struct {
		InitContainers []string
		Volumes        []string
		Revision       string
		ConfigHash     string
		Effective      map[string]struct{ Value, Source string }
	}
	if err := json.Unmarshal([]byte(pod.Metadata.Annotations["sidecar.istio.io/status"]), &status); err != nil {
		t.Fatal(err)
	}
	if strings.Join(status.InitContainers, ",") != "istio-init,istio-proxy" || status.Revision != "default" || status.ConfigHash != i.Hash() {
		t.Errorf("%+v", status)
	}
	if e := status.Effective["includeOutboundIPRanges"]; e.Value != "172.16.0.0/12" || e.Source != "annotation traffic.sidecar.istio.io/includeOutboundIPRanges" {
		t.Errorf("%+v", e)
	}
	if e := status.Effective["excludeOutboundIPRanges"]; e.Value != "10.8.0.0/15" || !strings.HasSuffix(e.Source, "global.proxy.excludeIPRanges") {
		t.Errorf("%+v", e)
	}
}

// TestLongListsAreSplit: one argument may not exceed the kernel's limit.
func TestLongListsAreSplit(t *testing.T) {
	var all []string
	for n := range 9000 {
		all = append(all, sprintf("10.%d.%d.%d/32", n/16384, n/64%256, n%64*4))
	}
	i := mustCompile(t, config.Texts{Values: "global: {proxy: {excludeIPRanges: \"" + strings.Join(all, ",") + "\"}}"}, Environment{})
	s := mustInject(t, i, Request{Pod: podWith()}).Settings
	var joined []string
	args := s.InitArgs()
	for n, a := range args {
		if len(a) >= 128<<10 {
			t.Errorf("argument %d has %d bytes", n, len(a))
		}
		if a == "-x" {
			joined = append(joined, args[n+1])
		}
	}
	if len(joined) < 2 || strings.Join(joined, ",") != s.ExcludeIPRanges.String() {
		t.Errorf("%d parts", len(joined))
	}
}

// TestOverlayIsCanonical: the API server's own spelling of an injected pod must
// not look like a difference the next time.
func TestOverlayIsCanonical(t *testing.T) {
	got, err := parseOverlay("t", []byte(`
spec:
  hostNetwork: false
  containers:
  - name: a
    args: [15001, true, x]
    stdin: false
    env: []
    resources: {limits: {cpu: 2000m, memory: 1024Mi, x/y: 3}}
    readinessProbe: {initialDelaySeconds: 0, periodSeconds: 5, httpGet: {port: 15021, path: /}}
    securityContext: {privileged: false, runAsUser: 0}
    volumeMounts: [{name: v, mountPath: /v, readOnly: false}]
  volumes:
  - name: v
    emptyDir: {}
`), testSchema)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"spec":{"containers":[{"args":["15001","true","x"],"name":"a","readinessProbe":{"httpGet":{"path":"/","port":15021},"periodSeconds":5},` +
		`"resources":{"limits":{"cpu":"2","memory":"1Gi","x/y":"3"}},"securityContext":{"privileged":false,"runAsUser":0},` +
		`"volumeMounts":[{"mountPath":"/v","name":"v"}]}],"hostNetwork":false,"volumes":[{"emptyDir":{},"name":"v"}]}}`
	if got.tree.JSON() != want {
		t.Errorf("got  %s\nwant %s", got.tree.JSON(), want)
	}
}
