package inject

import (
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/config"
)

// problemsWith injects a pod with the spec and returns its problems, one a line; "" when
// it is injected.
func problemsWith(t *testing.T, i *Injector, r Request, spec string, annotations ...string) string {
	t.Helper()
	r.Pod = []byte(strings.Replace(string(podWith(annotations...)), `"spec":{"containers":[{"name":"app","image":"i"}]}`, `"spec":`+spec, 1))
	if _, err := i.Inject(r); err != nil {
		return strings.Join(ProblemsOf(err).Strings(), "\n")
	}
	mustInject(t, i, r)
	return ""
}

func TestOwnContainers(t *testing.T) {
	const app = `{"name":"app","image":"i"}`
	native, classic := mustCompile(t, config.Texts{}, Environment{}), mustCompile(t, config.Texts{}, Environment{Kubernetes: Version{1, 28}})
	for _, c := range []struct {
		name, spec      string
		native, classic string // a part of the problem; "" for an injected pod
	}{
		{"proxy in containers", `{"containers":[` + app + `,{"name":"istio-proxy","image":"mine"}]}`, "", ""},
		{"proxy as a native sidecar", `{"containers":[` + app + `],"initContainers":[{"name":"istio-proxy","image":"mine","restartPolicy":"Always"}]}`, "", ""},
		{"proxy in initContainers, auto", `{"containers":[` + app + `],"initContainers":[{"name":"istio-proxy","image":"auto"}]}`, "", ""},
		{"an init container named istio-proxy", `{"containers":[` + app + `],"initContainers":[{"name":"istio-proxy","image":"mine"}]}`,
			"spec.initContainers[0].name", "spec.initContainers[0].name"},
		{"init in initContainers", `{"containers":[` + app + `],"initContainers":[{"name":"istio-init","image":"mine"}]}`, "", ""},
		{"init in containers", `{"containers":[` + app + `,{"name":"istio-init","image":"mine"}]}`,
			`spec.containers[1].name: "istio-init": the name of an injected init container; rename the container, or move it to spec.initContainers`, "spec.containers[1].name"},
		{"init in containers, auto", `{"containers":[{"name":"istio-init","image":"auto"},` + app + `]}`, "spec.containers[0].name", "spec.containers[0].name"},
		{"init as a native sidecar", `{"containers":[` + app + `],"initContainers":[{"name":"istio-init","image":"mine","restartPolicy":"Always"}]}`,
			"remove its restartPolicy", "remove its restartPolicy"},
		{"proxy in both lists", `{"containers":[` + app + `,{"name":"istio-proxy","image":"auto"}],"initContainers":[{"name":"istio-proxy","image":"auto","restartPolicy":"Always"}]}`,
			`spec.initContainers[0].name: "istio-proxy": duplicate container name`, "duplicate container name"},
		{"names that are not injected", `{"containers":[` + app + `,{"name":"istio-validation","image":"i"},{"name":"enable-core-dump","image":"i"}]}`, "", ""},
		{"proxy alone", `{"containers":[{"name":"istio-proxy","image":"auto"}]}`,
			"spec.containers: no container but istio-proxy, which runs in initContainers, as a native sidecar; add the application's container", ""},
		{"init alone", `{"containers":[{"name":"istio-init","image":"auto"}]}`, "spec.containers[0].name", "spec.containers[0].name"},
		{"root", `{"containers":[` + app + `,{"name":"istio-proxy","image":"auto","securityContext":{"runAsUser":0}}]}`,
			"spec.containers[1].securityContext.runAsUser: 0: the sidecar must not run as root", "runAsUser: 0"},
		{"root of the pod", `{"securityContext":{"runAsUser":0,"runAsGroup":0},"containers":[` + app + `,{"name":"istio-proxy","image":"auto"}]}`, "", ""},
		{"group of root", `{"containers":[` + app + `,{"name":"istio-proxy","image":"auto","securityContext":{"runAsGroup":0}}]}`, "", ""},
		{"uid of an application", `{"securityContext":{"runAsUser":1000},"containers":[` + app + `,{"name":"istio-proxy","image":"auto","securityContext":{"runAsUser":1000}}]}`,
			"spec.containers[1].securityContext.runAsUser: 1000: container app has this uid too", "container app has this uid too"},
		{"uid of an init container", `{"initContainers":[{"name":"setup","image":"i","securityContext":{"runAsUser":1000}}],"containers":[` + app + `,{"name":"istio-proxy","image":"auto","securityContext":{"runAsUser":1000}}]}`, "", ""},
		{"the default uid, of a pod whose applications have others", `{"securityContext":{"runAsUser":1337},"containers":[{"name":"app","image":"i","securityContext":{"runAsUser":5}}]}`, "", ""},
		{"the default uid, of an application; another one for the sidecar", `{"containers":[{"name":"app","image":"i","securityContext":{"runAsUser":1337}},{"name":"istio-proxy","image":"auto","securityContext":{"runAsUser":1500}}]}`, "", ""},
		{"the sidecar's gid, which is not exempt", `{"securityContext":{"runAsGroup":1337},"containers":[` + app + `]}`, "", ""},
		{"a gid that the pod exempts", `{"containers":[{"name":"app","image":"i","securityContext":{"runAsUser":5}},{"name":"istio-proxy","image":"auto","securityContext":{"runAsGroup":1337}}]}`, "", ""},
		{"a supplemental group", `{"securityContext":{"fsGroup":1337,"supplementalGroups":[1337]},"containers":[` + app + `]}`, "", ""},
		{"privileged", `{"containers":[` + app + `,{"name":"istio-proxy","image":"auto","securityContext":{"privileged":true}}]}`, "set allowPrivilegeEscalation: true", "privileged"},
		{"privileged as a whole", `{"containers":[` + app + `,{"name":"istio-proxy","image":"auto","securityContext":{"privileged":true,"allowPrivilegeEscalation":true}}]}`, "", ""},
		{"a port's name", `{"containers":[` + app + `,{"name":"istio-proxy","image":"auto","ports":[{"name":"http-envoy-prom","containerPort":9999}]}]}`,
			`spec.containers[1].ports[0].name: "http-envoy-prom": the name of a port of the sidecar; rename the port`, "http-envoy-prom"},
		{"a port's number", `{"containers":[` + app + `,{"name":"istio-proxy","image":"auto","ports":[{"name":"metrics","containerPort":15090}]}]}`, "", ""},
		{"a writable file system", `{"containers":[` + app + `,{"name":"istio-proxy","image":"auto","securityContext":{"readOnlyRootFilesystem":false}}]}`, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			for mode, want := range map[*Injector]string{native: c.native, classic: c.classic} {
				if got := problemsWith(t, mode, Request{}, c.spec); want == "" && got != "" || !strings.Contains(got, want) {
					t.Errorf("native %v: %q, want %q", mode == native, got, want)
				}
			}
		})
	}
}

