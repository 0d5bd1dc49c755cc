package config

import (
	"regexp"
	"strings"
	"testing"
)

func TestEnvoyTable(t *testing.T) {
	lines := 0
	for line := range strings.Lines(envoyTable) {
		if !strings.HasPrefix(line, "#") {
			lines++
		}
	}
	all := EnvoyVersions()
	if len(all) != lines || all[0].Tested != "all" {
		t.Fatalf("%d versions in %d lines, the default tested %q", len(all), lines, all[0].Tested)
	}
	sum := regexp.MustCompile(`^[0-9a-f]{64}$`)
	for _, v := range all {
		if !regexp.MustCompile(`^1\.[0-9]+\.[0-9]+$`).MatchString(v.Version) || v.Tested != "all" && v.Tested != "short" ||
			!sum.MatchString(v.Wheels["linux/amd64"]) || !sum.MatchString(v.Wheels["linux/arm64"]) {
			t.Errorf("%+v", v)
		}
	}
	if image := Default().Values.Global.Proxy.Image; image != "docker.io/envoyproxy/envoy:distroless-v"+DefaultEnvoy() {
		t.Errorf("the default image is %s", image)
	}
}

func TestUntestedEnvoy(t *testing.T) {
	minor := DefaultEnvoy()[:strings.LastIndexByte(DefaultEnvoy(), '.')]
	for image, want := range map[string]string{
		"docker.io/envoyproxy/envoy:distroless-v" + DefaultEnvoy(): "",
		"docker.io/envoyproxy/envoy:v" + minor + ".77":             "", // a later release
		"mirror.example/envoy:debug-v" + minor + "-latest":         "",
		"docker.io/envoyproxy/envoy:v1.20.0":                       "1.20",
		"docker.io/envoyproxy/envoy:contrib-distroless-v2.0.0":     "2.0",
		"docker.io/envoyproxy/envoy:dev":                           "", // no version
		"docker.io/envoyproxy/envoy@sha256:12":                     "",
		"example.com/proxy:v1.20.0":                                "", // not Envoy's tags
	} {
		if got := UntestedEnvoy(image); got != want {
			t.Errorf("%s: %q, want %q", image, got, want)
		}
	}
}
