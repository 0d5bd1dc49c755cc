package annotation

import (
	_ "crypto/sha256" // the digest algorithms of image references
	_ "crypto/sha512"
	"errors"
	"fmt"
	"strings"

	imageref "github.com/distribution/reference"
)

const (
	imageExample = "docker.io/envoyproxy/envoy:distroless-v1.40.0"
	imageFix     = "use NAME, NAME:TAG or NAME@DIGEST for an image below global.hub, or a full reference such as " + imageExample
)

// ParseImage reads an image: a full reference, which has a "/", or the name of an
// image below the configured hub, with or without a tag and a digest.
func ParseImage(value string) (string, error) {
	switch {
	case value == "":
		return "", invalid(value, "image must not be empty", "use a reference such as "+imageExample+", or remove it")
	case len(value) > 512:
		return "", invalid(value, "an image reference has at most 512 bytes", "")
	}
	for _, r := range value {
		if r > '~' || r <= ' ' || strings.ContainsRune("\"'`\\{}()[]<>|&;$*?!#%^~=,", r) {
			return "", invalid(value, fmt.Sprintf("invalid character %q in an image reference", r), "use a reference such as "+imageExample)
		}
	}
	if rule, fix := imageFault(value); rule != "" {
		return "", invalid(value, rule, fix)
	}
	return value, nil
}

// imageFault is what is wrong with a reference by the grammar of container
// registries.
func imageFault(value string) (rule, fix string) {
	_, err := imageref.Parse(value)
	if err == nil && !hasUpperCaseName(value) {
		_, err = imageref.ParseNormalizedNamed(value)
	}
	name, rest := splitReference(value)
	switch {
	case errors.Is(err, imageref.ErrNameContainsUppercase), err == nil && hasUpperCaseName(value):
		return "the name of an image must be in lower case", "use " + strings.ToLower(name) + rest
	case err == nil:
		return "", ""
	case errors.Is(err, imageref.ErrNameTooLong):
		return fmt.Sprintf("the name of an image has at most %d bytes", imageref.RepositoryNameTotalLengthMax), ""
	case strings.Contains(value, "@"):
		return "not an image reference: a digest is sha256: and 64 hexadecimal digits", "use NAME@sha256:DIGEST"
	}
	return "not an image reference", imageFix
}

// splitReference divides a reference before its tag or digest.
func splitReference(value string) (name, rest string) {
	end := len(value)
	if at := strings.IndexByte(value, '@'); at >= 0 {
		end = at
	}
	if colon := strings.LastIndexByte(value[:end], ':'); colon > strings.LastIndexByte(value[:end], '/') {
		end = colon
	}
	return value[:end], value[end:]
}

// hasUpperCaseName reports upper case outside of the host of a registry, which is
// what has a dot or a port.
func hasUpperCaseName(value string) bool {
	name, _ := splitReference(value)
	if host, path, ok := strings.Cut(name, "/"); ok && strings.ContainsAny(host, ".:") {
		name = path
	}
	return strings.ToLower(name) != name
}

// ParseHub reads the registry and path that are put before the name of an image.
func ParseHub(value string) (string, error) {
	const fix = "use a registry and a path such as docker.io/outrider"
	if trimmed := strings.TrimRight(value, "/"); trimmed != value && trimmed != "" {
		return "", invalid(value, "must not end in /", "use "+trimmed)
	}
	image, err := ParseImage(value + "/image")
	switch {
	case err == nil && image != "":
		return value, nil
	case hasUpperCaseName(value + "/image"):
		return "", invalid(value, "the name of an image must be in lower case", "use "+strings.ToLower(value))
	}
	return "", invalid(value, "not a registry and path", fix)
}

// CompleteImage is the full reference of what ParseImage accepts: a name without a
// "/" is below the hub, and has the tag unless it has its own tag or a digest.
func CompleteImage(image, hub, tag string) string {
	switch {
	case strings.Contains(image, "/"):
		return image
	case NeedsTag(image):
		image += ":" + tag
	}
	return hub + "/" + image
}

// NeedsTag reports that an image is a name below the hub without a tag and a digest.
func NeedsTag(image string) bool { return !strings.ContainsAny(image, "/:@") }
