//go:build unix

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/test/kube"
	"github.com/outrider-mesh/outrider/test/page"
)

// TestDocs goes through pages from top to bottom: it writes the blocks that name
// a file, runs the commands of the console blocks, and compares what they print.
// A command whose output is "..." is shown for its form only.
func TestDocs(t *testing.T) {
	server := kube.Require(t)
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", bin, "../../cmd/outrider").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	shop := func(t *testing.T) {
		if err := server.CreateNamespace(t.Context(), "shop", nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		page     string
		commands int // at least; a page that lost its blocks must not pass
		prepare  func(*testing.T)
	}{
		{"README.md", 1, nil},
		{"docs/configuration.md", 1, nil},
		{"docs/pod-security.md", 6, shop},
		{"docs/templates.md", 3, nil},
	} {
		t.Run(tt.page, func(t *testing.T) {
			if tt.prepare != nil {
				tt.prepare(t)
			}
			d := &demo{root: t.TempDir(), env: append(server.Kubectl(t.Context()).Env,
				"PATH="+strings.Join([]string{bin, filepath.Dir(server.KubectlPath()), os.Getenv("PATH")}, ":"))}
			linkSamples(t, d.root)
			if n := runPage(t, d, tt.page); n < tt.commands {
				t.Errorf("%d commands were run, want at least %d", n, tt.commands)
			}
		})
	}
}

func linkSamples(t *testing.T, dir string) {
	t.Helper()
	samples, err := filepath.Abs("../../samples")
	if err == nil {
		err = os.Symlink(samples, filepath.Join(dir, "samples"))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// runPage works through one page and returns how many commands it ran.
func runPage(t *testing.T, d *demo, file string) (ran int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", file))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range page.Blocks(string(text)) {
		if b.File != "" {
			if err := os.WriteFile(filepath.Join(d.root, b.File), []byte(b.Body), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if b.Kind != "console" {
			continue
		}
		for _, command := range b.Commands() {
			if command.Output == page.Any {
				continue
			}
			// Exit codes are part of what a command prints here: the error.
			out, _ := d.shell(t.Context(), command.Line).CombinedOutput()
			if got := strings.TrimSuffix(string(out), "\n"); got != command.Output {
				t.Errorf("$ %s\ngot:\n%s\nthe page has:\n%s", command.Line, got, command.Output)
			}
			ran++
		}
	}
	return ran
}

// TestPolicy holds the policy of the page on Pod Security to its promises.
func TestPolicy(t *testing.T) {
	server := kube.Require(t)
	dir := t.TempDir()
	text, err := os.ReadFile("../../docs/pod-security.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range page.Blocks(string(text)) {
		if b.File == "policy.yaml" {
			if err := os.WriteFile(filepath.Join(dir, b.File), []byte(b.Body), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	namespace := server.Namespace(t, map[string]string{"istio-injection": "enabled"})
	kubectl := func(input string, args ...string) string {
		cmd := server.Kubectl(t.Context(), append([]string{"-n", namespace}, args...)...)
		cmd.Stdin = strings.NewReader(input)
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	if out := kubectl("", "apply", "-f", filepath.Join(dir, "policy.yaml")); strings.Count(out, " created") != 2 {
		t.Fatal(out)
	}
	const initContainer = `{name: istio-init, image: "docker.io/outrider/outrider-init:dev", securityContext: {capabilities: {add: [NET_ADMIN], drop: [ALL]}}}`
	for _, tt := range []struct{ spec, denial string }{
		{"hostPID: true, containers: [{name: a, image: a}]", "host namespaces and host paths"},
		{"containers: [{name: a, image: a}], volumes: [{name: v, hostPath: {path: /}}]", "host namespaces and host paths"},
		{"containers: [{name: a, image: a, securityContext: {privileged: true}}]", "no container may be privileged"},
		{"containers: [{name: a, image: a, securityContext: {capabilities: {add: [NET_ADMIN]}}}]", "only istio-init may add"},
		{"containers: [{name: a, image: a}], initContainers: [" + strings.Replace(initContainer, "outrider/outrider-init", "evil/init", 1) + "]", "must run outrider-init"},
		{"containers: [{name: a, image: a}], initContainers: [" + strings.Replace(initContainer, "NET_ADMIN", "SYS_ADMIN", 1) + "]", "may add NET_ADMIN only"},
		{"containers: [{name: a, image: a}], initContainers: [" + initContainer + "]", ""},
	} {
		var out string
		// The API server takes a moment to see the policy; the first case waits for it.
		_, err := eventually(t.Context(), func() error {
			out = kubectl("{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {"+tt.spec+"}}", "create", "--dry-run=server", "-f", "-")
			if tt.denial == "" {
				return lacks(out, "created (server dry run)")
			}
			return lacks(out, "denied request", tt.denial)
		})
		if err != nil {
			t.Errorf("%s: %v", tt.spec, err)
		}
	}
}
