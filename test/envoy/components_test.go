package envoy

import (
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/outrider-mesh/outrider/annotation"
)

// The components that the annotation may name are those of the real Envoy, and
// it does start with them.
func TestComponents(t *testing.T) {
	program, dir := Require(t), t.TempDir()
	bootstrap, address := filepath.Join(dir, "bootstrap.yaml"), filepath.Join(dir, "address")
	write(t, bootstrap, "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 0}}}\n", 0o600)
	all := annotation.Components()
	cmd := exec.Command(program, "-c", bootstrap, "--disable-hot-restart", "--log-level", "off", "--admin-address-path", address,
		"--component-log-level", strings.Join(all, ":off,")+":off")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if d := cmp.Diff(all, loggers(t, address)); d != "" {
		t.Errorf("components of the list -, of Envoy %s +\n%s", Version, d)
	}
}

// loggers asks the admin interface, whose address Envoy writes to a file.
func loggers(t *testing.T, file string) []string {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		address, err := os.ReadFile(file)
		if err == nil && len(address) > 0 {
			r, err := http.Post("http://"+string(address)+"/logging", "", nil)
			if err == nil {
				text, err := io.ReadAll(r.Body)
				_ = r.Body.Close()
				if err == nil && r.StatusCode == http.StatusOK {
					return loggersIn(string(text))
				}
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("Envoy does not answer on its admin address %q", address)
		}
	}
}

func loggersIn(text string) []string {
	var names []string
	for line := range strings.Lines(text) {
		if name, _, ok := strings.Cut(line, ": "); ok && strings.HasPrefix(name, "  ") {
			names = append(names, strings.TrimSpace(name))
		}
	}
	slices.Sort(names)
	return names
}
