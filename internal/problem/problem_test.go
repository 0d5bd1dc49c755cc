package problem

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestString(t *testing.T) {
	for _, c := range []struct {
		p    Problem
		want string
	}{
		{Invalid("", "10.0.0.0/33", "an IPv4 prefix has at most 32 bits", "use /32"), `"10.0.0.0/33": an IPv4 prefix has at most 32 bits; use /32`},
		{Invalid("a.b", "x", "not a number", "").In("values.yaml").On(3, 5), `values.yaml:3:5: a.b: "x": not a number`},
		{Invalid("a.b", "x", "not a number", "").In("values.yaml").On(3, 0), `values.yaml:3: a.b: "x": not a number`},
		{Invalid("a.b", "x", "not a number", "").On(3, 5), `line 3, column 5: a.b: "x": not a number`},
		{Invalid("a.b", "", "not a number", "").On(3, 0), `line 3: a.b: not a number`},
		{Required("spec.hosts", "").In("ServiceEntry a/b"), `ServiceEntry a/b: spec.hosts: required`},
		{Duplicate("spec.hosts", "a.com", "host"), `spec.hosts: "a.com": duplicate host; remove one of the two`},
		{OutOfRange("x", "300", "", 0, 100), `x: "300": must be in the range 0..100`},
		{Port("spec.ports[0].number", "70000"), `spec.ports[0].number: "70000": port number must be in the range 1..65535`},
		{Negative("x", "-1"), `x: "-1": must not be negative`},
		{TooLong("x", "abc", 2), `x: "abc": 3 bytes exceed the maximum length of 2`},
		{NotSupported("mode", "A", "B", "C"), `mode: "A": must be one of "B", "C"`},
		{Unknown("global.prox", "key", "proxy"), `global.prox: unknown key; did you mean "proxy"?`},
		{Unknown("global.prox", "key", ""), `global.prox: unknown key`},
		{NoEffect("x", "y", "it is not read", "remove it"), `x: "y": no effect: it is not read; remove it`},
		{Conflict("--diff", "", "--in-place", "pass one of the two"), `--diff: cannot be combined with --in-place; pass one of the two`},
		{Invalid("a\x1b[31m", "b\nc", "d\n", ""), "a\uFFFD[31m: \"b\\nc\": d\uFFFD"},
	} {
		if got := c.p.String(); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestSeverity(t *testing.T) {
	l := List{Invalid("a", "", "wrong", ""), NoEffect("b", "", "ignored", "")}
	if got := fmt.Sprint(len(l.Errors()), len(l.Warnings()), l.HasErrors(), l.AsWarnings().HasErrors(), l[0].Severity, l[1].Severity); got != "1 1 true false error warning" {
		t.Error(got)
	}
	if l.Warnings().Err() != nil {
		t.Error("a list of warnings is an error")
	}
	var list List
	if err := l.Err(); !errors.As(err, &list) || len(list) != 1 {
		t.Errorf("the error of a list: %v", err)
	}
}

func TestOf(t *testing.T) {
	p := Invalid("a", "", "wrong", "")
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, ""}, {p, "a: wrong"}, {List{p, p}, "a: wrong\na: wrong"}, {fmt.Errorf("read: %w", List{p}), "a: wrong"}, {errors.New("lost"), "lost"},
	} {
		if got := Of(c.err).Error(); got != c.want {
			t.Errorf("%v: got %q, want %q", c.err, got, c.want)
		}
	}
}

func TestOf_DoesNotAllocateWithoutError(t *testing.T) {
	if n := testing.AllocsPerRun(100, func() { _ = Of(nil) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestListIsBounded(t *testing.T) {
	var l List
	for range maxLines + 3 {
		l.Add(Invalid("a", strings.Repeat("é", 1000), "wrong", ""))
	}
	text := l.Err().Error()
	if lines := strings.Split(text, "\n"); len(lines) != maxLines+1 || lines[maxLines] != "and 3 more" {
		t.Errorf("%d lines, the last %q", len(lines), lines[len(lines)-1])
	}
	if most := (maxLines + 1) * (maxShown + 30); len(text) > most {
		t.Errorf("%d bytes, more than %d", len(text), most)
	}
}

func TestSort_IsStable(t *testing.T) {
	at := func(source string, line, column int, rule string) Problem {
		return Invalid("", "", rule, "").In(source).On(line, column)
	}
	l := List{at("b", 2, 1, "5"), at("c", 1, 1, "6"), at("b", 1, 2, "3"), at("b", 1, 2, "4"), at("z", 9, 9, "1"), at("a", 1, 1, "2")}
	l.Sort("z", "a", "b")
	for i, p := range l {
		if p.Rule != fmt.Sprint(i+1) {
			t.Errorf("at %d: %s", i, p)
		}
	}
}

func TestClip_KeepsRunes(t *testing.T) {
	for limit := range 8 {
		if got := Clip("aéöü", limit); strings.ContainsRune(got, '\uFFFD') || len(strings.TrimSuffix(got, "…")) > limit {
			t.Errorf("Clip to %d: %q", limit, got)
		}
	}
}