// TestOpenShiftIdentityApart: the sidecar has a uid that no application has, whatever
// OpenShift has set in the pod's own istio-proxy.
func TestOpenShiftIdentityApart(t *testing.T) {
	i := mustCompile(t, config.Texts{}, Environment{})
	of := func(containers string) string { return `{"containers":[` + containers + `]}` }
	uid := func(name, id string) string {
		return `{"name":"` + name + `","image":"auto","securityContext":{"runAsUser":` + id + `}}`
	}
	for _, c := range []struct {
		name, uids, spec string
		want             int64
		problem          string
	}{
		{"assigned", "1000/10", of(uid("app", "1000") + "," + uid("istio-proxy", "1000")), 1009, ""},
		{"assigned to applications alone", "1000/10", of(uid("app", "1000")), 1009, ""},
		{"of the pod", "1000/10", `{"securityContext":{"runAsUser":1000},"containers":[{"name":"app","image":"i"},` + uid("istio-proxy", "1000") + `]}`, 1009, ""},
		{"its own", "1000/10", of(uid("app", "1000") + "," + uid("istio-proxy", "1005")), 1005, ""},
		{"an application has the last", "1000/10", of(uid("app", "1009")), 1008, ""},
		{"applications have the last two", "1000-1009", of(uid("app", "1009") + "," + uid("other", "1008") + "," + uid("istio-proxy", "1009")), 1007, ""},
		{"one uid, which the application has", "1000/1", of(uid("app", "1000")), 0, "no id of the range is left"},
		{"one uid, which nobody has", "1000/1", of(`{"name":"app","image":"i"}`), 1000, ""},
		{"outside the range", "1000/10", of(uid("app", "5") + "," + uid("istio-proxy", "5")), 0, "container app has this uid too"},
		{"of an init container", "1000/10", `{"initContainers":[` + uid("setup", "1009") + `],"containers":[` + uid("app", "1000") + `]}`, 1009, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := Request{NamespaceAnnotations: map[string]string{annotation.OpenShiftUIDRange: c.uids}}
			if got := problemsWith(t, i, r, c.spec); c.problem != "" || got != "" {
				if c.problem == "" || !strings.Contains(got, c.problem) {
					t.Errorf("%q, want %q", got, c.problem)
				}
				return
			}
			r.Pod = []byte(`{"spec":` + c.spec + `}`)
			out := mustInject(t, i, r)
			pod, err := decodePod(out.PodJSON())
			if err != nil {
				t.Fatal(err)
			}
			for _, item := range pod.Spec.InitContainers {
				if item.Name == proxyContainerName && *item.SecurityContext.RunAsUser != c.want || out.Settings.ProxyUID != c.want {
					t.Errorf("the container has %d, the redirect exempts %d, want %d", *item.SecurityContext.RunAsUser, out.Settings.ProxyUID, c.want)
				}
			}
		})
	}
}

