package e2e

import (
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"

	"github.com/outrider-mesh/outrider/test/mesh"
)

// setStray points KUBECONFIG, for as long as the test runs, at a server that is
// not the suite's. The function it returns checks that nothing was called there,
// and that it would have noticed.
func setStray(t *testing.T) (check func(*testing.T)) {
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		calls.Add(1)
		http.Error(w, "this is not the cluster of the tests", http.StatusTeapot)
	}))
	t.Cleanup(server.Close)
	config := api.NewConfig()
	config.Clusters["stray"] = &api.Cluster{Server: server.URL}
	config.Contexts["stray"] = &api.Context{Cluster: "stray"}
	config.CurrentContext = "stray"
	file := filepath.Join(t.TempDir(), "stray")
	if err := clientcmd.WriteToFile(*config, file); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBECONFIG", file)
	return func(t *testing.T) {
		t.Helper()
		if n := calls.Load(); n > 0 {
			t.Errorf("the cluster of a stray KUBECONFIG was called %d times", n)
		}
		resp, err := http.Get(server.URL)
		if err == nil {
			_ = resp.Body.Close()
		}
		if err != nil || calls.Load() == 0 {
			t.Errorf("a call of the stray cluster would not have been noticed: %v", err)
		}
	}
}

// An unknown context is an error that lists the contexts of the kubeconfig, and
// no API server is called.
func TestUnknownContext(t *testing.T) {
	check := setStray(t)
	if m, err := mesh.Borrow(t.Context(), "nowhere", os.Stderr); err == nil || !strings.Contains(err.Error(), `it has ["stray"]`) {
		t.Errorf("%v, %v", m, err)
	}
	check(t)
	if _, err := exec.LookPath("bash"); err != nil {
		t.Errorf("the commands of the tests need bash: %v", err)
	}
}
