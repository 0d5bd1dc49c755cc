package explain_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/explain"
	"github.com/outrider-mesh/outrider/internal/document"
)

// notOfPods are the keys with an effect that no setting shows: parts of others, or
// settings of other objects.
var notOfPods = []string{
	"global.hub", "global.tag", "global.variant", // of the images
	"global.platform", "global.platformFallback", "global.namedRanges", // of the ranges
	"global.proxy.autoInject", // of the decision
	"revision",                // of the injector
}

// TestEveryKeyIsASetting: a value of each key that has an effect is in the answer, with the
// key's line.
func TestEveryKeyIsASetting(t *testing.T) {
	values := map[config.Type]string{
		config.TypeText: "info", config.TypeTag: "true", config.TypeFlag: "true", config.TypeNumber: "7", config.TypeRanges: "10.1.0.0/16",
		config.TypePorts: "81", config.TypeNames: "net1", config.TypeStrings: "[secret]", config.TypeObject: "{}",
	}
	special := map[string]string{
		"global.imagePullPolicy": "Always", "global.proxy.statusPort": "0", "global.proxy.componentLogLevel": "misc:info", "global.proxy.image": "a/b", "global.proxy_init.image": "a/b",
		"global.proxy.resources": "{requests: {cpu: 20m}}", "global.proxy_init.resources": "{requests: {cpu: 20m}}",
		"global.proxy.seccompProfile": "{type: RuntimeDefault}", "global.proxy.lifecycle": "{preStop: {exec: {command: [a]}}}",
	}
	for _, k := range config.Keys() {
		if !k.Effect || slices.Contains(notOfPods, k.Path) || k.Path == "global.proxy.holdApplicationUntilProxyStarts" {
			continue
		}
		value, ok := special[k.Path]
		if !ok {
			value = values[k.Type]
		}
		parts := strings.Split(k.Path, ".")
		text := "# a comment\n" + strings.Join(parts, ": {") + ": " + value + strings.Repeat("}", len(parts)-1) + "\n"
		a := explain.Explain(subject(t, deployment("")), input(t, config.Texts{Values: text}, enabled(), ""))
		if !slices.ContainsFunc(a.Settings, func(s explain.Setting) bool { return s.Source == "VALUES" && s.Line == 2 }) {
			t.Errorf("%s: %s is in no setting", k.Path, value)
		}
	}
}

// TestFurtherSettings: the fields of the ProxyConfig with their sources, and volumes.
func TestFurtherSettings(t *testing.T) {
	texts := config.Texts{
		Values: "global:\n  proxy:\n    holdApplicationUntilProxyStarts: true\n",
		Mesh:   "defaultConfig:\n  concurrency: 3\n  drainDuration: 7s\n",
	}
	pod := deployment(`annotations: {proxy.istio.io/config: "{drainDuration: 9s, proxyMetadata: {A: b}}", sidecar.istio.io/userVolume: '[{"name":"a","emptyDir":{}}]'}`)
	a := explain.Explain(subject(t, pod), input(t, texts, enabled(), ""))
	got := map[string]string{}
	for _, s := range a.Settings {
		got[s.Name] = fmt.Sprintf("%s from %s %s %d", s.Value, s.Source, s.Path, s.Line)
	}
	for name, want := range map[string]string{
		"concurrency":                     "3 from MESH defaultConfig.concurrency 2",
		"drainDuration":                   "9s from annotation proxy.istio.io/config spec.template.metadata.annotations 0",
		"holdApplicationUntilProxyStarts": "true from VALUES global.proxy.holdApplicationUntilProxyStarts 3",
		"proxyMetadata":                   `{"A":"b"} from annotation proxy.istio.io/config spec.template.metadata.annotations 0`,
		"terminationDrainDuration":        "5s from default defaultConfig.terminationDrainDuration 0",
		"userVolume":                      `[{"name":"a","emptyDir":{}}] from annotation sidecar.istio.io/userVolume spec.template.metadata.annotations 0`,
	} {
		if got[name] != want {
			t.Errorf("%s: %s, want %s", name, got[name], want)
		}
	}
	a = explain.Explain(subject(t, deployment("")), input(t, config.Texts{}, enabled(), ""))
	if i := slices.IndexFunc(a.Settings, func(s explain.Setting) bool { return s.Name == "concurrency" }); i < 0 || a.Settings[i].Value != "2" || a.Settings[i].Source != "default" {
		t.Errorf("the default of concurrency: %+v", a.Settings)
	}
}

