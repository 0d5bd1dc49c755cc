package deploy

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/test/kube"
)

// published are CustomResourceDefinitions of others, by modules of test/crds.
var published = map[string][]string{
	"github.com/openshift/api": {"security/v1/zz_generated.crd-manifests/0000_03_config-operator_01_securitycontextconstraints.crd.yaml"},
	"github.com/prometheus-operator/prometheus-operator": {
		"example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
		"example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
	},
}

// Objects of kinds that are not Kubernetes' own are accepted by a real API server with the
// published definition of the kind, and no field of them is unknown.
func TestForeignObjectsAreAccepted(t *testing.T) {
	s := kube.Require(t)
	files := publishedFiles(t)
	kubectl := func(text string, args ...string) (string, error) {
		cmd := s.Kubectl(t.Context(), args...)
		cmd.Stdin = strings.NewReader(text)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	for _, file := range files { // by the server: an annotation has no place for them
		if out, err := kubectl("", "apply", "--server-side", "-f", file); err != nil {
			t.Fatalf("%s: %v\n%s", file, err, out)
		}
		t.Cleanup(func() { _ = s.Kubectl(t.Context(), "delete", "--ignore-not-found", "-f", file).Run() })
		if out, err := kubectl("", "wait", "--for=condition=Established", "--timeout=30s", "-f", file); err != nil {
			t.Fatalf("%s: %v\n%s", file, err, out)
		}
	}
	_, _ = kubectl("", "create", "namespace", namespace) // another test may have
	kinds := map[string]bool{}
	without := defaults(t)
	for _, name := range []string{"monitoring", "openshift"} {
		docs, _ := differing(t, without, renders[name].args)
		for _, d := range docs {
			if !foreign(d.text) || d.template == "crds" {
				continue
			}
			_, rest, _ := strings.Cut(d.text, "\nkind: ")
			kind, _, _ := strings.Cut(rest, "\n")
			kinds[kind] = true
			strict := []string{"apply", "--dry-run=server", "--validate=strict", "-f", "-"}
			if out, err := kubectl(d.text, strict...); err != nil || strings.Contains(out, "Warning") {
				t.Errorf("%s: %s: %v\n%s", name, kind, err, out)
			}
			unknown := strings.Replace(d.text, "\nmetadata:\n", "\nunheard: of\nmetadata:\n", 1)
			if out, err := kubectl(unknown, strict...); err == nil || !strings.Contains(out, `unknown field "unheard"`) {
				t.Errorf("%s: %s: with an unknown field: %v\n%s", name, kind, err, out)
			}
		}
	}
	if len(kinds) != 3 {
		t.Errorf("objects of the kinds %v, want PodMonitor, PrometheusRule and SecurityContextConstraints", kinds)
	}
}

// publishedFiles are the paths of the definitions. The modules are downloaded once (10 MB).
func publishedFiles(t *testing.T) (files []string) {
	t.Helper()
	args := []string{"mod", "download", "-json"}
	for module := range published {
		args = append(args, module)
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = "../test/crds"
	out, err := cmd.Output()
	for d := json.NewDecoder(bytes.NewReader(out)); d.More() && err == nil; {
		var m struct{ Path, Dir, Error string }
		if err = d.Decode(&m); err != nil {
			break
		}
		for _, file := range published[m.Path] {
			files = append(files, filepath.Join(m.Dir, file))
		}
	}
	switch {
	case err == nil && len(files) == 3:
	case os.Getenv("REQUIRE_REAL") == "1":
		t.Fatalf("REQUIRE_REAL=1 and no published definitions: %v\n%s", err, out)
	default:
		t.Skipf("no published definitions (REQUIRE_REAL=1 makes this a failure): %v\n%s", err, out)
	}
	return files
}
