package deploy

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/test/istio"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kit/instance"
)

const crdNames = "egressreports.outrider.dev serviceentries.networking.istio.io virtualservices.networking.istio.io sidecars.networking.istio.io"

// crds are the uid and version of each definition that the cluster has.
func (r *release) crds() string {
	r.t.Helper()
	args := append([]string{"get", "crds", "--ignore-not-found", "-o", `jsonpath={range .items[*]}{.metadata.uid} {.metadata.resourceVersion}{"\n"}{end}`}, strings.Fields(crdNames)...)
	return kubectl(r.t, r.Server, args...)
}

func (r *release) deleteCRDs() {
	r.t.Helper()
	kubectl(r.t, r.Server, append([]string{"delete", "crds", "--ignore-not-found"}, strings.Fields(crdNames)...)...)
}

// controlPlane runs the program with the arguments of the release's Deployment until it
// is ready.
func (r *release) controlPlane() {
	r.t.Helper()
	var args []string
	out := kubectl(r.t, r.Server, "-n", r.ns, "get", "deployment", "outrider-xds-"+restoreRevision, "-o", "jsonpath={.spec.template.spec.containers[0].args}")
	kit.Must(r.t, json.Unmarshal([]byte(out), &args))
	health := kit.FreeAddress(r.t)
	_, port, _ := strings.Cut(kit.FreeAddress(r.t), ":")
	cmd := exec.CommandContext(r.t.Context(), r.program, append(args, "--components=webhook", "--port="+port, "--xds-address="+kit.FreeAddress(r.t), "--metrics-address=0", "--health-address="+health, "--shutdown-delay=0s", "--kubeconfig="+r.Kubeconfig)...)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	kit.Must(r.t, cmd.Start())
	kit.Wait{}.Eventually(r.t, "the control plane is ready", func() error { return instance.Readyz(health) })
	_ = cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		r.t.Errorf("%v\n%s", err, log.String())
	}
}

// With crds.enabled auto the program creates the definitions that a cluster lacks, with
// true Helm does, with false nobody does. None of them changes those of a real Istio.
func TestWhoCreatesCRDs(t *testing.T) {
	r := newRelease(t)
	file := filepath.Join(istio.RequireCharts(t), "base", "files", "crd-all.gen.yaml")
	t.Cleanup(func() {
		_ = r.Kubectl(context.Background(), "delete", "--ignore-not-found", "-f", file).Run()
	})
	for _, enabled := range []string{"auto", "true", "false"} {
		r.deleteCRDs()
		if out, err := r.helm("install", "--set", "crds.enabled="+enabled); err != nil {
			t.Fatalf("%s: %v\n%s", enabled, err, out)
		}
		byHelm := strings.Count(r.crds(), "\n")
		r.controlPlane()
		all := strings.Count(r.crds(), "\n")
		if want := map[string][2]int{"auto": {0, 4}, "true": {4, 4}, "false": {0, 0}}[enabled]; byHelm != want[0] || all != want[1] {
			t.Errorf("%s: Helm created %d, with the program there are %d, want %v", enabled, byHelm, all, want)
		}
		if out, err := r.helm("uninstall"); err != nil || strings.Count(r.crds(), "\n") != all {
			t.Errorf("%s: Helm removed some: %v\n%s", enabled, err, out)
		}
		r.deleteCRDs()

		kubectl(t, r.Server, "apply", "--server-side", "-f", file)
		istios := r.crds()
		out, err := r.helm("install", "--set", "crds.enabled="+enabled)
		if enabled == "true" {
			if err == nil || !strings.Contains(out, "cannot be imported into the current release") {
				t.Errorf("true, over Istio's: %v\n%s", err, out)
			}
		} else if err != nil {
			t.Errorf("%s, over Istio's: %v\n%s", enabled, err, out)
		} else {
			r.controlPlane()
		}
		if out, err := r.helm("uninstall", "--ignore-not-found"); err != nil {
			t.Errorf("%s: %v\n%s", enabled, err, out)
		}
		// That of EgressReports is not one of Istio's.
		if got := r.crds(); !strings.HasSuffix(got, istios) || strings.Count(istios, "\n") != 3 {
			t.Errorf("%s: Istio's were\n%sand are\n%s", enabled, istios, got)
		}
	}
}
