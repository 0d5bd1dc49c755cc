package scenarios

import (
	"encoding/json"
	"fmt"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/test/kube"
)

// created is the API server's answer to a pod. Nothing is stored.
func created(t *testing.T, s *kube.Server, pod []byte) error {
	t.Helper()
	return s.Client.CoreV1().RESTClient().Post().Namespace("default").Resource("pods").
		Param("dryRun", "All").WarningHandler(rest.NoWarnings{}).SetHeader("Content-Type", "application/json").Body(pod).Do(t.Context()).Error()
}

// TestAcceptedPodsStayAccepted: the API server accepts the injected form of every pod
// that it accepts.
func TestAcceptedPodsStayAccepted(t *testing.T) {
	server := kube.Require(t)
	asked := 0
	for _, s := range loadAll(t) {
		_, input := s.input()
		want, ok := s.get("want.yaml")
		if !ok {
			continue
		}
		before, after := objectsOf(t, input), objectsOf(t, want)
		if len(before) != len(after) {
			t.Errorf("%s: %d objects, %d injected", s.name, len(before), len(after))
			continue
		}
		create := func(o object) error {
			pod := o.asCreated(t, s)
			pod["metadata"].(tree)["namespace"] = "default"
			return created(t, server, encode(t, pod))
		}
		for i := range before {
			if !before[i].hasPod() || create(before[i]) != nil {
				continue
			}
			asked++
			if err := create(after[i]); err != nil {
				t.Errorf("%s: %s: %v", s.name, after[i].name(), err)
			}
		}
	}
	if asked < 150 {
		t.Errorf("the API server accepts %d pods; there were at least 150", asked)
	}
}

// TestPodResources: a pod with resources of its own, which the API server compares with
// what the containers request, is accepted with the sidecar too, and the applications
// keep what they had.
func TestPodResources(t *testing.T) {
	server := kube.Require(t)
	const app = `{"name":"app","image":"i","resources":{"requests":{"cpu":"500m","memory":"100Mi"},"limits":{"memory":"200Mi"}}}`
	const plain = `{"name":"app","image":"i"}`
	const beside = "less than the init container requests beside the sidecar"
	const setup = `{"name":"setup","image":"i","resources":{"requests":{"cpu":"1"}}}`
	for _, c := range []struct {
		name, spec string
		requests   string // cpu and memory, "-" for none
		limits     string
	}{
		{"exact", `"resources":{"requests":{"cpu":"500m","memory":"100Mi"}},"containers":[` + app + `]`, "510m 180Mi", "- -"},
		{"with limits", `"resources":{"requests":{"cpu":"500m","memory":"100Mi"},"limits":{"cpu":"600m","memory":"200Mi"}},"containers":[` + app + `]`, "510m 180Mi", "2600m 1224Mi"},
		{"with room to spare", `"resources":{"requests":{"cpu":"2"},"limits":{"cpu":"4"}},"containers":[` + app + `]`, "2010m -", "6 -"},
		{"requests of one resource", `"resources":{"requests":{"cpu":"500m"}},"containers":[` + app + `]`, "510m -", "- -"},
		{"limits, which are the requests", `"resources":{"limits":{"cpu":"1","memory":"1Gi"}},"containers":[` + plain + `]`, "1010m 1104Mi", "3 2Gi"},
		{"limits and the containers' requests", `"resources":{"limits":{"cpu":"1","memory":"1Gi"}},"containers":[` + app + `]`, "- -", "3 2Gi"},
		{beside, `"resources":{"requests":{"cpu":"1m","memory":"1Mi"},"limits":{"cpu":"1m","memory":"1Mi"}},"containers":[` + plain + `]`, "15m 96Mi", "2001m 1025Mi"},
		{"an init container that requests most", `"resources":{"requests":{"cpu":"1"}},"initContainers":[` + setup + `],"containers":[` + app + `]`, "1010m -", "- -"},
		{"whole numbers", `"resources":{"requests":{"cpu":1,"memory":1073741824}},"containers":[` + app + `]`, "1010m 1157627904", "- -"},
		{"hugepages", `"resources":{"requests":{"cpu":"1","hugepages-2Mi":"4Mi"},"limits":{"cpu":"1","hugepages-2Mi":"4Mi"}},"containers":[` + plain + `]`, "1010m -", "3 -"},
		{"its own sidecar's requests are in it", `"resources":{"requests":{"cpu":"800m"}},"containers":[` + app + `,{"name":"istio-proxy","image":"auto","resources":{"requests":{"cpu":"300m"}}}]`, "800m -", "- -"},
		{"its own sidecar requests less than the injected one", `"resources":{"requests":{"memory":"200Mi"}},"containers":[` + app + `,{"name":"istio-proxy","image":"auto"}]`, "- 280Mi", "- -"},
		{"none", `"resources":{},"containers":[` + app + `]`, "- -", "- -"},
	} {
		for _, version := range []inject.Version{{Major: 1, Minor: 37}, {Major: 1, Minor: 28}} {
			t.Run(fmt.Sprintf("%s, 1.%d", c.name, version.Minor), func(t *testing.T) {
				pod := []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{` + c.spec + `}}`)
				if err := created(t, server, pod); err != nil {
					t.Fatalf("without a sidecar: %v", err)
				}
				injected := injectedWith(t, version, pod)
				if err := created(t, server, injected); err != nil {
					t.Error(err)
				}
				var out corev1.Pod
				if err := json.Unmarshal(injected, &out); err != nil {
					t.Fatal(err)
				}
				want := c.requests
				if c.name == beside && version.Minor == 28 {
					want = "11m 81Mi" // it runs beside nothing
				}
				if got := figures(out.Spec.Resources.Requests); got != want {
					t.Errorf("requests %s, want %s", got, want)
				}
				if got := figures(out.Spec.Resources.Limits); got != c.limits {
					t.Errorf("limits %s, want %s", got, c.limits)
				}
				if again := injectedWith(t, version, injected); !jsonpatch.Equal(again, injected) {
					t.Errorf("a second injection changes it:\n%s\n%s", injected, again)
				}
				removed, err := inject.Uninjector{}.Inject(inject.Request{Pod: injected})
				if err != nil {
					t.Fatal(err)
				}
				if restored := patched(t, injected, removed); !jsonpatch.Equal(restored, pod) {
					t.Errorf("uninject: %s", restored)
				}
			})
		}
	}
}

// injectedWith is the pod as the default configuration injects it.
func injectedWith(t *testing.T, version inject.Version, pod []byte) []byte {
	t.Helper()
	out, err := defaultInjector(t, version).Inject(inject.Request{Pod: pod})
	if err != nil {
		t.Fatal(err)
	}
	return patched(t, pod, out)
}

func patched(t *testing.T, pod []byte, out *inject.Result) []byte {
	t.Helper()
	patch, err := jsonpatch.DecodePatch(inject.AppendPatch(nil, out.Patch))
	if err != nil {
		t.Fatal(err)
	}
	after, err := patch.Apply(pod)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(after, &v); err != nil {
		t.Fatal(err)
	}
	return after
}

func figures(list corev1.ResourceList) string {
	figure := func(name corev1.ResourceName) string {
		if q, ok := list[name]; ok {
			return q.String()
		}
		return "-"
	}
	return figure(corev1.ResourceCPU) + " " + figure(corev1.ResourceMemory)
}
