package config

import (
	_ "embed" // the table
	"regexp"
	"strings"
)

//go:embed envoy.txt
var envoyTable string

// EnvoyVersion is a version of Envoy that the sidecar can run.
type EnvoyVersion struct {
	Version string // such as 1.40.0
	// Tested is how much of the tests runs with it: "all", or "short", which is that it
	// accepts what sidecars are started with and what they are configured with.
	Tested string
	// Wheels are the SHA-256 of the files that tests get the program from, by GOOS/GOARCH.
	Wheels map[string]string
}

var envoyVersions = parseEnvoyTable(envoyTable)

// EnvoyVersions lists the versions, the default first. The caller owns the slice.
func EnvoyVersions() []EnvoyVersion { return append([]EnvoyVersion(nil), envoyVersions...) }

// DefaultEnvoy is the version of the default image.
func DefaultEnvoy() string { return envoyVersions[0].Version }

func parseEnvoyTable(text string) (out []EnvoyVersion) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 4 || f[0] == "#" {
			continue
		}
		out = append(out, EnvoyVersion{Version: f[0], Tested: f[1], Wheels: map[string]string{"linux/amd64": f[2], "linux/arm64": f[3]}})
	}
	return out
}

// envoyTag is the tag of an image of Envoy: v1.40.0, distroless-v1.40.0, v1.40-latest.
var envoyTag = regexp.MustCompile(`/envoy:(?:[a-z]+-)*v([0-9]+\.[0-9]+)(?:\.[0-9]+)?(?:-[a-z]+)*$`)

// UntestedEnvoy is the minor version of an image of Envoy that is not in the table;
// empty where it is, and for images whose tag is not a version of Envoy.
func UntestedEnvoy(image string) string {
	minor := MinorOfEnvoy(image)
	for _, v := range envoyVersions {
		if strings.HasPrefix(v.Version, minor+".") {
			return ""
		}
	}
	return minor
}

// MinorOfEnvoy is the minor version of an image of Envoy by its tag, such as 1.39; empty
// for images whose tag is not a version of Envoy.
func MinorOfEnvoy(image string) string {
	if m := envoyTag.FindStringSubmatch(image); m != nil {
		return m[1]
	}
	return ""
}

// TestedEnvoys are the minor versions of the table, as messages list them.
func TestedEnvoys() string {
	var out []string
	for _, v := range envoyVersions {
		out = append(out, v.Version[:strings.LastIndexByte(v.Version, '.')])
	}
	return strings.Join(out, ", ")
}
