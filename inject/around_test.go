package inject

import (
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/internal/jsontree"
)

const registryOnlyMesh = "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"

// aroundCases are pods with a way around the sidecar, with the warnings under REGISTRY_ONLY;
// those with redirect are there in every mode.
var aroundCases = []struct {
	name     string
	metadata string
	spec     string // without the container app
	app      string // more fields of the container app
	want     []string
	redirect bool
}{
	{name: "an ordinary pod"},
	{name: "a restricted pod", spec: `"securityContext":{"runAsNonRoot":true,"runAsUser":1000,"fsGroup":2000},`, app: `,"securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}`},
	{name: "harmless capabilities", app: `,"securityContext":{"capabilities":{"add":["NET_BIND_SERVICE","CHOWN"]}}`},
	{name: "root without capabilities", app: `,"securityContext":{"runAsUser":0,"capabilities":{"drop":["all"]}}`},
	{name: "groups that are not exempt", spec: `"securityContext":{"fsGroup":1337,"supplementalGroups":[1,1337]},`},

	{name: "privileged", app: `,"securityContext":{"privileged":true}`,
		want: []string{"spec.containers[0].securityContext.privileged: true: bypasses REGISTRY_ONLY: container app can remove the redirect, and enter the sidecar; remove it"}},
	{name: "NET_ADMIN", app: `,"securityContext":{"capabilities":{"add":["NET_ADMIN"]}}`,
		want: []string{`spec.containers[0].securityContext.capabilities.add: "NET_ADMIN": bypasses REGISTRY_ONLY: container app can remove the redirect`}},
	{name: "NET_ADMIN in the kernel's words, and others", app: `,"securityContext":{"capabilities":{"add":["cap_net_admin","SETUID","NET_RAW"]}}`,
		want: []string{`"NET_ADMIN": bypasses`, `"SETUID": bypasses REGISTRY_ONLY: container app can take the sidecar's uid`, `"NET_RAW": bypasses REGISTRY_ONLY: container app can send packets that the redirect does not see`}},
	{name: "all capabilities, in an init container", spec: `"initContainers":[{"name":"first","image":"i","securityContext":{"capabilities":{"add":["ALL"]}}}],`,
		want: []string{`spec.initContainers[0].securityContext.capabilities.add: "ALL": bypasses REGISTRY_ONLY: container first can`}},
	{name: "root", app: `,"securityContext":{"runAsUser":0}`,
		want: []string{"spec.containers[0].securityContext.runAsUser: 0: bypasses REGISTRY_ONLY: container app has SETUID and NET_RAW by default, and can take the sidecar's uid; set capabilities: {drop: [ALL]}"}},
	{name: "root of the pod, in two containers", spec: `"securityContext":{"runAsUser":0},"initContainers":[{"name":"first","image":"i"}],`, want: []string{"container app, first has SETUID"}},
	{name: "root that drops another capability", app: `,"securityContext":{"runAsUser":0,"capabilities":{"drop":["SETUID"]}}`, want: []string{"runAsUser: 0"}},
	{name: "SYS_PTRACE, of its own processes", app: `,"securityContext":{"capabilities":{"add":["SYS_PTRACE"]}}`},
	{name: "SYS_PTRACE, of the sidecar's too", spec: `"shareProcessNamespace":true,`, app: `,"securityContext":{"capabilities":{"add":["SYS_PTRACE"]}}`, want: []string{"spec.shareProcessNamespace: true", `"SYS_PTRACE": bypasses REGISTRY_ONLY: container app can control the sidecar`}},
	{name: "the node's processes", spec: `"hostPID":true,`, want: []string{"spec.hostPID: true: bypasses REGISTRY_ONLY"}},
	{name: "the pod's processes", spec: `"shareProcessNamespace":true,`, want: []string{"spec.shareProcessNamespace: true: bypasses REGISTRY_ONLY"}},

	{name: "an excluded interface", metadata: annotated(annotation.ExcludeInterfaces, "net1"), want: []string{"annotation " + annotation.ExcludeInterfaces + `: "net1": bypasses REGISTRY_ONLY`}},
	{name: "the label", metadata: `"labels":{"sidecar.istio.io/inject":"false"}`, want: []string{`label sidecar.istio.io/inject: "false": bypasses REGISTRY_ONLY: the pod has no sidecar`}},
	{name: "the annotation", metadata: annotated(annotation.Inject, "false"), want: []string{`annotation sidecar.istio.io/inject: "false": bypasses REGISTRY_ONLY: the pod has no sidecar`}},
	{name: "the node's network", spec: `"hostNetwork":true,`, want: []string{"spec.hostNetwork: true: bypasses REGISTRY_ONLY: the pod has no sidecar"}},
	{name: "Windows options alone", spec: `"securityContext":{"windowsOptions":{"runAsUserName":"x"}},`, want: []string{"securityContext.windowsOptions: bypasses REGISTRY_ONLY: the pod has no sidecar"}},
	{name: "no redirect", metadata: annotated(annotation.InterceptionMode, "NONE"), app: `,"securityContext":{"privileged":true}`,
		want: []string{`annotation sidecar.istio.io/interceptionMode: "NONE": bypasses REGISTRY_ONLY: only connections that the application makes`}},
	{name: "root that drops SETUID and NET_RAW", app: `,"securityContext":{"runAsUser":0,"capabilities":{"drop":["SETUID","NET_RAW"]}}`, want: []string{"runAsUser: 0: bypasses REGISTRY_ONLY: container app has CHOWN"}},
	{name: "root that drops all but CHOWN", app: `,"securityContext":{"runAsUser":0,"capabilities":{"drop":["ALL"],"add":["CHOWN"]}}`, want: []string{"container app has CHOWN"}},
	{name: "root that drops SETUID and NET_RAW, without set-user-ID", app: `,"securityContext":{"runAsUser":0,"allowPrivilegeEscalation":false,"capabilities":{"drop":["SETUID","NET_RAW"]}}`},

	{name: "excluded ports", metadata: annotated(annotation.ExcludeOutboundPorts, "443,8443"), want: []string{`"443,8443": bypasses REGISTRY_ONLY`}},
	{name: "some ports alone", metadata: `"annotations":{"traffic.sidecar.istio.io/includeOutboundIPRanges":"","traffic.sidecar.istio.io/includeOutboundPorts":"1"}`, want: []string{"REGISTRY_ONLY applies to these ranges only"}},
	{name: "nothing", metadata: annotated(annotation.IncludeOutboundIPRanges, ""), want: []string{"REGISTRY_ONLY applies to these ranges only"}},
	{name: "another image of the sidecar, by annotation", metadata: annotated(annotation.ProxyImage, "example.com/envoy:1"),
		want: []string{`annotation sidecar.istio.io/proxyImage: "example.com/envoy:1": bypasses REGISTRY_ONLY: overrides the sidecar, whose own connections are not redirected; remove it`}},
	{name: "another version of the sidecar, by annotation", metadata: annotated(annotation.ProxyImage, "docker.io/envoyproxy/envoy:v1.39.0")},
	{name: "another control plane", metadata: annotated(annotation.ProxyConfig, "discoveryAddress: mine.shop.svc:15012"), want: []string{`annotation proxy.istio.io/config: "mine.shop.svc:15012": bypasses REGISTRY_ONLY: discoveryAddress: another control plane`}},
	{name: "a library, by annotation", metadata: annotated(annotation.ProxyConfig, "proxyMetadata: {LD_PRELOAD: /x.so, A: b}"), want: []string{`annotation proxy.istio.io/config: "LD_PRELOAD": bypasses REGISTRY_ONLY: proxyMetadata: the variable decides`}},
	{name: "a variable, by annotation", metadata: annotated(annotation.ProxyConfig, "proxyMetadata: {A: b}")},
	{name: "a mount over the sidecar's program, by annotation", metadata: mounted("/usr/local/bin"), want: []string{`annotation sidecar.istio.io/userVolumeMount: "/usr/local/bin": bypasses REGISTRY_ONLY: hides a part of the sidecar's program`}},
	{name: "a mount of a library for every program", metadata: mounted("/etc/ld.so.preload"), want: []string{`"/etc/ld.so.preload": bypasses`}},
	{name: "a mount over the sidecar's token, by its other path", metadata: mounted("/run/secrets/outrider"), want: []string{`"/run/secrets/outrider": bypasses`}},
	{name: "a mount over its names", metadata: mounted("/etc/hosts"), want: []string{`"/etc/hosts": bypasses`}},
	{name: "another mount, by annotation", metadata: mounted("/etc/ssl/certs")},
	{name: "names", spec: `"hostAliases":[{"ip":"203.0.113.9","hostnames":["api.example.com"]}],`, want: []string{`spec.hostAliases[0].hostnames: "api.example.com": bypasses REGISTRY_ONLY: a declared host can have any address`}},
	{name: "name servers", spec: `"dnsConfig":{"nameservers":["203.0.113.9"]},`, want: []string{`spec.dnsConfig.nameservers: "203.0.113.9": bypasses REGISTRY_ONLY: a declared host`}},
	{name: "the volumes of the node's pods", spec: `"volumes":[{"name":"v","hostPath":{"path":"/var/lib/kubelet/pods"}}],`, want: []string{`spec.volumes[0].hostPath.path: "/var/lib/kubelet/pods": bypasses REGISTRY_ONLY: has the volumes of the node's sidecars`}},
	{name: "the node's files", spec: `"volumes":[{"name":"w","emptyDir":{}},{"name":"v","hostPath":{"path":"/"}}],`, want: []string{`spec.volumes[1].hostPath.path: "/": bypasses`}},
	{name: "the socket of the container runtime", spec: `"volumes":[{"name":"v","hostPath":{"path":"/run/containerd/containerd.sock"}}],`, want: []string{`spec.volumes[0].hostPath.path`}},
	{name: "the node's logs", spec: `"volumes":[{"name":"v","hostPath":{"path":"/var/log"}}],`},
	{name: "a probe of another host", app: `,"livenessProbe":{"httpGet":{"host":"api.example.com","port":80}}`, want: []string{`spec.containers[0].livenessProbe.httpGet.host: "api.example.com": bypasses REGISTRY_ONLY: the kubelet connects to this host`}},
	{name: "a handler with another host", app: `,"lifecycle":{"postStart":{"httpGet":{"host":"203.0.113.9","port":80}}}`, want: []string{`spec.containers[0].lifecycle.postStart.httpGet.host: "203.0.113.9": bypasses`}},
	{name: "probes of the pod", app: `,"livenessProbe":{"httpGet":{"port":80}},"readinessProbe":{"tcpSocket":{"host":"127.0.0.1","port":80}}`},
	{name: "a classic sidecar", metadata: annotated(annotation.NativeSidecar, "false"), app: `,"securityContext":{"capabilities":{"add":["NET_ADMIN"]}}`, want: []string{"container app can remove the redirect"}},
	{name: "options of the resolver", spec: `"dnsConfig":{"options":[{"name":"ndots","value":"1"}],"searches":["a"]},`},

	{name: "an own init container, other resources", spec: `"initContainers":[{"name":"istio-init","image":"auto","resources":{"limits":{"cpu":"1"}}}],`},
	{name: "an own init container, another image", spec: `"initContainers":[{"name":"istio-init","image":"mine"}],`, redirect: true,
		want: []string{`spec.initContainers[0].image: "image": overrides the injected init container: what the redirect captures is unknown; remove it`}},
	{name: "an own init container, other arguments", spec: `"initContainers":[{"name":"istio-init","image":"auto","args":["-i",""]}],`, redirect: true, want: []string{`spec.initContainers[0].args: "args": overrides`}},
	{name: "an own init container, a command", spec: `"initContainers":[{"name":"istio-init","image":"auto","command":["true"]}],`, redirect: true, want: []string{`spec.initContainers[0].command: "command": overrides`}},
	{name: "an own init container, a variable", spec: `"initContainers":[{"name":"istio-init","image":"auto","env":[{"name":"DRY_RUN","value":"true"}]}],`, redirect: true, want: []string{`spec.initContainers[0].env: "env": overrides`}},
	{name: "an own init container, a mount over its program", spec: `"volumes":[{"name":"v","emptyDir":{}}],"initContainers":[{"name":"istio-init","image":"auto","volumeMounts":[{"name":"v","mountPath":"/usr/local/bin"}]}],`, redirect: true,
		want: []string{`spec.initContainers[0].volumeMounts: "volumeMounts": overrides`}},

	{name: "an own sidecar, other resources and variables", spec: own(`"image":"auto","resources":{"limits":{"cpu":"1"}},"env":[{"name":"A","value":"b"}]`)},
	{name: "an own sidecar, another image and command", spec: own(`"image":"mine","command":["sleep"]`),
		want: []string{`spec.initContainers[0].image: "image, command": bypasses REGISTRY_ONLY: overrides the sidecar, whose own connections are not redirected; remove it`}},
	{name: "an own sidecar, a program at its start", spec: own(`"image":"auto","lifecycle":{"postStart":{"exec":{"command":["x"]}}}`), want: []string{`"lifecycle": bypasses REGISTRY_ONLY: overrides the sidecar`}},
	{name: "an own sidecar, a program as its probe", spec: own(`"image":"auto","readinessProbe":{"exec":{"command":["x"]}}`), want: []string{`"readinessProbe": bypasses REGISTRY_ONLY: overrides the sidecar`}},
	{name: "an own sidecar, another probe", spec: own(`"image":"auto","readinessProbe":{"httpGet":{"port":1}}`)},
	{name: "an own sidecar, a library", spec: own(`"image":"auto","env":[{"name":"LD_PRELOAD","value":"/x.so"}]`), want: []string{`"env": bypasses REGISTRY_ONLY: overrides the sidecar`}},
	{name: "an own sidecar, a mount over its program", spec: `"volumes":[{"name":"v","emptyDir":{}}],` + own(`"image":"auto","volumeMounts":[{"name":"v","mountPath":"/usr/local"}]`), want: []string{`"volumeMounts": bypasses REGISTRY_ONLY: overrides the sidecar`}},
	{name: "an own sidecar, a relative mount over its program", spec: `"volumes":[{"name":"v","emptyDir":{}}],` + own(`"image":"auto","volumeMounts":[{"name":"v","mountPath":"usr/local/../local/bin"}]`), want: []string{`"volumeMounts": bypasses REGISTRY_ONLY: overrides the sidecar`}},
	{name: "an own sidecar, a part of its configuration", spec: own(`"image":"auto","env":[{"name":"APP","value":"\"\nstatic_resources: {}"}]`), want: []string{`"env": bypasses REGISTRY_ONLY: overrides the sidecar`}},
	{name: "an own sidecar, variables of a ConfigMap", spec: own(`"image":"auto","envFrom":[{"configMapRef":{"name":"c"}}]`), want: []string{`"envFrom": bypasses REGISTRY_ONLY: overrides the sidecar`}},
	{name: "an own sidecar, another mount", spec: `"volumes":[{"name":"v","emptyDir":{}}],` + own(`"image":"auto","volumeMounts":[{"name":"v","mountPath":"/etc/extra"}]`)},
	{name: "an own sidecar with NET_ADMIN", spec: own(`"image":"auto","securityContext":{"capabilities":{"add":["NET_ADMIN"]}}`), want: []string{"container istio-proxy can remove the redirect"}},
	{name: "a group that the pod exempts", spec: `"securityContext":{"fsGroup":1400,"supplementalGroups":[1,1400]},` + own(`"image":"auto","securityContext":{"runAsGroup":1400}`), redirect: true,
		want: []string{"spec.securityContext.fsGroup: 1400: the sidecar's gid, which the redirect exempts", "spec.securityContext.supplementalGroups[1]: 1400: the sidecar's gid"}},
}

