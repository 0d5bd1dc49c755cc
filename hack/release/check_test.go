package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/test/cache"
	"github.com/outrider-mesh/outrider/test/helm"
)

// checkRelease checks what is in the files of a release that has the platform of
// this machine.
func checkRelease(t *testing.T, dir string, r release) {
	t.Helper()
	own := platform{runtime.GOOS, runtime.GOARCH}
	out := output(t, exec.CommandContext(t.Context(), filepath.Join(dir, r.program("outrider", own)), "version"))
	if out != "outrider "+r.version+"\n" {
		t.Errorf("outrider version: %q", out)
	}
	inject := exec.CommandContext(t.Context(), filepath.Join(dir, r.program("outrider", own)), "kube-inject", "-f", "../../samples/sleep/sleep.yaml")
	if out, want := output(t, inject), "image: docker.io/outrider/outrider-init:"+r.version+"\n"; !strings.Contains(out, want) {
		t.Errorf("the manifest that the release injects lacks %q", want)
	}
	manifest := text(t, filepath.Join(dir, "outrider.yaml"))
	if n := strings.Count(manifest, "image: docker.io/outrider/outrider:"+r.version+"\n"); n != 2 || strings.Contains(manifest, ":dev") {
		t.Errorf("outrider.yaml has the image of the release in %d places, want 2 and none of another version", n)
	}
	checkChart(t, dir, r)
	sums := exec.CommandContext(t.Context(), "sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")
	sums.Dir = dir
	output(t, sums)
	checkPlugin(t, dir, r, own)
}

// checkChart renders the packaged chart with Helm: it has the images of the release.
func checkChart(t *testing.T, dir string, r release) {
	t.Helper()
	chart := filepath.Join(dir, "outrider-"+r.chartVersion()+".tgz")
	entries, err := readTarGz(strings.NewReader(text(t, chart)))
	if err != nil {
		t.Fatal(err)
	}
	metadata := string(entries[0].data)
	for _, want := range []string{"version: " + r.chartVersion() + "\n", "appVersion: " + r.version + "\n", "docker.io/outrider/outrider-init:" + r.version + "\n", `artifacthub.io/prerelease: "true"`} {
		if !strings.Contains(metadata, want) {
			t.Errorf("%s: Chart.yaml lacks %q:\n%s", filepath.Base(chart), want, metadata)
		}
	}
	render := exec.CommandContext(t.Context(), helm.Require(t), "template", "outrider", chart, "--namespace=istio-system")
	render.Env = []string{"HOME=" + t.TempDir()} // no settings of the user
	manifest := output(t, render)
	if n := strings.Count(manifest, "docker.io/outrider/outrider:"+r.version+"\n"); n < 2 || strings.Contains(manifest, "outrider:dev") {
		t.Errorf("%s has the image of the release in %d places, want at least 2 and none of another version", filepath.Base(chart), n)
	}
}

// checkPlugin checks the archive of the plugin, and that the manifest has its hash.
func checkPlugin(t *testing.T, dir string, r release, own platform) {
	t.Helper()
	archive := text(t, filepath.Join(dir, r.plugin(own)))
	entries, err := readTarGz(strings.NewReader(archive))
	if err != nil || len(entries) != 2 || entries[0].name != "LICENSE" || entries[1].name != "kubectl-outrider" || entries[1].mode != 0o755 {
		t.Fatalf("%s: %d entries, error %v", r.plugin(own), len(entries), err)
	}
	if !bytes.Equal(entries[1].data, []byte(text(t, filepath.Join(dir, r.program("outrider", own))))) {
		t.Errorf("%s has another program", r.plugin(own))
	}
	var krew struct {
		Spec struct {
			Version   string
			Platforms []struct{ URI, SHA256 string }
		}
	}
	if err := yaml.Unmarshal([]byte(text(t, filepath.Join(dir, "krew/outrider.yaml"))), &krew); err != nil || krew.Spec.Version != r.version {
		t.Fatalf("krew's manifest: version %q, error %v", krew.Spec.Version, err)
	}
	for _, p := range krew.Spec.Platforms {
		name := p.URI[strings.LastIndexByte(p.URI, '/')+1:]
		if sum, err := sumOf(filepath.Join(dir, name)); err != nil || sum != p.SHA256 {
			t.Errorf("krew's manifest: %s has the hash %s, want %s (%v)", name, p.SHA256, sum, err)
		}
	}
}

func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Errorf("%s: %v\n%s%s", strings.Join(cmd.Args, " "), err, out, &stderr)
	}
	return string(out)
}

func text(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// checkKrew validates the manifest with krew's own program, and installs the plugin
// with krew.
func checkKrew(t *testing.T, dir string, r release) {
	t.Helper()
	var programs []string
	for _, name := range []string{"validate-krew-manifest", "krew"} {
		path, err := cache.Program{
			Name: name, What: name, Takes: "a minute on 2 cores", Module: "hack/release/tools/krew", Package: "sigs.k8s.io/krew/cmd/" + name, Flags: "-s -w",
		}.Path(t.Context(), os.Stderr)
		if err != nil && os.Getenv("REQUIRE_REAL") != "1" {
			t.Skipf("no krew (REQUIRE_REAL=1 makes this a failure): %v", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		programs = append(programs, path)
	}
	manifest := filepath.Join(dir, "krew/outrider.yaml")
	output(t, exec.CommandContext(t.Context(), programs[0], "-manifest", manifest, "-skip-install"))
	root := t.TempDir()
	install := exec.CommandContext(t.Context(), programs[1], "install", "--manifest="+manifest, "--archive="+filepath.Join(dir, r.plugin(platform{runtime.GOOS, runtime.GOARCH})))
	install.Env = append(os.Environ(), "KREW_ROOT="+root, "KREW_NO_UPGRADE_CHECK=1")
	output(t, install)
	plugin := output(t, exec.CommandContext(t.Context(), filepath.Join(root, "bin", "kubectl-outrider"), "version"))
	if plugin != "outrider "+r.version+"\n" {
		t.Errorf("the plugin that krew installed: %q", plugin)
	}
	license, err := filepath.Glob(filepath.Join(root, "store", "outrider", r.version, "LICENSE"))
	if err != nil || len(license) != 1 {
		t.Errorf("krew installed no LICENSE: %q, %v", license, err)
	}
}
