package webhook

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// What is wrong and where is in a warning whole, whatever has to be omitted.
func TestShortWarnings(t *testing.T) {
	const (
		subject = "ConfigMap istio-system/istio-sidecar-injector: "
		path    = "global.proxy.includeIPRanges"
		rule    = "omits 12 of 345 Service and 678 of 910 pod addresses in use, such as 10.96.0.10 of Service kube-system/kube-dns: traffic to them bypasses the sidecar"
	)
	list := strings.Repeat("10.0.0.0/25,", 6)
	for _, tt := range []struct {
		name, subject string
		p             problem.Problem
		want          string
	}{
		{"short", "", problem.Invalid("a", "b", "wrong", "use c"), `a: "b": wrong; use c`},
		{"a shorter value", subject, problem.Bypass(path, list, "only IPv4 ranges: all IPv6 traffic bypasses the sidecar", "add IPv6 ranges; not needed on single-stack clusters").In(`key "values"`).On(4, 22),
			subject + `key "values":4:22: ` + path + `: "10.0.0.0/25,10.0.0.0/25,10.0.0.0/25,10.0.0.0…": only IPv4 ranges: all IPv6 traffic bypasses the sidecar; add IPv6 ranges; not needed on single-stack clusters`},
		{"without the fix", subject, problem.Bypass(path, "10.0.0.0/25", rule, "add them, or use names"), subject + path + `: "10.0.0.0/25": ` + rule},
		{"without the value", subject, problem.Bypass(path, list, rule, ""), subject + path + `: "10.0.0.0/25,10.0.0.0/25…": ` + rule},
		{"a number as the value", subject, problem.Problem{Path: path, Value: strings.Repeat("1", 60), Rule: rule}, subject + path + `: ` + rule},
		{"a long rule", "", problem.Invalid("a", "b", strings.Repeat("word after word ", 30), "use c"), `a: ` + strings.Repeat("word after word ", 15) + "word after…"},
		{"another script", "", problem.Invalid("a", strings.Repeat("ö", 80), strings.Repeat("ü", 200), "use c"), `a: "` + strings.Repeat("ö", 40) + `…": ` + strings.Repeat("ü", 200) + "; use c"},
	} {
		got := message{tt.subject, tt.p}.short()
		if got != tt.want || utf8.RuneCountInString(got) > maxWarning {
			t.Errorf("%s: %d characters\ngot  %s\nwant %s", tt.name, utf8.RuneCountInString(got), got, tt.want)
		}
	}
}

func TestMessages_WorstFirst(t *testing.T) {
	var got []string
	for _, m := range messages("", problem.List{
		problem.NoEffect("a", "", "not read", ""), warning("b"), problem.Bypass("c", "", "bypasses", ""), warning("b"), problem.NoEffect("d", "", "not read", ""), warning("e"),
	}) {
		got = append(got, m.String())
	}
	if all := strings.Join(got, "|"); all != "c: bypasses|b|e|a: no effect: not read|d: no effect: not read" {
		t.Error(all)
	}
}

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
		var all []message
		for _, rule := range tt.warnings {
			all = append(all, message{Problem: warning(rule)})
		}
		got := limitWarnings(all)
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
		{"one two three", 12, "one two…"}, {"one two: three", 12, "one two…"}, {"one two-and-three-and-four", 20, "one two-and-three-a…"},
		{"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"äöü", 3, "äöü"}, {"äöüß", 3, "äö…"}, {"", 3, ""}, {"\xff\xff\xff\xff", 3, "\xff\xff…"},
	} {
		if got := clipWarning(tt.in, tt.limit); got != tt.want {
			t.Errorf("clipWarning(%q, %d) = %q, want %q", tt.in, tt.limit, got, tt.want)
		}
	}
}
