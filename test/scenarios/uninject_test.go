package scenarios

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// notInBytes are the scenarios whose input uninject restores in meaning only,
// with the reason.
var notInBytes = map[string]string{
	"anchors":                    "an alias of what is injected in one place only is written out",
	"templates-patch-directives": "a template deletes a flow mapping, which comes back in block style",
	"again-native-after-classic": ownSidecar,
	"override-native":            ownSidecar,
}

const ownSidecar = "the user's istio-proxy is moved to the init containers; its flow style is not recorded"

// takenBack: uninject makes of what kube-inject made what there was before.
func (t *trial) takenBack() {
	if t.cli == nil || t.cli.code != 0 || t.options.Served || strings.Contains(t.stream, statusAnnotation) && !t.hasEarlier() {
		return
	}
	name, original := t.input()
	out, stderr := uninject(t.T, file{name, t.cli.out})
	if again, _ := uninject(t.T, file{name, out}); again != out {
		t.Errorf("uninject changes its own result: first -, second +\n%s", cmp.Diff(out, again))
	}
	want, got := objectsOf(t.T, original), objectsOf(t.T, out)
	for i := range want {
		if d := cmp.Diff(want[i].tree, got[i].tree); d != "" {
			t.Errorf("%s: before the injection -, after uninject +\n%s\n%s", want[i].name(), d, stderr)
		}
	}
	why, excused := notInBytes[t.name]
	switch {
	case out == original && excused:
		t.Errorf("uninject restores every byte, though it is listed as not restored in bytes: %s", why)
	case out != original && !excused:
		t.Errorf("uninject restores the meaning, not the bytes: before the injection -, after +\n%s",
			cmp.Diff(strings.Split(original, "\n"), strings.Split(out, "\n")))
	}
}

// Every exception is for a scenario that exists.
func TestExceptionsAreScenarios(t *testing.T) {
	names := map[string]bool{}
	for _, s := range loadAll(t) {
		names[s.name] = true
	}
	for name := range notInBytes {
		if !names[name] {
			t.Errorf("no scenario %s", name)
		}
	}
}