func TestGroupSource(t *testing.T) {
	i := mustCompile(t, config.Texts{}, Environment{})
	for security, want := range map[string]Setting{
		`{"runAsGroup":4321}`:                  {"proxyGID", "4321", SourceContainer},
		`{"runAsUser":1500,"runAsGroup":4321}`: {"proxyGID", "4321", SourceContainer},
		`{"runAsUser":1500}`:                   {"proxyGID", "1337", SourceDefault},
		`{"runAsGroup":0}`:                     {"proxyGID", "1337", SourceDefault},
		`{"runAsGroup":77}`:                    {"proxyGID", "1337", SourceDefault}, // the application's
	} {
		r := Request{Pod: []byte(`{"spec":{"containers":[{"name":"app","image":"i","securityContext":{"runAsGroup":77}},{"name":"istio-proxy","image":"auto","securityContext":` + security + `}]}}`)}
		if got := mustInject(t, i, r).Settings.Setting("proxyGID"); got != want {
			t.Errorf("%s: %+v, want %+v", security, got, want)
		}
	}
}

func TestVolumesOfTheOutcome(t *testing.T) {
	const xds = `{"name":"outrider-xds","projected":{"defaultMode":420,"sources":[{"serviceAccountToken":{"audience":"outrider","expirationSeconds":43200,"path":"token"}},{"configMap":{"name":"outrider-ca"}}]}}`
	i := mustCompile(t, config.Texts{}, Environment{})
	of := func(volumes string) string {
		return `{"volumes":[` + volumes + `],"containers":[{"name":"app","image":"i"}]}`
	}
	for _, c := range []struct {
		name, spec    string
		volume, mount string
		want          string
	}{
		{"nothing", of(``), "", "", ""},
		{"another source", of(`{"name":"outrider-xds","emptyDir":{}}`), "", "", `spec.volumes[0].name: "outrider-xds": the name of a volume of the sidecar`},
		{"no source", of(`{"name":"outrider-xds"}`), "", "", `spec.volumes[0].name`},
		{"the same source", of(`{"name":"outrider-xds","projected":{"sources":[]}}`), "", "", `spec.volumes[0].name`},
		{"the same volume", of(xds), "", "", ""},
		{"names of Istio's volumes", of(`{"name":"istio-token","emptyDir":{}},{"name":"workload-socket","emptyDir":{}},{"name":"istiod-ca-cert","emptyDir":{}}`), "", "", ""},
		{"of the pod and of the annotation", of(`{"name":"a","emptyDir":{}}`), `{"a":{"secret":{"secretName":"s"}}}`, "", `annotation sidecar.istio.io/userVolume: "a": the pod has another volume`},
		{"the same in both", of(`{"name":"a","emptyDir":{}}`), `{"a":{"emptyDir":{}}}`, "", ""},
		{"of the sidecar, in the annotation", of(``), `{"outrider-xds":{"emptyDir":{}}}`, "", `annotation sidecar.istio.io/userVolume: "outrider-xds": the name of a volume of the sidecar`},
		{"no volume for a mount", of(``), "", `{"a":{"mountPath":"/a"}}`, `annotation sidecar.istio.io/userVolumeMount: "a": the pod has no volume of this name`},
		{"a volume of the pod", of(`{"name":"a","emptyDir":{}}`), "", `{"a":{"mountPath":"/a"}}`, ""},
		{"the sidecar's volume", of(``), "", `{"outrider-xds":{"mountPath":"/a"}}`, ""},
		{"another container with the administration socket", `{"containers":[{"name":"app","image":"i","volumeMounts":[{"name":"outrider-admin","mountPath":"/run"}]}]}`, "", "",
			`spec.containers[0].volumeMounts[0].name: "outrider-admin": a volume of the sidecar, which no other container may mount; remove the mount`},
		{"an init container with the sidecar's token", `{"initContainers":[{"name":"first","image":"i","volumeMounts":[{"name":"outrider-no-api-token","mountPath":"/a"},{"name":"outrider-xds","subPath":"token","mountPath":"/t"}]}],"containers":[{"name":"app","image":"i"}]}`, "", "",
			`spec.initContainers[0].volumeMounts[1].name: "outrider-xds": a volume of the sidecar`},
		{"another container, with the same volume of the pod", `{"volumes":[{"name":"outrider-admin","emptyDir":{"medium":"Memory","sizeLimit":"1Mi"}}],"containers":[{"name":"app","image":"i","volumeMounts":[{"name":"outrider-admin","mountPath":"/run"}]}]}`, "", "",
			`spec.containers[0].volumeMounts[0].name: "outrider-admin"`},
		{"an own istio-proxy with the administration socket", `{"containers":[{"name":"app","image":"i"},{"name":"istio-proxy","image":"auto","volumeMounts":[{"name":"outrider-admin","mountPath":"/run"}]}]}`, "", "", ""},
		{"two mounts at a path", of(`{"name":"a","emptyDir":{}},{"name":"b","emptyDir":{}}`), "", `[{"name":"a","mountPath":"/x"},{"name":"b","mountPath":"/x"}]`, `"/x": another volume is mounted at this path`},
		{"one volume at two paths", of(`{"name":"a","emptyDir":{}}`), "", `[{"name":"a","mountPath":"/x"},{"name":"a","mountPath":"/y"}]`, ""},
		{"a mount at the sidecar's path", of(`{"name":"a","emptyDir":{}}`), "", `{"a":{"mountPath":"/var/run/secrets/outrider"}}`, `another volume is mounted at this path`},
		{"a mount at the sidecar's path, in other words", of(`{"name":"a","emptyDir":{}}`), "", `{"a":{"mountPath":"/var/run//secrets/outrider/"}}`, `another volume is mounted at this path`},
		{"an own container's mount", `{"containers":[{"name":"app","image":"i"},{"name":"istio-proxy","image":"auto","volumeMounts":[{"name":"a","mountPath":"/a"}]}]}`, "", "", `spec.containers[1].volumeMounts[0]: "a": the pod has no volume`},
		{"an own container's mount and the annotation's", `{"volumes":[{"name":"a","emptyDir":{}}],"containers":[{"name":"app","image":"i"},{"name":"istio-proxy","image":"auto","volumeMounts":[{"name":"a","mountPath":"/a"}]}]}`, "", `{"a":{"mountPath":"/a"}}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var annotations []string
			if c.volume != "" {
				annotations = append(annotations, annotation.UserVolume, c.volume)
			}
			if c.mount != "" {
				annotations = append(annotations, annotation.UserVolumeMount, c.mount)
			}
			if got := problemsWith(t, i, Request{}, c.spec, annotations...); c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
	if got := problemsWith(t, i, Request{Claims: []string{"data"}}, of(``), annotation.UserVolumeMount, `{"data":{"mountPath":"/data"}}`); got != "" {
		t.Errorf("a claim's volume: %s", got)
	}
	for name, annotations := range map[string][]string{"outrider-xds": nil, "data": {annotation.UserVolume, `{"data":{"emptyDir":{}}}`}} {
		want := `spec.volumeClaimTemplates[1].metadata.name: "` + name + `": the name of a volume of the sidecar`
		if got := problemsWith(t, i, Request{Claims: []string{"other", name}}, of(``), annotations...); !strings.HasPrefix(got, want) || strings.Contains(got, "\n") {
			t.Errorf("a claim instead of the volume: %q, want %q", got, want)
		}
	}
}

// TestTemplatesOfTheOutcome: what custom templates and pods make together.
func TestTemplatesOfTheOutcome(t *testing.T) {
	const app = `{"containers":[{"name":"app","image":"i"}]}`
	for _, c := range []struct{ name, template, spec, want string }{
		{"the sidecar in both lists", "spec: {containers: [{name: istio-proxy, env: [{name: A, value: b}]}]}", app, `spec.containers: "istio-proxy": the templates have a container of this name in initContainers too`},
		{"an init container of the template", "spec: {initContainers: [{name: setup, image: s}]}", `{"containers":[{"name":"app","image":"i"},{"name":"setup","image":"i"}]}`, `spec.containers[1].name: "setup"`},
		{"a volume of the pod, changed on purpose", "spec: {volumes: [{name: data, emptyDir: {medium: Memory}}]}", `{"volumes":[{"name":"data","emptyDir":{}}],"containers":[{"name":"app","image":"i"}]}`, ""},
		{"a volume of the pod with another source", "spec: {volumes: [{name: data, secret: {secretName: s}}]}", `{"volumes":[{"name":"data","emptyDir":{}}],"containers":[{"name":"app","image":"i"}]}`, `spec.volumes[0].name: "data"`},
		{"a mount without a volume", "spec: {initContainers: [{name: istio-proxy, volumeMounts: [{name: a, mountPath: /a}]}]}", app, `injected container istio-proxy: volumeMounts: "a": the pod has no volume`},
		{"another uid", "spec: {initContainers: [{name: istio-proxy, securityContext: {runAsUser: 2000, runAsGroup: 2000}}]}", app, "runAsUser: 2000: the redirect exempts uid 1337 only"},
		{"another uid, in its group", "spec: {initContainers: [{name: istio-proxy, securityContext: {runAsUser: 2000}}]}", app, "runAsUser: 2000: the redirect exempts uid 1337 only"},
		{"another uid, in an exempt group", "spec: {initContainers: [{name: istio-init, args: [istio-iptables, -g, '1337']}, {name: istio-proxy, securityContext: {runAsUser: 2000}}]}", app, ""},
		{"applications in a group that the template exempts", "spec: {securityContext: {runAsGroup: 1337}, initContainers: [{name: istio-init, args: [istio-iptables, -u, '1337']}]}", app, "spec.securityContext.runAsGroup: 1337"},
		{"applications in the sidecar's group", "spec: {securityContext: {runAsGroup: 1337}}", app, ""},
		{"applications with the sidecar's uid", "spec: {securityContext: {runAsUser: 1337}}", app, "spec.securityContext.runAsUser: 1337"},
		{"a container of its own with the sidecar's uid", "spec: {containers: [{name: helper, image: h, securityContext: {runAsUser: 1337}}]}", app, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			i := mustCompile(t, config.Texts{Config: "templates: {team: \"" + c.template + "\"}\ndefaultTemplates: [sidecar, team]\n"}, Environment{})
			if got := problemsWith(t, i, Request{}, c.spec); c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
