package revision

import "testing"

func TestRevision(t *testing.T) {
	for _, c := range []struct {
		revision, label Revision
		name            string
		matches         bool
	}{
		{"", "", "istio", true},
		{"", "default", "istio", true},
		{"default", "", "istio", true},
		{"default", "canary", "istio", false},
		{"canary", "canary", "istio-canary", true},
		{"canary", "", "istio-canary", false},
		{"canary", "default", "istio-canary", false},
	} {
		if got := c.revision.Name("istio"); got != c.name {
			t.Errorf("%q.Name: %q, want %q", c.revision, got, c.name)
		}
		if got := c.revision.Matches(string(c.label)); got != c.matches {
			t.Errorf("%q.Matches(%q): %v", c.revision, c.label, got)
		}
		if got, want := c.revision.Reads(string(c.label)), c.matches || c.label == ""; got != want {
			t.Errorf("%q.Reads(%q): %v", c.revision, c.label, got)
		}
	}
}