func annotated(name, value string) string { return `"annotations":{"` + name + `":"` + value + `"}` }

// mounted mounts a volume in the sidecar.
func mounted(at string) string {
	return `"annotations":{"sidecar.istio.io/userVolume":"{\"v\":{\"emptyDir\":{}}}","sidecar.istio.io/userVolumeMount":"{\"v\":{\"mountPath\":\"` + at + `\"}}"}`
}

func own(fields string) string {
	return `"initContainers":[{"name":"istio-proxy","restartPolicy":"Always",` + fields + `}],`
}

func TestWaysAround(t *testing.T) {
	policed, open := mustCompile(t, config.Texts{Mesh: registryOnlyMesh}, Environment{}), mustCompile(t, config.Texts{}, Environment{})
	for _, c := range aroundCases {
		pod := []byte(`{"metadata":{` + c.metadata + `},"spec":{` + c.spec + `"containers":[{"name":"app","image":"i"` + c.app + `}]}}`)
		for i, want := range map[*Injector][]string{policed: c.want, open: nil} {
			if i == open && c.redirect {
				want = c.want
			}
			result := mustInject(t, i, Request{Pod: pod})
			// The second call, of which the pod's author sees the warnings, has the same.
			calls := []injected{result}
			if result.Tree() != nil {
				calls = append(calls, mustInject(t, i, Request{Pod: result.PodJSON()}))
			}
			for n, call := range calls {
				got := call.Warnings.Error()
				found := strings.Count(got, "REGISTRY_ONLY") + strings.Count(got, "what the redirect captures is unknown") + strings.Count(got, "the sidecar's gid, which")
				for _, w := range want {
					if !strings.Contains(got, w) {
						t.Errorf("%s, call %d, REGISTRY_ONLY %v: %q, want %q", c.name, n+1, i == policed, got, w)
					}
				}
				if found != len(want) {
					t.Errorf("%s, call %d, REGISTRY_ONLY %v: %d warnings, want %d: %q", c.name, n+1, i == policed, found, len(want), got)
				}
			}
		}
	}
}

