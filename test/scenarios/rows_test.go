package scenarios

import (
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/annotation"
)

// TestEveryAnnotationHasAScenario: of every annotation and label that is
// supported some scenario shows a value that works and another one that does
// not; of every other one what happens to it.
func TestEveryAnnotationHasAScenario(t *testing.T) {
	shown := map[rowKey]*rowShown{}
	for _, s := range loadAll(t) {
		s.shows(t, shown)
	}
	for _, row := range annotation.Table() {
		key := rowKey{row.Name, row.IsLabel}
		for _, lack := range lacks(row, shown[key]) {
			t.Errorf("no scenario shows %s (label: %v, %s) %s", row.Name, row.IsLabel, row.Support, lack)
		}
	}
}

// A row that no scenario shows is noticed.
func TestEveryAnnotationHasAScenarioIsNoticed(t *testing.T) {
	supported, ok := annotation.Lookup(annotation.ExcludeOutboundIPRanges)
	if got := lacks(supported, nil); !ok || len(got) != 2 {
		t.Errorf("%s without scenarios lacks %q", supported.Name, got)
	}
	if got := lacks(supported, &rowShown{good: "a"}); len(got) != 1 || got[0] != "with a bad value" {
		t.Errorf("%s without a bad value lacks %q", supported.Name, got)
	}
	rejected, ok := annotation.Lookup(annotation.KubevirtInterfaces)
	if got := lacks(rejected, nil); !ok || len(got) != 1 {
		t.Errorf("%s without scenarios lacks %q", rejected.Name, got)
	}
}

type rowKey struct {
	name    string
	isLabel bool
}

// rowShown names the scenarios that show a row with a good and a bad value.
type rowShown struct{ good, bad string }

func lacks(row annotation.Row, shown *rowShown) (out []string) {
	if shown == nil {
		shown = &rowShown{}
	}
	switch {
	case row.Support != annotation.Supported:
		if shown.good == "" && shown.bad == "" {
			return []string{"at all"}
		}
		return nil
	case shown.good == "":
		out = append(out, "with a good value")
	}
	// Any name of a revision is good; which one is right depends on the cluster.
	if shown.bad == "" && row.Name != annotation.Rev {
		out = append(out, "with a bad value")
	}
	return out
}

// shows notes which annotations and labels the input has, and whether the entry points
// reported a problem with them.
func (s *scenario) shows(t *testing.T, shown map[rowKey]*rowShown) {
	t.Helper()
	want, _ := s.get("want.txt")
	note := func(name string, isLabel bool) {
		if strings.HasPrefix(name, strings.TrimSuffix(annotation.OpenTelemetryResource, "*")) {
			name = annotation.OpenTelemetryResource
		}
		key := rowKey{name, isLabel}
		if shown[key] == nil {
			shown[key] = &rowShown{}
		}
		if strings.Contains(want, annotation.Path(name, isLabel)+": ") {
			shown[key].bad = s.name
		} else {
			shown[key].good = s.name
		}
	}
	for name := range s.options.NamespaceAnnotations {
		note(name, false)
	}
	_, stream := s.input()
	if out, ok := s.get("want.yaml"); ok {
		stream = strings.TrimSuffix(stream, "\n") + "\n---\n" + out // what the injector writes
	}
	for _, o := range objectsOf(t, stream) {
		metadata := at(o.tree, "metadata")
		if o.hasPod() {
			metadata = at(o.template(), "metadata")
		}
		for name := range at(metadata, "annotations") {
			note(name, false)
		}
		for name := range at(metadata, "labels") {
			note(name, true)
		}
	}
}
