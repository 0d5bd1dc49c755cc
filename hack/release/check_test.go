package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/elf"
	"debug/macho"
	"debug/pe"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
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

// checkEvery checks the files of each platform: what the machine cannot run is read.
func checkEvery(t *testing.T, dir string, r release, platforms []platform) {
	t.Helper()
	for _, p := range platforms {
		programs := []string{"outrider"}
		if p.os == "linux" {
			programs = append(programs, "outrider-init")
		}
		for _, name := range programs {
			file := filepath.Join(dir, r.program(name, p))
			if got, err := machineOf(file); err != nil || got != p {
				t.Errorf("%s: is a program for %s, error %v", r.program(name, p), got, err)
			}
			if !strings.Contains(text(t, file), r.version) {
				t.Errorf("%s: has no version", r.program(name, p))
			}
			checkSBOM(t, filepath.Join(dir, r.sbom(name, p)), r)
		}
		entries, err := entriesOf(filepath.Join(dir, r.plugin(p)))
		if err != nil || len(entries) != 2 || entries[0].name != "LICENSE" || !bytes.Contains(entries[0].data, []byte("Apache License")) || entries[1].name != "kubectl-outrider"+p.exe() {
			t.Errorf("%s: %d entries, error %v", r.plugin(p), len(entries), err)
		} else if string(entries[1].data) != text(t, filepath.Join(dir, r.program("outrider", p))) {
			t.Errorf("%s has another program", r.plugin(p))
		}
	}
	if log := text(t, filepath.Join(dir, "CHANGELOG.md")); !strings.HasPrefix(log, "# "+r.version+"\n") || !strings.Contains(log, "\n## Changes\n") {
		t.Errorf("CHANGELOG.md:\n%s", log)
	}
	for _, name := range []string{"outrider", "outrider-init"} {
		checkLayout(t, filepath.Join(dir, r.image(name)), name, r, platforms)
	}
}

// machineOf reads the head of a program: ELF, Mach-O or PE.
func machineOf(file string) (platform, error) {
	if f, err := elf.Open(file); err == nil {
		defer func() { _ = f.Close() }()
		if f.Section(".interp") != nil {
			return platform{}, errors.New("is linked dynamically")
		}
		return platform{"linux", map[elf.Machine]string{elf.EM_X86_64: "amd64", elf.EM_AARCH64: "arm64"}[f.Machine]}, nil
	}
	if f, err := macho.Open(file); err == nil {
		defer func() { _ = f.Close() }()
		return platform{"darwin", map[macho.Cpu]string{macho.CpuAmd64: "amd64", macho.CpuArm64: "arm64"}[f.Cpu]}, nil
	}
	f, err := pe.Open(file)
	if err != nil {
		return platform{}, err
	}
	defer func() { _ = f.Close() }()
	return platform{"windows", map[uint16]string{pe.IMAGE_FILE_MACHINE_AMD64: "amd64", pe.IMAGE_FILE_MACHINE_ARM64: "arm64"}[f.Machine]}, nil
}

// entriesOf reads the files of an archive: gzip or zip.
func entriesOf(file string) ([]entry, error) {
	data, err := os.ReadFile(file)
	if err != nil || !strings.HasSuffix(file, ".zip") {
		if err != nil {
			return nil, err
		}
		return readTarGz(bytes.NewReader(data))
	}
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, err
	}
	var entries []entry
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			return nil, err
		}
		data, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil {
			return nil, err
		}
		entries = append(entries, entry{f.Name, int64(f.Mode().Perm()), data})
	}
	return entries, nil
}

// checkSBOM reads a document as CycloneDX: each component has a name, a version and a
// license or a package URL.
func checkSBOM(t *testing.T, file string, r release) {
	t.Helper()
	var document struct {
		BOMFormat, SpecVersion string
		Metadata               struct {
			Component struct{ Name, Version string }
		}
		Components []struct{ Name, Version, PURL string }
	}
	if err := json.Unmarshal([]byte(text(t, file)), &document); err != nil {
		t.Errorf("%s: %v", filepath.Base(file), err)
	}
	if c := document.Metadata.Component; document.BOMFormat != "CycloneDX" || document.SpecVersion == "" || c.Name != module || c.Version != r.version || len(document.Components) == 0 {
		t.Errorf("%s: %s %s of %+v with %d components", filepath.Base(file), document.BOMFormat, document.SpecVersion, c, len(document.Components))
	}
	for _, c := range document.Components {
		if c.Name == "" || c.Version == "" || !strings.HasPrefix(c.PURL, "pkg:golang/") {
			t.Errorf("%s: component %+v", filepath.Base(file), c)
		}
	}
}

// checkLayout reads an image layout: each blob has its digest, and each architecture
// an image with the program of the release.
func checkLayout(t *testing.T, file, name string, r release, platforms []platform) {
	t.Helper()
	blobs := map[string][]byte{}
	for _, e := range filesOf(t, strings.NewReader(text(t, file))) {
		blobs[e.name] = e.data
		if digest, blob := strings.CutPrefix(e.name, "blobs/sha256/"); blob && fmt.Sprintf("%x", sha256.Sum256(e.data)) != digest {
			t.Errorf("%s: %s has another digest", filepath.Base(file), e.name)
		}
	}
	type descriptor struct {
		Digest   string
		Platform struct{ OS, Architecture string }
	}
	var index, images struct{ Manifests []descriptor }
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	var config struct {
		Architecture, OS string
		Config           struct{ User string }
	}
	decode := func(name string, into any) {
		if err := json.Unmarshal(blobs[name], into); err != nil {
			t.Fatalf("%s: %s: %v", filepath.Base(file), name, err)
		}
	}
	blob := func(d descriptor) string { return "blobs/sha256/" + strings.TrimPrefix(d.Digest, "sha256:") }
	decode("index.json", &index)
	decode(blob(index.Manifests[0]), &images)
	var got []platform
	for _, image := range images.Manifests {
		p := platform{image.Platform.OS, image.Platform.Architecture}
		got = append(got, p)
		decode(blob(image), &manifest)
		decode(blob(manifest.Config), &config)
		if (platform{config.OS, config.Architecture}) != p || config.Config.User == "" {
			t.Errorf("%s: the image for %s has the configuration %+v", filepath.Base(file), p, config)
		}
		compressed, err := gzip.NewReader(bytes.NewReader(blobs[blob(manifest.Layers[0])]))
		if err != nil {
			t.Fatal(err)
		}
		layer := filesOf(t, compressed)
		program := slices.IndexFunc(layer, func(e entry) bool { return strings.HasSuffix(e.name, "usr/local/bin/"+name) })
		if program < 0 || string(layer[program].data) != text(t, filepath.Join(filepath.Dir(file), r.program(name, p))) {
			t.Errorf("%s: the image for %s has another program", filepath.Base(file), p)
		}
	}
	want := slices.DeleteFunc(slices.Clone(platforms), func(p platform) bool { return p.os != "linux" })
	if !slices.Equal(got, want) {
		t.Errorf("%s: images for %v, want %v", filepath.Base(file), got, want)
	}
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

// filesOf are the regular files of a tar archive.
func filesOf(t *testing.T, r io.Reader) (entries []entry) {
	t.Helper()
	for archive := tar.NewReader(r); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return entries
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			entries = append(entries, entry{h.Name, h.Mode, data})
		}
	}
}
