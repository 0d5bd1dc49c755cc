package annotation

import (
	"strings"
	"testing"
)

const aDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestImages(t *testing.T) {
	for image, want := range map[string]string{
		"envoy":                             "docker.io/outrider/envoy:v1",
		"envoy:latest":                      "docker.io/outrider/envoy:latest",
		"envoy:distroless-v1.40.0":          "docker.io/outrider/envoy:distroless-v1.40.0",
		"envoy@" + aDigest:                  "docker.io/outrider/envoy@" + aDigest,
		"envoy:1@" + aDigest:                "docker.io/outrider/envoy:1@" + aDigest,
		"localhost:5000":                    "docker.io/outrider/localhost:5000", // a name and a tag
		"localhost:5000/envoy":              "localhost:5000/envoy",
		"envoyproxy/envoy:v1":               "envoyproxy/envoy:v1",
		"reg.example/a/b@" + aDigest:        "reg.example/a/b@" + aDigest,
		"Reg.Example/a/b:V1":                "Reg.Example/a/b:V1", // a host and a tag may have upper case
		"[fd00::1]:5000/a":                  "",
		"my_image__x.y-z:1":                 "docker.io/outrider/my_image__x.y-z:1",
		"envoy:":                            "",
		"envoy@":                            "",
		"envoy@sha256:":                     "",
		"envoy@sha256:abc":                  "",
		"envoy@" + aDigest[:60]:             "",
		"envoy@md5:" + aDigest[7:39]:        "",
		"envoy@" + aDigest + ":1":           "",
		":latest":                           "",
		"@" + aDigest:                       "",
		"Envoy:latest":                      "",
		"docker.io/EnvoyProxy/envoy:v1":     "",
		"EnvoyProxy/envoy:v1":               "",
		"envoy latest":                      "",
		" envoy":                            "",
		"envoy:latest ":                     "",
		"envoy:a b":                         "",
		"/envoy":                            "",
		"a//b":                              "",
		"a/b/":                              "",
		"a/b:1:2":                           "",
		"-envoy":                            "",
		"envoy:-1":                          "",
		"envoy:" + strings.Repeat("a", 129): "",
		"a/" + strings.Repeat("b", 256):     "",
		"https://reg.example/a":             "",
		"docker.io/a:1/b":                   "",
	} {
		got, err := ParseImage(image)
		if (err == nil) != (want != "") {
			t.Errorf("%q: %v", image, err)
		}
		if err == nil && CompleteImage(got, "docker.io/outrider", "v1") != want {
			t.Errorf("%q: %s, want %s", image, CompleteImage(got, "docker.io/outrider", "v1"), want)
		}
	}
}

func TestImageMessages(t *testing.T) {
	for image, want := range map[string]string{
		"Envoy:latest":                  `"Envoy:latest": the name of an image must be in lower case; use envoy:latest`,
		"docker.io/EnvoyProxy/envoy:V1": `the name of an image must be in lower case; use docker.io/envoyproxy/envoy:V1`,
		"envoy:":                        `"envoy:": not an image reference; use NAME, NAME:TAG or NAME@DIGEST for an image below global.hub, or a full reference such as docker.io/`,
		"envoy@sha256:abc":              "a digest is sha256: and 64 hexadecimal digits; use NAME@sha256:DIGEST",
		"a/" + strings.Repeat("b", 256): "the name of an image has at most 255 bytes",
	} {
		if _, err := ParseImage(image); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", image, err, want)
		}
	}
}

func TestHubs(t *testing.T) {
	for hub, want := range map[string]string{
		"docker.io/outrider": "", "localhost:5000": "", "gcr.io": "", "registry.example.com:443/a/b-c": "", "outrider": "",
		"docker.io/outrider/": "must not end in /; use docker.io/outrider", "Docker.io/Outrider": "must be in lower case; use docker.io/outrider",
		"https://gcr.io/x": "not a registry and path", "gcr.io/x:1": "not a registry and path", "a b": "not a registry and path", "x@" + aDigest: "not a registry and path",
	} {
		if _, err := ParseHub(hub); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", hub, err, want)
		}
	}
}
