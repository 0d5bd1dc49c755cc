package main

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

const (
	module   = "github.com/outrider-mesh/outrider"
	homepage = "https://" + module
	hub      = "docker.io/outrider"
)

// platform is one that the command line is built for.
type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "-" + p.arch }

// exe is the suffix of a program's file.
func (p platform) exe() string {
	if p.os == "windows" {
		return ".exe"
	}
	return ""
}

// allPlatforms are those of a release. The images are for the Linux ones.
var allPlatforms = []platform{
	{"linux", "amd64"},
	{"linux", "arm64"},
	{"darwin", "amd64"},
	{"darwin", "arm64"},
	{"windows", "amd64"},
	{"windows", "arm64"},
}

// release is what the files of a release are made from. Equal releases of equal
// trees are made of equal bytes.
type release struct {
	version string    // v1.2.3, as the image tags
	commit  string    // may be empty: a tree without its repository
	time    time.Time // of the commit: the time in images and archives
	baseURL string    // where the files can be downloaded from, in krew's manifest
}

// versionForm is semantic versioning with a "v", without build metadata: a "+" is
// not allowed in the tag of an image.
var versionForm = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-(0|[1-9]\d*|[0-9A-Za-z-]*[A-Za-z-][0-9A-Za-z-]*)(\.(0|[1-9]\d*|[0-9A-Za-z-]*[A-Za-z-][0-9A-Za-z-]*))*)?$`)

func checkVersion(v string) error {
	if !versionForm.MatchString(v) || len(v) > 128 {
		return fmt.Errorf("version %q: must be vMAJOR.MINOR.PATCH or vMAJOR.MINOR.PATCH-PRERELEASE, at most 128 characters, without build metadata; use a version such as v1.2.3 or v1.2.3-rc.1", v)
	}
	return nil
}

// described is the output of `git describe --long`: tag, commits since, commit.
var described = regexp.MustCompile(`^(v\d+\.\d+\.\d+[^ ]*)-(\d+)-g([0-9a-f]+)$`)

// versionOf is the version of a commit: its tag, or else a prerelease that sorts
// after the last tag and before the next one. description is the output of `git
// describe --long`; without any tag it is empty, and count is the number of commits.
func versionOf(description string, count int, commit string) (string, error) {
	if description == "" {
		return fmt.Sprintf("v0.0.0-dev.%d.g%.12s", count, commit), nil
	}
	m := described.FindStringSubmatch(description)
	if m == nil {
		return "", fmt.Errorf("git describe: %q: must be TAG-COMMITS-gHASH", description)
	}
	tag, since, hash := m[1], m[2], m[3]
	if since == "0" {
		return tag, checkVersion(tag)
	}
	if strings.Contains(tag, "-") { // v1.2.3-rc.1 comes before v1.2.3-rc.1.dev.5
		v := fmt.Sprintf("%s.dev.%s.g%.12s", tag, since, hash)
		return v, checkVersion(v)
	}
	var major, minor, patch int
	if _, err := fmt.Sscanf(tag, "v%d.%d.%d", &major, &minor, &patch); err != nil {
		return "", fmt.Errorf("tag %q: %w", tag, err)
	}
	return fmt.Sprintf("v%d.%d.%d-dev.%s.g%.12s", major, minor, patch+1, since, hash), nil
}

// chartVersion is the version of the chart: Helm's have no "v".
func (r release) chartVersion() string { return strings.TrimPrefix(r.version, "v") }

// program is the file of a program, such as outrider-v1.2.3-linux-amd64.
func (r release) program(name string, p platform) string {
	return fmt.Sprintf("%s-%s-%s%s", name, r.version, p, p.exe())
}

// plugin is the archive of the kubectl plugin.
func (r release) plugin(p platform) string {
	ext := ".tar.gz"
	if p.os == "windows" {
		ext = ".zip"
	}
	return fmt.Sprintf("kubectl-outrider-%s-%s%s", r.version, p, ext)
}

// sbom is the bill of materials of a program.
func (r release) sbom(name string, p platform) string {
	return fmt.Sprintf("%s-%s-%s.cdx.json", name, r.version, p)
}

func (r release) image(name string) string { return fmt.Sprintf("%s-%s-image.tar", name, r.version) }

// labels are those of the images.
func (r release) labels(name string) map[string]string {
	l := map[string]string{
		"org.opencontainers.image.title":    name,
		"org.opencontainers.image.version":  r.version,
		"org.opencontainers.image.created":  r.time.UTC().Format(time.RFC3339),
		"org.opencontainers.image.licenses": "Apache-2.0",
		"org.opencontainers.image.source":   homepage,
	}
	if r.commit != "" {
		l["org.opencontainers.image.revision"] = r.commit
	}
	return l
}

// linkerFlags set the version that the programs print, and the tag of the images
// that they inject.
func (r release) linkerFlags() string {
	return "-s -w -X main.version=" + r.version + " -X " + module + "/config.DefaultTag=" + r.version
}

// setTag replaces the version in a manifest of the checkout: the tag of the product's
// images, and the label.
func setTag(text, tag string) string {
	const was, label = "dev", "app.kubernetes.io/version: "
	return strings.NewReplacer(
		hub+"/outrider:"+was, hub+"/outrider:"+tag,
		hub+"/outrider-init:"+was, hub+"/outrider-init:"+tag,
		label+was, label+tag,
		label+`"`+was+`"`, label+`"`+tag+`"`,
	).Replace(text)
}

// chartMetadata sets in Chart.yaml what Helm does not: the images that Artifact Hub
// scans, and whether it lists the version as a prerelease.
func chartMetadata(text, version string) string {
	const prerelease = `artifacthub.io/prerelease: "%t"`
	text = setTag(text, version)
	for _, was := range []bool{true, false} {
		text = strings.Replace(text, fmt.Sprintf(prerelease, was), fmt.Sprintf(prerelease, strings.Contains(version, "-")), 1)
	}
	return text
}
