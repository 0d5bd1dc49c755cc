package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/test/cluster/image"
)

// builder writes the files of a release into a directory, from the checkout root.
type builder struct {
	release
	root, out string
	platforms []platform
	log       io.Writer
	// helm and cyclonedx return the paths of these programs.
	helm, cyclonedx func(context.Context, io.Writer) (string, error)
}

// build writes all files. previous and log make the changelog.
func (b builder) build(ctx context.Context, previous string, log []change) error {
	steps := []struct {
		what string
		do   func(context.Context) error
	}{
		{"programs", b.programs},
		{"archives of the kubectl plugin", b.plugins},
		{"images", b.images},
		{"manifests", b.manifests},
		{"chart", b.chart},
		{"SBOMs", b.sboms},
		{"changelog", func(context.Context) error {
			return b.write("CHANGELOG.md", []byte(changelog(b.version, previous, log)))
		}},
		{"checksums", b.checksums},
	}
	for _, s := range steps {
		_, _ = fmt.Fprintf(b.log, "release: %s\n", s.what)
		if err := s.do(ctx); err != nil {
			return fmt.Errorf("release %s: %s: %w", b.version, s.what, err)
		}
	}
	return nil
}

func (b builder) linux() (linux []platform) {
	for _, p := range b.platforms {
		if p.os == "linux" {
			linux = append(linux, p)
		}
	}
	return linux
}

func (b builder) programs(ctx context.Context) error {
	for _, p := range b.platforms {
		if err := b.compile(ctx, "outrider", p); err != nil {
			return err
		}
	}
	for _, p := range b.linux() {
		if err := b.compile(ctx, "outrider-init", p); err != nil {
			return err
		}
	}
	return nil
}

// compile builds a static program. Whatever the environment has that changes the
// result is set here, the level of the processor included.
func (b builder) compile(ctx context.Context, name string, p platform) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-mod=readonly",
		"-ldflags", b.linkerFlags(), "-o", filepath.Join(b.out, b.program(name, p)), "./cmd/"+name)
	cmd.Dir = b.root
	cmd.Env = append(os.Environ(), goEnv(p)...)
	return run(cmd)
}

func goEnv(p platform) []string {
	return []string{
		"CGO_ENABLED=0", "GOOS=" + p.os, "GOARCH=" + p.arch, "GOAMD64=v1", "GOARM64=v8.0",
		"GOFLAGS=-mod=readonly", "GOWORK=off", "GOEXPERIMENT=", "GOFIPS140=off", "GODEBUG=",
	}
}

func (b builder) plugins(context.Context) error {
	license, err := os.ReadFile(filepath.Join(b.root, "LICENSE"))
	if err != nil {
		return err
	}
	sums := map[platform]string{}
	for _, p := range b.platforms {
		program, err := os.ReadFile(filepath.Join(b.out, b.program("outrider", p)))
		if err != nil {
			return err
		}
		pack := writeTarGz
		if p.os == "windows" {
			pack = writeZip
		}
		var archive bytes.Buffer
		if err := pack(&archive, b.time, []entry{{"LICENSE", 0o644, license}, {"kubectl-outrider" + p.exe(), 0o755, program}}); err != nil {
			return err
		}
		if err := b.write(b.plugin(p), archive.Bytes()); err != nil {
			return err
		}
		sum := sha256.Sum256(archive.Bytes())
		sums[p] = hex.EncodeToString(sum[:])
	}
	// krew requires the plugin's name as the name of the file.
	return b.write("krew/outrider.yaml", []byte(krewManifest(b.release, sums)))
}