// TestPlacesInFiles: annotations, labels, fields and entries with their lines.
func TestPlacesInFiles(t *testing.T) {
	at := func(first int, path, text string) explain.Manifest {
		root, problems := document.Load(text, len(text))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return explain.Manifest{File: "app.yaml", First: first, Root: root, Path: path}
	}
	const list = "items:\n- a\n- spec:\n    template:\n      metadata:\n        annotations:\n          traffic.sidecar.istio.io/excludeOutboundPorts: \"9000\"\n"
	s := subject(t, deployment(`annotations: {traffic.sidecar.istio.io/excludeOutboundPorts: "9000"}`))
	s.Manifest = at(11, "items[1]", list)
	in := input(t, config.Texts{}, enabled(), "---\nkind: ServiceEntry\nmetadata: {namespace: shop, name: bin}\nspec: {hosts: [bin.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}\n")
	in.Manifests = map[string]explain.Manifest{"ServiceEntry shop/bin": at(30, "", "spec:\n  ports: []\n  hosts: [bin.example]\n")}
	tcp, err := explain.ParseDestination("203.0.113.7:9000", "tcp")
	if err != nil {
		t.Fatal(err)
	}
	http, err := explain.ParseDestination("bin.example", "http")
	if err != nil {
		t.Fatal(err)
	}
	a := explain.Explain(s, in, tcp, http)
	if r := a.Destinations[0].Paths[0].Redirect; r.File != "app.yaml" || r.Line != 17 {
		t.Errorf("an annotation: %+v", r)
	}
	if !strings.Contains(a.Text(), "annotation traffic.sidecar.istio.io/excludeOutboundPorts, app.yaml:17: spec.template.metadata.annotations\n") {
		t.Error(a.Text())
	}
	if r := a.Destinations[1].Paths[0].Sidecar.Rule; r.File != "app.yaml" || r.Line != 32 || r.Source != "ServiceEntry shop/bin" {
		t.Errorf("an entry: %+v", r)
	}
	s = subject(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: a, labels: {sidecar.istio.io/inject: \"false\"}}\nspec: {containers: [{name: a, image: a}]}\n")
	s.Manifest = at(1, "", "kind: Pod\nmetadata:\n  labels:\n    sidecar.istio.io/inject: \"false\"\n")
	if r := explain.Explain(s, in).Decision.Rule; r.ID != "label_false" || r.Line != 4 {
		t.Errorf("a label: %+v", r)
	}
}

// TestMatchConditions: they are named, as they are not evaluated.
func TestMatchConditions(t *testing.T) {
	in := input(t, config.Texts{}, enabled(), "")
	for i := range in.Registered.Configurations[0].Webhooks {
		in.Registered.Configurations[0].Webhooks[i].MatchConditions = []admissionregistrationv1.MatchCondition{{Name: "not-leases", Expression: "true"}}
	}
	a := explain.Explain(subject(t, deployment("")), in)
	if c := a.Webhook.Conditions; a.Webhook.Result != explain.Selected || len(c) != 1 || c[0] != "not-leases" {
		t.Errorf("%+v", a.Webhook)
	}
	if !strings.Contains(a.Text(), "if its matchConditions are true, which are not evaluated here: not-leases\n") {
		t.Error(a.Text())
	}
}
