package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/test/helm"
	"github.com/outrider-mesh/outrider/test/kit"
)

var sample = release{
	version: "v1.2.3-rc.1", commit: strings.Repeat("ab", 20), time: time.Unix(1_800_000_001, 0).UTC(),
	baseURL: "https://download.example/v1.2.3-rc.1",
}

func TestVersionOf(t *testing.T) {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	for _, c := range []struct{ description, want string }{
		{"v1.2.3-0-g0123456789ab", "v1.2.3"},
		{"v1.2.3-7-g0123456789ab", "v1.2.4-dev.7.g0123456789ab"},
		{"v1.2.3-rc.1-0-g0123456789ab", "v1.2.3-rc.1"},
		{"v1.2.3-rc.1-7-g0123456789ab", "v1.2.3-rc.1.dev.7.g0123456789ab"},
		{"", "v0.0.0-dev.42.g0123456789ab"},
	} {
		got, err := versionOf(c.description, 42, commit)
		if err != nil || got != c.want {
			t.Errorf("%q: got %q, %v, want %q", c.description, got, err, c.want)
		}
		if err := checkVersion(got); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"nonsense", "v1.2-0-gabc", "v1.2.3+meta-0-gabc"} {
		if got, err := versionOf(bad, 1, commit); err == nil {
			t.Errorf("%q: got %q, want an error", bad, got)
		}
	}
}

func TestCheckVersion(t *testing.T) {
	for _, bad := range []string{"", "1.2.3", "v1.2", "v01.2.3", "v1.2.3-", "v1.2.3-01", "v1.2.3+build", "v1.2.3 ", "v1.2.3-" + strings.Repeat("a", 130)} {
		if err := checkVersion(bad); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", bad)) {
			t.Errorf("%q: error %v, want one that has it", bad, err)
		}
	}
}

func TestReleaseTime(t *testing.T) {
	for _, c := range []struct{ env, commit, want string }{
		{"", "1800000000", "2027-01-15T08:00:00Z"},
		{"1700000000", "1800000000", "2023-11-14T22:13:20Z"},
		{"0", "1800000000", `SOURCE_DATE_EPOCH: "0": must be seconds since 1970, at least 315532800`},
		{"", "now", `time of the commit: "now": must be seconds`},
	} {
		got, err := releaseTime(c.env, c.commit)
		text := got.Format(time.RFC3339)
		if err != nil {
			text = err.Error()
		}
		if !strings.HasPrefix(text, c.want) {
			t.Errorf("%q, %q: got %s, want %s", c.env, c.commit, text, c.want)
		}
	}
}

func TestChangelog(t *testing.T) {
	log := parseLog("c3\x1finject: a third\x1f\x1e\nc2\x1fwebhook, serve: a second\x1fWhy.\n\nBREAKING CHANGE: rename\n the flag\n\x1e\n" +
		"c1\x1ftest/e2e: more\x1f\x1e\nc0\x1fdocs: a page\x1f\x1e\nbb\x1finject: the first\x1f\x1e\naa\x1fsome change\x1f\x1e\n")
	want := `# v1.1.0

6 commits since v1.0.0.

## Before you upgrade

- rename the flag (c2)

## Changes

### inject

- a third (c3)
- the first (bb)

### webhook

- a second [webhook, serve] (c2)

## Documentation

### docs

- a page (c0)

## Development

### other

- some change (aa)

### test/e2e

- more (c1)
`
	if got := changelog("v1.1.0", "v1.0.0", log); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if got := changelog("v0.1.0", "", nil); got != "# v0.1.0\n\nThe first release: all 0 commits.\n" {
		t.Errorf("got %q", got)
	}
}

func TestSetTag(t *testing.T) {
	got := setTag("image: docker.io/outrider/outrider:dev\nimage: docker.io/outrider/outrider-init:dev\nimage: docker.io/envoyproxy/envoy:dev\napp.kubernetes.io/version: \"dev\"\n", "v1.2.3")
	if want := "image: docker.io/outrider/outrider:v1.2.3\nimage: docker.io/outrider/outrider-init:v1.2.3\nimage: docker.io/envoyproxy/envoy:dev\napp.kubernetes.io/version: \"v1.2.3\"\n"; got != want {
		t.Errorf("got %q", got)
	}
}

func TestChartMetadata(t *testing.T) {
	const chart = "annotations:\n  artifacthub.io/images: |\n    - image: docker.io/outrider/outrider:dev\n  artifacthub.io/prerelease: \"true\"\n"
	for version, prerelease := range map[string]string{"v1.2.3": "false", "v1.2.3-rc.1": "true"} {
		want := strings.NewReplacer(":dev", ":"+version, `"true"`, `"`+prerelease+`"`).Replace(chart)
		if got := chartMetadata(chart, version); got != want {
			t.Errorf("%s: got %q, want %q", version, got, want)
		}
	}
}