// TestStatusOfOverrides: the status annotation does not claim what an own version of a
// container replaces, even where it was written by hand.
func TestStatusOfOverrides(t *testing.T) {
	i := mustCompile(t, config.Texts{}, Environment{})
	const ranges = "includeOutboundIPRanges"
	effective := func(pod []byte, name string) string {
		s := parseStatus(jsontree.Parse(string(pod)).At("metadata", "annotations", annotation.SidecarStatus).Text())
		e := jsontree.Parse(string(s.Effective)).Get(name)
		return e.Get("value").Text() + " by " + e.Get("source").Text()
	}
	inject := func(spec string) []byte {
		return mustInject(t, i, Request{Pod: []byte(`{"spec":{` + spec + `"containers":[{"name":"app","image":"i"}]}}`)}).PodJSON()
	}
	const unknown = "unknown by container istio-init of the pod"
	for _, c := range []struct{ spec, setting, want string }{
		{"", ranges, "* by default"},
		{`"initContainers":[{"name":"istio-init","image":"auto","resources":{}}],`, ranges, "* by default"},
		{`"initContainers":[{"name":"istio-init","image":"mine"}],`, ranges, unknown},
		{`"initContainers":[{"name":"istio-init","image":"mine"}],`, "initImage", "mine by container istio-init of the pod"},
		{`"initContainers":[{"name":"istio-init","image":"auto","args":["-i","10.0.0.0/8"]}],`, ranges, unknown},
		{`"initContainers":[{"name":"istio-init","image":"auto","command":["true"]}],`, "excludeOutboundPorts", unknown},
		{`"initContainers":[{"name":"istio-init","image":"auto","env":[{"name":"CLEANUP_ONLY","value":"true"}]}],`, "excludeInterfaces", unknown},
		{own(`"image":"mine"`), "proxyImage", "mine by container istio-proxy of the pod"},
		{own(`"image":"mine"`), ranges, "* by default"},
		{own(`"image":"auto","args":["-c","/x"]`), "logLevel", "unknown by container istio-proxy of the pod"},
	} {
		first := inject(c.spec)
		if got := effective(first, c.setting); got != c.want {
			t.Errorf("%s: %s is %q, want %q", c.spec, c.setting, got, c.want)
		}
		if again := mustInject(t, i, Request{Pod: first}); len(again.Patch) > 0 {
			t.Errorf("%s: the second call changes %s", c.spec, AppendPatch(nil, again.Patch))
		}
	}
	// The record of another pod, on one whose init container does nothing.
	forged := applyJSON(t, inject(""), `[{"op":"add","path":"/spec/initContainers/1/command","value":["true"]}]`)
	result := mustInject(t, i, Request{Pod: forged})
	if got := effective(result.PodJSON(), ranges); got != unknown || !strings.Contains(result.Warnings.Error(), "what the redirect captures is unknown") {
		t.Errorf("a forged status: %q, warnings %q", got, result.Warnings.Error())
	}
}

