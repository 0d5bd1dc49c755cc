package certs

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/revision"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

func TestSelected(t *testing.T) {
	ns := func(labels map[string]string, optedIn ...map[string]string) namespace {
		return namespace{labels: labels, optedIn: optedIn}
	}
	const enabled, rev, name = "istio-injection", "istio.io/rev", "kubernetes.io/metadata.name"
	for _, tt := range []struct {
		name      string
		revision  string
		auto      bool
		namespace namespace
		want      bool
	}{
		{name: "no labels", namespace: ns(nil)},
		{name: "enabled", namespace: ns(map[string]string{enabled: "enabled"}), want: true},
		{name: "disabled", namespace: ns(map[string]string{enabled: "disabled"})},
		{name: "this revision", namespace: ns(map[string]string{rev: "default"}), want: true},
		{name: "another revision", namespace: ns(map[string]string{rev: "canary"})},
		{name: "another installation's enabled", revision: "canary", namespace: ns(map[string]string{enabled: "enabled"})},
		{name: "a revision of its own", revision: "canary", namespace: ns(map[string]string{rev: "canary"}), want: true},
		{name: "a pod opts in", namespace: ns(nil, map[string]string{annotation.Inject: "true"}), want: true},
		{name: "a pod opts in to this revision", namespace: ns(nil, map[string]string{rev: "default"}), want: true},
		{name: "a pod opts in to another revision", namespace: ns(nil, map[string]string{rev: "canary"})},
		{name: "a pod opts in, in a disabled namespace", namespace: ns(map[string]string{enabled: "disabled"}, map[string]string{annotation.Inject: "true"})},
		{name: "a pod was injected by hand", namespace: namespace{injected: true}, want: true},
		{name: "a pod was injected by hand in a disabled namespace", namespace: namespace{labels: map[string]string{enabled: "disabled"}, injected: true}, want: true},
		{name: "automatic", auto: true, namespace: ns(nil), want: true},
		{name: "automatic, disabled", auto: true, namespace: ns(map[string]string{enabled: "disabled"})},
		{name: "a system namespace", auto: true, namespace: ns(map[string]string{name: "kube-system"})},
		{name: "terminating", namespace: namespace{labels: map[string]string{enabled: "enabled"}, terminating: true}},
	} {
		r := registration.Options{Revision: revision.Revision(tt.revision), Namespace: "istio-system", Service: "outrider", Auto: tt.auto}.Mutating().Webhooks
		got, err := selected(r, map[string]namespace{"shop": tt.namespace})
		if err != nil || got["shop"] != tt.want || len(got) > 1 {
			t.Errorf("%s: %v, %v", tt.name, got, err)
		}
	}
	broken := registration.Options{}.Mutating().Webhooks
	broken[0].NamespaceSelector.MatchExpressions[0].Operator = "Sometimes"
	if _, err := selected(broken, nil); err == nil || !strings.Contains(err.Error(), "namespaceSelector of webhook rev.namespace") {
		t.Errorf("a broken selector: %v", err)
	}
}

func TestOnlyInjected(t *testing.T) {
	for status, want := range map[string]bool{
		`{"revision":"default","configHash":"12"}`:                                 true,
		`{"revision":"canary","configHash":"12"}`:                                  false,
		`{"initContainers":["istio-init"],"containers":null,"revision":"default"}`: false, // Istio's
		"":  false,
		"{": false,
	} {
		o, err := onlyInjected("default")(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
			Labels: map[string]string{"app": "a"}, Annotations: map[string]string{annotation.SidecarStatus: status},
		}})
		if err != nil || isInjected(o) != want || len(o.(*metav1.PartialObjectMetadata).Labels) > 0 {
			t.Errorf("%q: %v, %v", status, o, err)
		}
	}
}

func TestPlan(t *testing.T) {
	o := &Options{Revision: "default"}
	bundle := []byte("bundle")
	managed := func(edit ...func(*corev1.ConfigMap)) *corev1.ConfigMap {
		c := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: ConfigMapName, Namespace: "shop", Labels: o.ownLabels()}, Data: configMapData(bundle)}
		for _, e := range edit {
			e(c)
		}
		return c
	}
	labelled := func(l map[string]string) func(*corev1.ConfigMap) { return func(c *corev1.ConfigMap) { c.Labels = l } }
	for _, tt := range []struct {
		name   string
		wanted bool
		have   *corev1.ConfigMap
		want   string
	}{
		{"wanted, missing", true, nil, "create []"},
		{"wanted, up to date", true, managed(), " []"},
		{"wanted, old bundle", true, managed(func(c *corev1.ConfigMap) { c.Data = configMapData([]byte("old")) }), "update []"},
		{"wanted, one key too many", true, managed(func(c *corev1.ConfigMap) { c.Data["x"] = "" }), "update []"},
		{"wanted, binary key too many", true, managed(func(c *corev1.ConfigMap) { c.BinaryData = map[string][]byte{"x": nil} }), "update []"},
		{"wanted, a label more", true, managed(func(c *corev1.ConfigMap) { c.Labels["team"] = "a" }), " []"},
		{"wanted, the user's", true, managed(labelled(nil)), " [shop]"},
		{"wanted, another revision's", true, managed(labelled((&Options{Revision: "canary"}).ownLabels())), " [shop]"},
		{"not wanted, missing", false, nil, " []"},
		{"not wanted, existing", false, managed(), "delete []"},
		{"not wanted, the user's", false, managed(labelled(nil)), " []"},
		{"not wanted, another revision's", false, managed(labelled((&Options{Revision: "canary"}).ownLabels())), " []"},
	} {
		have, want := map[string]*corev1.ConfigMap{}, map[string]bool{}
		if tt.have != nil {
			have["shop"] = tt.have
		}
		if tt.wanted {
			want["shop"] = true
		}
		changes, conflicts := plan(o, want, have, bundle)
		var operations []string
		for _, c := range changes {
			operations = append(operations, string(c.operation))
			if c.operation != remove && string(c.object.Data[keyBundle]) != "bundle" || c.object.Namespace != "shop" {
				t.Errorf("%s: writes %+v", tt.name, c.object)
			}
		}
		if got := fmt.Sprint(strings.Join(operations, " "), " ", conflicts); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestBundlePatch(t *testing.T) {
	a, b := []byte("a"), []byte("b")
	if ops := bundlePatch([]hook{{"x", a}, {"y", a}}, a); ops != nil {
		t.Errorf("nothing differs: %v", ops)
	}
	ops := bundlePatch([]hook{{"x", a}, {"y", nil}, {"z", b}}, a)
	want := "[{test /webhooks/1/name y} {add /webhooks/1/clientConfig/caBundle [97]} {test /webhooks/2/name z} {add /webhooks/2/clientConfig/caBundle [97]}]"
	if got := fmt.Sprint(ops); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
