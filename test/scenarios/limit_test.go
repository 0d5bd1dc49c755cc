package scenarios

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// maxWarning is the length, in characters, above which the API server may cut a
// warning.
const maxWarning = 256

// TestWarningsFit: no warning has to be cut for the API server. The values of
// the configuration are those of a ConfigMap there.
func TestWarningsFit(t *testing.T) {
	found := 0
	for _, s := range loadAll(t) {
		text, _ := s.get("want.txt")
		for line := range strings.Lines(text) {
			w, ok := asWarning(strings.TrimSpace(line))
			if !ok {
				continue
			}
			found++
			if n := utf8.RuneCountInString(w); n > maxWarning {
				t.Errorf("%s: %d characters: %s", s.name, n, w)
			}
		}
	}
	if found < 70 {
		t.Errorf("%d warnings, fewer than 70", found)
	}
}

// asWarning is a line of want.txt as the API server gets it.
func asWarning(line string) (string, bool) {
	if place, w, ok := strings.Cut(line, "warning: "); ok && !strings.Contains(place, "rejected") {
		if strings.HasPrefix(place, "configuration") {
			for file, source := range map[string]string{
				"values.yaml:": `ConfigMap istio-system/istio-sidecar-injector: key "values":`, "config.yaml:": `ConfigMap istio-system/istio-sidecar-injector: key "config":`, "mesh.yaml:": `ConfigMap istio-system/istio: key "mesh":`,
			} {
				w = strings.Replace(w, file, source, 1)
			}
		}
		return w, true
	}
	return "", false
}