// TestForgedRecords: a status annotation written by hand hides nothing from the checks. The
// hashes in it are those of any other pod.
func TestForgedRecords(t *testing.T) {
	i := mustCompile(t, config.Texts{Mesh: registryOnlyMesh}, Environment{})
	first := mustInject(t, i, Request{Pod: []byte(`{"metadata":{"name":"a"},"spec":{"containers":[{"name":"app","image":"i"}]}}`)}).PodJSON()
	record := func(edit string) string {
		s := jsontree.Parse(string(first)).At("metadata", "annotations", annotation.SidecarStatus).Text()
		old, replacement, _ := strings.Cut(edit, " -> ")
		if !strings.Contains(s, old) {
			t.Fatalf("the status has no %s: %s", old, s)
		}
		return jsontree.NewString(strings.Replace(s, old, replacement, 1)).JSON()
	}
	const evil = `{"op":"add","path":"/spec/containers/-","value":{"name":"evil","image":"i","securityContext":{"privileged":true}}}`
	proxy := func(field, value string) string {
		return `{"op":"add","path":"/spec/initContainers/0/` + field + `","value":` + value + `}`
	}
	for _, c := range []struct{ name, edit, patch, want string }{
		{"a container that is recorded as injected", `"containers":[] -> "containers":["evil"]`, evil, ""},
		{"a container that is recorded as added", `"added":[ -> "added":["/spec/containers/[evil]",`, evil, ""},
		{"privileges that are recorded as another value", `"added": -> "changed":{"/spec/containers/[evil]/securityContext":{}},"added":`, evil, ""},
		{"a mount of the sidecar's socket", `"containers":[] -> "containers":["evil"]`, strings.Replace(evil, `"securityContext":{"privileged":true}`, `"volumeMounts":[{"name":"outrider-admin","mountPath":"/a"}]`, 1), ""},
		{"shared processes", `"added": -> "changed":{"/spec/shareProcessNamespace":false},"added":`, `{"op":"add","path":"/spec/shareProcessNamespace","value":true}`, ""},
		{"a copy by kubectl debug", `"" -> ""`, evil, "container evil can remove the redirect"},
		{"a volume of the node that is recorded as injected", `"volumes":[ -> "volumes":["v",`, `{"op":"add","path":"/spec/volumes/-","value":{"name":"v","hostPath":{"path":"/"}}}`, `hostPath.path: "/": bypasses`},
		{"an image for the sidecar", `"" -> ""`, `{"op":"replace","path":"/spec/initContainers/0/image","value":"example.com/sh:1"}`, ""},
		{"a program for the sidecar", `"" -> ""`, proxy("command", `["/bin/sh"]`), ""},
		{"a library for the sidecar", `"" -> ""`, proxy("env/-", `{"name":"LD_PRELOAD","value":"/x.so"}`), `"env": bypasses REGISTRY_ONLY: overrides the sidecar`},
		{"variables for the sidecar", `"" -> ""`, proxy("envFrom", `[{"configMapRef":{"name":"c"}}]`), `"envFrom": bypasses REGISTRY_ONLY: overrides the sidecar`},
		{"a mount over the sidecar's program", `"" -> ""`, proxy("volumeMounts/-", `{"name":"v","mountPath":"usr/local/bin"}`), `"volumeMounts": bypasses REGISTRY_ONLY: overrides the sidecar`},
		{"a variable of another webhook", `"" -> ""`, proxy("env/-", `{"name":"HTTP_PROXY","value":"x"}`), ""},
		{"no redirect", `"" -> ""`, `{"op":"add","path":"/spec/initContainers/1/env","value":[{"name":"DRY_RUN","value":"true"}]}`, `"env": overrides the injected init container`},
	} {
		pod := applyJSON(t, first, `[`+c.patch+`,{"op":"replace","path":"/metadata/annotations/sidecar.istio.io~1status","value":`+record(c.edit)+`}]`)
		result := mustInject(t, i, Request{Pod: pod})
		got := result.Warnings.Error()
		out := pod
		if result.Tree() != nil {
			out = result.PodJSON()
		}
		p, err := decodePod(out)
		if err != nil {
			t.Fatal(err)
		}
		for n := range p.Spec.Containers {
			if s := p.Spec.Containers[n].SecurityContext; s != nil && s.Privileged != nil && *s.Privileged && !strings.Contains(got, "privileged: true: bypasses") {
				t.Errorf("%s: a privileged container, warnings %q", c.name, got)
			}
			if strings.Contains(string(out), `"mountPath":"/a"`) {
				t.Errorf("%s: the socket of the sidecar is mounted", c.name)
			}
		}
		if share := p.Spec.ShareProcessNamespace; share != nil && *share && !strings.Contains(got, "spec.shareProcessNamespace: true: bypasses") {
			t.Errorf("%s: shared processes, warnings %q", c.name, got)
		}
		if command := p.Spec.InitContainers[0].Command; command[0] != "/usr/local/bin/envoy" && !strings.Contains(got, "overrides the sidecar") {
			t.Errorf("%s: command %q, warnings %q", c.name, command, got)
		}
		if image := p.Spec.InitContainers[0].Image; strings.HasPrefix(image, "example.com") {
			t.Errorf("%s: image %s", c.name, image)
		}
		if !strings.Contains(got, c.want) || c.want == "" && got != "" && !strings.Contains(got, "privileged: true") && !strings.Contains(got, "shareProcessNamespace") {
			t.Errorf("%s: warnings %q, want %q", c.name, got, c.want)
		}
	}
}