// images writes the images, with the users and paths of the Dockerfile.
func (b builder) images(context.Context) error {
	for name, user := range map[string]string{"outrider": "65532:65532", "outrider-init": "0:0"} {
		byArch := map[string]image.Image{}
		for _, p := range b.linux() {
			at := "/usr/local/bin/" + name
			byArch[p.arch] = image.Image{
				User: user, Entrypoint: []string{at}, Labels: b.labels(name),
				Files: []image.File{{Path: at, From: filepath.Join(b.out, b.program(name, p)), Mode: 0o755}},
			}
		}
		var archive bytes.Buffer
		if err := image.WriteOCI(&archive, hub+"/"+name+":"+b.version, b.time, byArch); err != nil {
			return err
		}
		if err := b.write(b.image(name), archive.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// manifests writes the files of deploy with the images of this version.
func (b builder) manifests(context.Context) error {
	for _, name := range []string{"outrider.yaml", "policy.yaml", "settings.yaml"} {
		text, err := os.ReadFile(filepath.Join(b.root, "deploy", name))
		if err != nil {
			return err
		}
		if err := b.write(name, []byte(setTag(string(text), b.version))); err != nil {
			return err
		}
	}
	return nil
}

// chart packages the chart. Helm writes the times of the files into the archive:
// it is packed again without them.
func (b builder) chart(ctx context.Context) error {
	dir := filepath.Join(b.root, "deploy", "chart")
	helm, err := b.helm(ctx, b.log)
	if err != nil {
		return err
	}
	staged, err := os.MkdirTemp(b.out, ".chart")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(staged) }()
	cmd := exec.CommandContext(ctx, helm, "package", dir, "--version", b.chartVersion(), "--app-version", b.version, "-d", staged)
	cmd.Env = append(os.Environ(), "HELM_CONFIG_HOME="+staged, "HELM_CACHE_HOME="+staged, "HELM_DATA_HOME="+staged)
	if err := run(cmd); err != nil {
		return err
	}
	name := "outrider-" + b.chartVersion() + ".tgz"
	packed, err := os.ReadFile(filepath.Join(staged, name))
	if err != nil {
		return err
	}
	entries, err := readTarGz(bytes.NewReader(packed))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(entries) == 0 || entries[0].name != "outrider/Chart.yaml" {
		return fmt.Errorf("%s: Chart.yaml is not the first file", name)
	}
	entries[0].data = []byte(chartMetadata(string(entries[0].data), b.version))
	license, err := os.ReadFile(filepath.Join(b.root, "LICENSE"))
	if err != nil {
		return err
	}
	entries = append(entries, entry{"outrider/LICENSE", 0o644, license})
	// Chart.yaml stays first, where readers of archives look for it.
	slices.SortFunc(entries[1:], func(x, y entry) int { return strings.Compare(x.name, y.name) })
	var archive bytes.Buffer
	if err := writeTarGz(&archive, b.time, entries); err != nil {
		return err
	}
	return b.write(name, archive.Bytes())
}

// sboms writes a bill of materials for each program.
func (b builder) sboms(ctx context.Context) error {
	tool, err := b.cyclonedx(ctx, b.log)
	if err != nil {
		return err
	}
	one := func(name string, p platform) error {
		cmd := exec.CommandContext(ctx, tool, "app", "-json", "-licenses", "-std", "-noserial", "-notimestamp", "-main", "cmd/"+name, ".")
		cmd.Dir = b.root
		cmd.Env = append(os.Environ(), goEnv(p)...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("%s: %w\n%s", b.sbom(name, p), err, &stderr)
		}
		text, err := normalSBOM(out, b.version)
		if err != nil {
			return fmt.Errorf("%s: %w", b.sbom(name, p), err)
		}
		return b.write(b.sbom(name, p), text)
	}
	for _, p := range b.platforms {
		if err := one("outrider", p); err != nil {
			return err
		}
	}
	for _, p := range b.linux() {
		if err := one("outrider-init", p); err != nil {
			return err
		}
	}
	return nil
}

// checksums writes the SHA-256 of every other file, as sha256sum does.
func (b builder) checksums(context.Context) error {
	files, err := filesBelow(b.out)
	if err != nil {
		return err
	}
	var text strings.Builder
	for _, name := range files {
		sum, err := sumOf(filepath.Join(b.out, name))
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%s  %s\n", sum, name)
	}
	return b.write("SHA256SUMS", []byte(text.String()))
}

// filesBelow lists the files of a directory in order, with slashes.
func filesBelow(dir string) (files []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		files = append(files, filepath.ToSlash(name))
		return err
	})
	slices.Sort(files)
	return files, err
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func (b builder) write(name string, data []byte) error {
	path := filepath.Join(b.out, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

// run runs a command; its output is part of the error.
func run(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}
