package webhook

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestLimitWarnings(t *testing.T) {
	long := strings.Repeat("ö", 300)
	for _, tt := range []struct {
		name     string
		warnings []string
		count    int
		last     string
	}{
		{"none", nil, 0, ""},
		{"short ones", []string{"a", "b"}, 2, "b"},
		{"a long one", []string{long}, 1, strings.Repeat("ö", 255) + "…"},
		{"just fitting", repeat(strings.Repeat("a", 256), 16), 16, strings.Repeat("a", 256)},
		{"one too many", repeat(strings.Repeat("a", 256), 17), 16, "and 2 more warnings; see the Outrider log"},
		{"far too many", repeat(long, 1000), 16, "and 985 more warnings; see the Outrider log"},
	} {
		got := limitWarnings(tt.warnings)
		sum := 0
		for _, w := range got {
			n := utf8.RuneCountInString(w)
			if n > maxWarning || !utf8.ValidString(w) {
				t.Errorf("%s: a warning of %d characters", tt.name, n)
			}
			sum += n
		}
		if sum > maxWarnings || len(got) != tt.count || tt.count > 0 && got[len(got)-1] != tt.last {
			t.Errorf("%s: %d warnings of %d characters, want %d; last %q", tt.name, len(got), sum, tt.count, got[max(0, len(got)-1):])
		}
	}
}

func repeat(s string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = s
	}
	return out
}

func TestClipWarning(t *testing.T) {
	for _, tt := range []struct {
		in    string
		limit int
		want  string
	}{
		{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"äöü", 3, "äöü"}, {"äöüß", 3, "äö…"}, {"", 3, ""}, {"\xff\xff\xff\xff", 3, "\xff\xff…"},
	} {
		if got := clipWarning(tt.in, tt.limit); got != tt.want {
			t.Errorf("clipWarning(%q, %d) = %q, want %q", tt.in, tt.limit, got, tt.want)
		}
	}
}
