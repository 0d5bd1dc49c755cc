package inject

import (
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/internal/revision"
)

// The revision of the environment is the one that injects: the values may lack it.
func TestRevisionOfTheEnvironment(t *testing.T) {
	const template = `templates: {sidecar: '{"metadata": {"annotations": {"a": "{{ .Revision }} {{ .Values.revision }}"}}, "spec": {"containers": [{"name": "istio-proxy", "image": "proxy"}]}}'}`
	for _, c := range []struct {
		name, revision, values, label string
		want, warning                 string
	}{
		{"none", "", "", "", "default ", ""},
		{"in the values", "", "revision: canary", "canary", "canary canary", ""},
		{"in the environment", "canary", "", "canary", "canary canary", ""},
		{"the default one", "default", "", "", "default ", ""},
		{"the same", "canary", "revision: canary", "canary", "canary canary", ""},
		{"values of another one", "canary", "revision: stable", "canary", "canary canary", `revision: "stable": no effect: the control plane is of revision "canary"; use the values of that revision`},
		{"values of another one, and a pod of theirs", "default", "revision: stable", "stable", "default default", `revision: "stable": no effect: the control plane is of revision "default"; use the values of that revision
label istio.io/rev: "stable": no effect: the pod gets the sidecar of revision "default"; set this label on its namespace, pass --revision stable to kube-inject, or remove the label`},
	} {
		cfg := mustConfig(t, config.Texts{Config: template, Values: c.values})
		i, problems := Compile(cfg, Environment{Revision: revision.Revision(c.revision)})
		if err := problems.Err(); err != nil {
			t.Fatal(err)
		}
		pod := `{"metadata":{"name":"a","labels":{"istio.io/rev":"` + c.label + `"}},"spec":{"containers":[{"name":"app","image":"i"}]}}`
		if c.label == "" {
			pod = `{"metadata":{"name":"a"},"spec":{"containers":[{"name":"app","image":"i"}]}}`
		}
		result := mustInject(t, i, Request{Pod: []byte(pod)})
		if !strings.Contains(string(result.PodJSON()), `"a":"`+c.want+`"`) {
			t.Errorf("%s: no %q in %s", c.name, c.want, result.PodJSON())
		}
		var warnings []string
		for _, p := range append(problems, result.Warnings...) {
			warnings = append(warnings, p.Finding())
		}
		if got := strings.Join(warnings, "\n"); got != c.warning {
			t.Errorf("%s: warnings\n%s\nwant\n%s", c.name, got, c.warning)
		}
	}
}