func TestNormalSBOM(t *testing.T) {
	document := `{"bomFormat":"CycloneDX","metadata":{"tools":[{"name":"x","hashes":[{"alg":"MD5","content":"0"}]}],` +
		`"component":{"bom-ref":"pkg:golang/` + module + `@v0.0.0-1?type=module","name":"` + module + `","version":"v0.0.0-1"}},` +
		`"components":[{"name":"a"}],"dependencies":[{"ref":"pkg:golang/` + module + `@v0.0.0-1?type=module"}]}`
	got, err := normalSBOM([]byte(document), "v1.2.3")
	if err != nil || bytes.Contains(got, []byte("v0.0.0-1")) || bytes.Contains(got, []byte("hashes")) || bytes.Count(got, []byte("v1.2.3")) != 3 {
		t.Errorf("error %v, document %s", err, got)
	}
	for replace, want := range map[[2]string]string{
		{`"bomFormat"`, `"serialNumber":"urn:uuid:1","bomFormat"`}:          "a serial number or a time",
		{`"metadata":{`, `"metadata":{"timestamp":"2026-01-01T00:00:00Z",`}: "a serial number or a time",
		{`[{"name":"a"}]`, `[]`}:                   "components: must not be empty",
		{`"name":"` + module, `"name":"other`}:     "must be " + module,
		{`"tools":[{"name":"x"`, `"tools":{"x":1`}: "",
	} {
		if _, err := normalSBOM([]byte(strings.Replace(document, replace[0], replace[1], 1)), "v1.2.3"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", replace[1], err, want)
		}
	}
}

