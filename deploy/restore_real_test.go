package deploy

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/outrider-mesh/outrider/config"
	realhelm "github.com/outrider-mesh/outrider/test/helm"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube"
)

// release is a Helm release of a revision of its own, without replicas, and the program.
type release struct {
	*kube.Server
	t           testing.TB
	ns, program string
	at          config.Location
}

const restoreRevision = "restore"

func newRelease(t testing.TB) *release {
	t.Helper()
	s := kube.Require(t)
	r := &release{s, t, s.Namespace(t, nil), filepath.Join(t.TempDir(), "outrider"), config.Location{}}
	r.at = config.LocationOf(r.ns, restoreRevision)
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", r.program, "../cmd/outrider")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Cleanup(func() { _, _ = r.helm("uninstall") })
	return r
}

func (r *release) run(name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = slices.Concat(r.Kubectl(r.t.Context()).Env, []string{"HOME=" + r.t.TempDir()})
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// helm runs a command of Helm on the release.
func (r *release) helm(command string, args ...string) (string, error) {
	line := []string{command, "restore", "--namespace", r.ns, "--no-hooks"}
	if command != "uninstall" {
		line = append(line, "chart", "--set", "revision="+restoreRevision, "--set", "hooks.preflight=false")
	}
	return r.run(realhelm.Require(r.t), append(line, args...)...)
}

// config runs "outrider config".
func (r *release) config(args ...string) string {
	r.t.Helper()
	out, err := r.run(r.program, slices.Concat([]string{"config"}, args, []string{"--istioNamespace=" + r.ns, "--revision=" + restoreRevision})...)
	if err != nil {
		r.t.Errorf("outrider config %v: %v", args, err)
	}
	return out
}

// texts are those of the ConfigMaps.
func (r *release) texts() (t config.Texts) {
	r.t.Helper()
	for _, name := range []string{r.at.Injector, r.at.Mesh} {
		cm, err := r.Client.CoreV1().ConfigMaps(r.ns).Get(r.t.Context(), name, metav1.GetOptions{})
		kit.Must(r.t, err)
		r.at.Set(&t, name, cm.Data)
	}
	return t
}

// store stores configurations as a replica does, the newest first.
func (r *release) store(h config.History) {
	r.t.Helper()
	data, binary, err := h.Data()
	kit.Must(r.t, err)
	patch, err := json.Marshal(corev1.ConfigMap{Data: data, BinaryData: binary})
	kit.Must(r.t, err)
	kubectl(r.t, r.Server, "-n", r.ns, "patch", "configmap", "outrider-last-good-"+restoreRevision, "--type=merge", "-p", string(patch))
}

// An earlier configuration of a release is restored at once. Until the release has its
// values, an upgrade reports a conflict and keeps it, as after any edit.
func TestRestoreAndUpgrade(t *testing.T) {
	r := newRelease(t)
	const more = "--set=global.proxy.excludeIPRanges=192.0.2.0/24"
	if out, err := r.helm("install"); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	first := r.texts()
	if out, err := r.helm("upgrade", more); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	second := r.texts()
	var history config.History
	for hash, texts := range map[string]config.Texts{"1e0c3b9796c1e1cc": first, "9f86d081884c7d65": second} {
		record, err := config.NewRecord(hash, time.Unix(0, 0), "v1.2.3", r.at, texts)
		kit.Must(t, err)
		history = append(history, record)
	}
	slices.SortFunc(history, func(a, b config.Record) int { return strings.Compare(b.Hash, a.Hash) })
	r.store(history)
	if got, want := r.config("history"), "HASH               ACTIVE SINCE           VERSION   CONFIGMAPS\n"+
		"9f86d081884c7d65   1970-01-01T00:00:00Z   v1.2.3    yes\n1e0c3b9796c1e1cc   1970-01-01T00:00:00Z   v1.2.3    no\n"; got != want {
		t.Errorf("history:\n%s\nwant:\n%s", got, want)
	}
	for _, tt := range []struct {
		args []string
		want string
		then config.Texts
	}{
		{[]string{"restore", "1e0c3b9796c1e1cc", "--dry-run"}, "configmap/istio-sidecar-injector-restore restored (dry run)\nconfigmap/istio-restore unchanged\n", second},
		{[]string{"restore", "1e0c3b9796c1e1cc"}, "configmap/istio-sidecar-injector-restore restored\nconfigmap/istio-restore unchanged\n", first},
	} {
		if got := r.config(tt.args...); got != tt.want || r.texts() != tt.then {
			t.Errorf("config %v:\n%s\nwant:\n%s\nthe ConfigMaps have\n%+v", tt.args, got, tt.want, r.texts())
		}
	}
	conflict := func(args ...string) {
		t.Helper()
		out, err := r.helm("upgrade", args...)
		if err == nil || !strings.Contains(out, `conflict with "outrider"`) || !strings.Contains(out, ".data.values") || r.texts() != first {
			t.Errorf("an upgrade %v after config restore: %v\n%s\n%+v", args, err, out, r.texts())
		}
	}
	conflict(more)
	if out, err := r.helm("upgrade"); err != nil || r.texts() != first {
		t.Errorf("an upgrade to the values that were restored: %v\n%s", err, out)
	}
	conflict(more)
	if out, err := r.helm("upgrade", more, "--force-conflicts"); err != nil || r.texts() != second {
		t.Errorf("--force-conflicts: %v\n%s\n%+v", err, out, r.texts())
	}
	if out, err := r.helm("upgrade"); err != nil || r.texts() != first {
		t.Errorf("the next upgrade: %v\n%s\n%+v", err, out, r.texts())
	}
}
