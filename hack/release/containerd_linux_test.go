package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/test/cluster"
	"github.com/outrider-mesh/outrider/test/kit"
)

const containerdConfig = `version = 3
root = "%[1]s/root"
state = "%[1]s/state"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime"]
[grpc]
  address = "%[1]s/sock"
`

// checkImages imports the images of a release into the real containerd, unpacks that
// of this machine and runs it.
func checkImages(t *testing.T, dir string, r release) {
	t.Helper()
	required := os.Getenv("REQUIRE_REAL") == "1"
	programs, err := cluster.Programs(t.Context(), os.Stderr)
	if err != nil && !required {
		t.Skipf("no containerd (REQUIRE_REAL=1 makes this a failure): %v", err)
	}
	kit.Must(t, err)
	home := t.TempDir()
	config := filepath.Join(home, "config.toml")
	kit.Must(t, os.WriteFile(config, fmt.Appendf(nil, containerdConfig, home), 0o600))
	var log kit.Buffer
	daemon := exec.CommandContext(t.Context(), programs["containerd"], "--config", config)
	daemon.Env = append(os.Environ(), "PATH="+filepath.Dir(programs["containerd-shim-runc-v2"])+":"+os.Getenv("PATH"))
	daemon.Stdout, daemon.Stderr = &log, &log
	daemon.Cancel = func() error { return daemon.Process.Signal(os.Interrupt) }
	daemon.WaitDelay = 10 * time.Second
	kit.Must(t, daemon.Start())
	t.Cleanup(func() {
		_ = daemon.Process.Signal(os.Interrupt)
		_ = daemon.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	ctr := func(args ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), programs["ctr"], append([]string{"--address", home + "/sock"}, args...)...).CombinedOutput()
		return string(out), err
	}
	_, err = kit.Wait{Every: 100 * time.Millisecond}.Until(t.Context(), func() error { _, err := ctr("version"); return err })
	kit.Must(t, err)
	for _, name := range []string{"outrider", "outrider-init"} {
		if out, err := ctr("images", "import", "--local", "--all-platforms", "--snapshotter=native", filepath.Join(dir, r.image(name))); err != nil {
			t.Fatalf("import %s: %v\n%s", r.image(name), err, out)
		}
		ref := hub + "/" + name + ":" + r.version
		if out, err := ctr("images", "list", "name=="+ref); err != nil || !strings.Contains(out, "linux/"+runtime.GOARCH) {
			t.Errorf("image %s: error %v, list\n%s", ref, err, out)
		}
		if out, err := ctr("run", "--rm", "--snapshotter=native", ref, "t-"+name, "/usr/local/bin/"+name, map[string]string{"outrider": "version", "outrider-init": "--version"}[name]); err != nil || !strings.Contains(out, r.version) {
			t.Errorf("run %s: error %v, output %q, want the version", ref, err, out)
		}
	}
}