func TestEmptyDir(t *testing.T) {
	dir := t.TempDir()
	if got, err := emptyDir(filepath.Join(dir, "new", "dist")); err != nil || got != filepath.Join(dir, "new", "dist") {
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := emptyDir(dir); err == nil || !strings.Contains(err.Error(), "is not empty") {
		t.Errorf("a directory with files: error %v", err)
	}
}

// TestFromGit has a repository of three commits, with a tag on the first.
func TestFromGit(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("SOURCE_DATE_EPOCH", "")
	git := func(args ...string) string {
		cmd := exec.CommandContext(t.Context(), "git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_COMMITTER_DATE=1800000000 +0000", "GIT_CONFIG_GLOBAL=/dev/null",
			"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
		return strings.TrimSpace(output(t, cmd))
	}
	git("init", "--quiet")
	git("commit", "--quiet", "--allow-empty", "-m", "inject: one")
	git("tag", "v1.0.0")
	git("commit", "--quiet", "--allow-empty", "-m", "inject: two", "-m", "Why.")
	git("commit", "--quiet", "--allow-empty", "-m", "inject: three")
	head := git("rev-parse", "HEAD")

	r, previous, log, err := fromGit(t.Context(), dir, "")
	if want := "v1.0.1-dev.2.g" + head[:12]; err != nil || r.version != want || r.commit != head || r.time.Unix() != 1_800_000_000 || previous != "v1.0.0" {
		t.Errorf("got %+v after %q, error %v, want version %s", r, previous, err, want)
	}
	if len(log) != 2 || log[0].subject != "inject: three" || log[1].body != "Why." || log[0].hash != head[:12] {
		t.Errorf("changes %+v", log)
	}
	git("tag", "v1.1.0")
	if r, previous, log, err := fromGit(t.Context(), dir, ""); err != nil || r.version != "v1.1.0" || previous != "v1.0.0" || len(log) != 2 {
		t.Errorf("with a tag: %+v after %q with %d changes, error %v", r, previous, len(log), err)
	}
	if r, _, _, err := fromGit(t.Context(), dir, "v7.0.0"); err != nil || r.version != "v7.0.0" {
		t.Errorf("with a given version: %+v, error %v", r, err)
	}
	if _, _, _, err := fromGit(t.Context(), dir, "7"); err == nil || !strings.Contains(err.Error(), "use a version such as") {
		t.Errorf("with an invalid version: error %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "new"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := fromGit(t.Context(), dir, ""); err == nil || !strings.Contains(err.Error(), "?? new") {
		t.Errorf("with a changed tree: error %v", err)
	}
	if _, _, _, err := fromGit(t.Context(), t.TempDir(), ""); err == nil || !strings.Contains(err.Error(), "not a git repository") {
		t.Errorf("without a repository: error %v", err)
	}
}

// TestTwoBuildsAreEqual builds a release of one platform in two directories, and
// checks its files with the programs that read them.
func TestTwoBuildsAreEqual(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the programs twice; -short omits it")
	}
	twoBuilds(t, platform{"linux", runtime.GOARCH})
}

var full = flag.Bool("release", false, "build a whole release twice, the second time with nothing cached, and without network")

// TestRelease is the same with all platforms, an empty cache of the compiler for the second
// build (the first has the usual one, which other builds filled), and no way to fetch a module.
func TestRelease(t *testing.T) {
	if !*full {
		t.Skip("takes an hour; -release, or make release-check, runs it")
	}
	for _, tool := range []func(context.Context, io.Writer) (string, error){helm.Program, cyclonedx} {
		if _, err := tool(t.Context(), os.Stderr); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("GOPROXY", "off")
	twoBuilds(t, allPlatforms...)
}

func twoBuilds(t *testing.T, platforms ...platform) {
	t.Helper()
	b := builder{release: sample, platforms: platforms, log: io.Discard, helm: helm.Program, cyclonedx: cyclonedx}
	roots := []string{copyOfCheckout(t, filepath.Join(t.TempDir(), "a"))}
	roots = append(roots, copyOfCheckout(t, filepath.Join(t.TempDir(), "another")))
	var outputs []string
	for i, root := range roots {
		cache := t.TempDir()
		if *full {
			b.log = os.Stderr
		}
		if *full && i > 0 {
			t.Setenv("GOCACHE", cache)
		}
		b.root, b.out = root, t.TempDir()
		if err := b.build(t.Context(), "v1.2.2", []change{{"abc", "inject: a change", ""}}); err != nil {
			t.Fatal(err)
		}
		outputs = append(outputs, b.out)
		if err := os.RemoveAll(cache); err != nil { // some gigabytes
			t.Error(err)
		}
	}
	files := sameFiles(t, outputs[0], outputs[1])
	want := []string{
		"CHANGELOG.md", "SHA256SUMS", "krew/outrider.yaml", "outrider.yaml", "policy.yaml", "settings.yaml", "outrider-1.2.3-rc.1.tgz",
		"outrider-v1.2.3-rc.1-image.tar", "outrider-init-v1.2.3-rc.1-image.tar",
	}
	for _, p := range platforms {
		want = append(want, "outrider-v1.2.3-rc.1-"+p.String()+p.exe(), "outrider-v1.2.3-rc.1-"+p.String()+".cdx.json", sample.plugin(p))
		if p.os == "linux" {
			want = append(want, "outrider-init-v1.2.3-rc.1-"+p.String(), "outrider-init-v1.2.3-rc.1-"+p.String()+".cdx.json")
		}
	}
	if slices.Sort(want); !slices.Equal(files, want) {
		t.Errorf("the release has %q, want %q", files, want)
	}
	checkRelease(t, outputs[0], sample)
	checkEvery(t, outputs[0], sample, platforms)
	t.Run("krew", func(t *testing.T) { checkKrew(t, outputs[0], sample) })
	t.Run("containerd", func(t *testing.T) { checkImages(t, outputs[0], sample) })
}

// sameFiles compares two directories byte for byte and returns their files.
func sameFiles(t *testing.T, one, other string) []string {
	t.Helper()
	files, err := filesBelow(one)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := filesBelow(other); err != nil || !slices.Equal(files, again) {
		t.Fatalf("the files of two builds: %q and %q, error %v", files, again, err)
	}
	for _, name := range files {
		a, errA := sumOf(filepath.Join(one, name))
		b, errB := sumOf(filepath.Join(other, name))
		if errA != nil || errB != nil || a != b {
			t.Errorf("%s: two builds differ: %s and %s, errors %v, %v", name, a, b, errA, errB)
		}
	}
	return files
}

// copyOfCheckout copies the files that git tracks, or would, to another directory,
// which is a repository: the writer of SBOMs needs one.
func copyOfCheckout(t *testing.T, dir string) string {
	t.Helper()
	root, err := kit.Checkout()
	if err != nil {
		t.Fatal(err)
	}
	list := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	list.Dir = root
	names, err := list.Output()
	if err != nil && os.Getenv("REQUIRE_REAL") != "1" {
		t.Skipf("the checkout has no repository (REQUIRE_REAL=1 makes this a failure): %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(names), "\x00"), "\x00") {
		data, err := os.ReadFile(filepath.Join(root, name))
		if os.IsNotExist(err) { // removed, and not committed yet
			continue
		}
		to := filepath.Join(dir, name)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(to), 0o755)
		}
		if err == nil {
			err = os.WriteFile(to, data, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"init", "--quiet"},
		{"-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "--quiet", "--allow-empty", "-m", "a"},
	} {
		git := exec.CommandContext(t.Context(), "git", args...)
		git.Dir = dir
		output(t, git)
	}
	return dir
}
