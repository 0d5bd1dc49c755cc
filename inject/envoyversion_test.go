package inject

import (
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/config"
)

// A pod with another version of Envoy than the default can have a log component that this
// version lacks.
func TestComponentOfNewerEnvoyIsReported(t *testing.T) {
	i := mustCompile(t, config.Texts{}, Environment{})
	for _, v := range config.EnvoyVersions() {
		minor := v.Version[:strings.LastIndexByte(v.Version, '.')]
		for _, name := range annotation.Components() {
			r, err := i.Inject(Request{Namespace: "shop", Pod: []byte(`{"metadata":{"name":"a","annotations":{"` + annotation.ProxyImage + `":"envoyproxy/envoy:v` + v.Version +
				`","` + annotation.ComponentLogLevel + `":"` + name + `:debug"}},"spec":{"containers":[{"name":"a","image":"a"}]}}`)})
			if err != nil {
				t.Fatal(err)
			}
			want := `annotation sidecar.istio.io/componentLogLevel: "` + name + `": Envoy ` + minor + ` of the sidecar's image has no such log component, and does not start; `
			if got, lacked := strings.Contains(strings.Join(r.Warnings.Strings(), "\n"), want), len(annotation.ComponentsLacked(minor, name+":debug")) > 0; got != lacked {
				t.Errorf("Envoy %s, %s: warnings %v, want one: %t", v.Version, name, r.Warnings.Strings(), lacked)
			}
		}
	}
}

// A version of Envoy that was not tested is reported: in the values with the
// configuration, in an annotation with the pod.
func TestUntestedEnvoyIsReported(t *testing.T) {
	const old, rule = "docker.io/envoyproxy/envoy:v1.20.0", "Envoy 1.20 was not tested, and may reject the configuration of the sidecar; use one of "
	cfg, problems := config.Parse(config.Texts{Values: "global:\n  proxy: {image: " + old + "}\n"}, config.Labels{})
	if cfg == nil {
		t.Fatal(problems.Err())
	}
	_, problems = Compile(cfg, Environment{})
	want := `2:18: global.proxy.image: "` + old + `": ` + rule
	if all := strings.Join(problems.Strings(), "\n"); !strings.Contains(all, want) || len(problems.Errors()) > 0 {
		t.Errorf("%s; want %s", all, want)
	}
	i := mustCompile(t, config.Texts{}, Environment{})
	for image, warned := range map[string]bool{old: true, "docker.io/envoyproxy/envoy:v" + config.DefaultEnvoy(): false} {
		r, err := i.Inject(Request{Namespace: "shop", Pod: []byte(`{"metadata":{"name":"a","annotations":{"` + annotation.ProxyImage + `":"` + image + `"}},"spec":{"containers":[{"name":"a","image":"a"}]}}`)})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(strings.Join(r.Warnings.Strings(), "\n"), `annotation sidecar.istio.io/proxyImage: "`+image+`": `+rule); got != warned {
			t.Errorf("%s: warnings %v", image, r.Warnings.Strings())
		}
	}
}
