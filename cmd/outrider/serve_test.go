package main

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress/xds"
	"github.com/outrider-mesh/outrider/serve"
)

func TestServe_RejectsInvalidFlags(t *testing.T) {
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	const text = `{apiVersion: v1, kind: Config, current-context: a, contexts: [{name: a, context: {cluster: a, user: a}}],
		clusters: [{name: a, cluster: {server: "https://127.0.0.1:1"}}], users: [{name: a, user: {}}]}`
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	for _, tt := range []struct {
		args string
		code int
		want string
	}{
		{"", exitError, "outside a cluster set --kubeconfig"},
		{"--kubeconfig /nowhere/config", exitError, "--kubeconfig /nowhere/config: "},
		{"--kubeconfig " + kubeconfig + " --cert-dir /nowhere", exitError, "must hold tls.crt and tls.key"},
		{"--ca-file ca.crt", exitUsage, "--ca-file ca.crt: requires --cert-dir"},
		{"--cert-dir d --cert-host a", exitUsage, "--cert-host a: cannot be used with --cert-dir"},
		{"--max-concurrent 0", exitUsage, "--max-concurrent 0: must be at least 1"},
		{"--ca-settle 0s", exitUsage, "--ca-settle 0s and --ca-overlap 1h0m0s: must be positive"},
		{"--shutdown-delay -1s", exitUsage, "must not be negative"},
		{"--xds-address 0", exitUsage, `--xds-address "0": bind address is required; to run only the webhook, use --components=webhook`},
		{"--components=webhook,control-plane", exitUsage, `--components: "control-plane": unknown component; use webhook, xds or webhook,xds`},
		{"--components=", exitUsage, "--components: at least one component is required; use webhook, xds or webhook,xds"},
		{"--log-level loud", exitUsage, `--log-level "loud": invalid log level`},
	} {
		var stderr bytes.Buffer
		args := append([]string{"outrider", "serve"}, strings.Fields(tt.args)...)
		if code := run(t.Context(), args, stdio{strings.NewReader(""), &bytes.Buffer{}, &stderr}); code != tt.code || !strings.Contains(stderr.String(), tt.want) {
			t.Errorf("serve %s: code %d, %s; want %d, ...%s...", tt.args, code, &stderr, tt.code, tt.want)
		}
	}
}

// TestCollectSooner: GOGC is set for the control plane alone, and only where it is not set.
func TestCollectSooner(t *testing.T) {
	for _, tt := range []struct {
		gogc       string
		components []serve.Component
		want       int
	}{
		{"", []serve.Component{serve.XDS}, xds.MostGarbage},
		{"70", []serve.Component{serve.XDS}, 70},
		{"off", []serve.Component{serve.XDS}, 70},
		{"", []serve.Component{serve.Webhook}, 70},
		{"", []serve.Component{serve.Webhook, serve.XDS}, 70},
	} {
		t.Setenv("GOGC", tt.gogc)
		before, o := debug.SetGCPercent(70), serve.Options{Components: tt.components}
		collectSooner(&o)
		if got := debug.SetGCPercent(before); got != tt.want || o.AdaptGC != (tt.want == xds.MostGarbage) {
			t.Errorf("%+v: %d, adapted: %v", tt, got, o.AdaptGC)
		}
	}
}

func TestAddress(t *testing.T) {
	for in, want := range map[string]string{"9443": ":9443", ":9443": ":9443", "127.0.0.1:9443": "127.0.0.1:9443", "[::1]:9443": "[::1]:9443"} {
		if got := address(in); got != want {
			t.Errorf("address(%q) = %q, want %q", in, got, want)
		}
	}
}
