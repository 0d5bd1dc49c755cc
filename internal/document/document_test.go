package document

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"

	"github.com/outrider-mesh/outrider/internal/problem"
)

func TestLoad(t *testing.T) {
	const limit = 1 << 20
	for _, c := range []struct{ name, text, want string }{
		{"types", "a: 1\nb: 0x1f\nc: 1.5\nd: true\ne: yes\nf: ~\ng: 2024-01-01\nh: '1'\n", `{"a":1,"b":31,"c":1.5,"d":true,"e":"yes","f":null,"g":"2024-01-01","h":"1"}`},
		{"JSON with tabs", "{\n\t\"a\": [1,\n\t\t{\"b\": null}]}", `{"a":[1,{"b":null}]}`},
		{"aliases and merge keys", "a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\nc: *a\nd: {<<: [*a, {z: 4, y: 5}]}", `{"a":{"x":1,"y":2},"b":{"x":3,"y":2},"c":{"x":1,"y":2},"d":{"x":1,"y":2,"z":4}}`},
		{"byte order mark", "\uFEFFa: 1\n", `{"a":1}`},
		{"carriage returns", "a: 1\r\nb: |\r\n  x\r\n", `{"a":1,"b":"x\n"}`},
		{"empty", " \n# x\n", `null`},
		{"null", "null", `null`},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, found := Load(c.text, limit)
			if len(found) > 0 {
				t.Fatal(found)
			}
			got, err := json.Marshal(n.Any())
			if err != nil || string(got) != c.want {
				t.Errorf("got %s, %v\nwant %s", got, err, c.want)
			}
		})
	}
	for _, c := range []struct{ name, text, want string }{
		{"tag", "a: !!binary aGk=", `line 1, column 4: a: unsupported YAML tag "!!binary"; remove it`},
		{"infinity", "a: .inf", "line 1, column 4: a: must be a finite number"},
		{"key", "? [a]\n: 1", "line 1, column 3: keys must be strings"},
		{"merge", "<<: 1", `the value of "<<" must be a mapping`},
		{"anchor", "a: *b", "line 1, column 4: not valid YAML or JSON: unknown anchor"},
		{"zero byte", "a: \x00", "not valid YAML or JSON: control characters are not allowed"},
		{"duplicates, each", "a: 1\nb: 1\na: 2\nb: 2", "line 3, column 1: a: duplicate key, first on line 1; remove one of the two|line 4, column 1: b: duplicate key"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, found := Load(c.text, limit)
			want := strings.Split(c.want, "|")
			if len(found) != len(want) {
				t.Fatalf("%v", found)
			}
			for i := range want {
				if !strings.Contains(found[i].String(), want[i]) {
					t.Errorf("got %s\nwant %s", found[i], want[i])
				}
			}
		})
	}
}

func TestNearest(t *testing.T) {
	known := []string{"includeIPRanges", "excludeIPRanges", "image", "hub"}
	for word, want := range map[string]string{
		"excludeIPRange": "excludeIPRanges", "INCLUDEIPRANGES": "includeIPRanges", "imgae": "image", "images": "image",
		"hubs": "hub", "h": "", "": "", "completely": "", "hub": "", strings.Repeat("x", 1000): "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestMessageAndObject(t *testing.T) {
	n, found := Load("proxy_metadata: {A: b}\nproxyMetadata: {C: d}\nterminationDrainDuration: -1500ms\nrunTime: {}\nproxyStatsMatcher: {inclusionPrefixes: [a, 1], nope: 2}\n"+
		"gatewayTopology: {numTrustedProxies: -1}\nconcurrency: 2\nholdApplicationUntilProxyStarts: yes\n", 1000)
	if found != nil {
		t.Fatal(found)
	}
	pc := &meshconfig.ProxyConfig{}
	want := []string{
		"line 2, column 1: p.proxyMetadata: field set by both its JSON and proto name",
		"line 4, column 1: p.runTime: unknown key",
		"line 5, column 44: p.proxyStatsMatcher.inclusionPrefixes[1]: 1: must be a string; put it in quotes",
		"line 5, column 48: p.proxyStatsMatcher.nope: unknown key",
		"line 6, column 38: p.gatewayTopology.numTrustedProxies: -1: must be a whole number, zero or more",
		`line 8, column 34: p.holdApplicationUntilProxyStarts: "yes": must be true or false`,
	}
	same(t, Message(n, "p", pc), want)
	if pc.ProxyMetadata["A"] != "b" || pc.Concurrency.GetValue() != 2 || pc.TerminationDrainDuration.GetNanos() != -5e8 || len(pc.ProxyStatsMatcher.InclusionPrefixes) != 1 {
		t.Errorf("the valid fields are missing: %v", pc)
	}

	n, _ = Load("name: x\nemptyDir: {sizeLimit: many, mediun: Memory}\nprojected: {sources: [{secret: {name: 3}}, 4], defaultMode: 0.5}\nSecret: {}\n", 1000)
	v := corev1.Volume{}
	same(t, Object(n, "", &v), []string{
		`line 2, column 23: emptyDir.sizeLimit: "many": invalid quantity`, `line 2, column 29: emptyDir.mediun: unknown key; did you mean "medium"?`,
		`line 3, column 39: projected.sources[0].secret.name: 3: must be a string`, `line 3, column 44: projected.sources[1]: 4: must be a mapping`,
		`line 3, column 61: projected.defaultMode: 0.5: must be a whole number of 32 bits`, `line 4, column 1: Secret: unknown key; did you mean "secret"?`,
	})
	if v.Name != "x" || v.EmptyDir == nil {
		t.Errorf("the valid fields are missing: %v", v)
	}
}

func same(t *testing.T, got problem.List, want []string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d problems, want %d: %v", len(got), len(want), got)
	}
	for i := range want {
		if !strings.Contains(got[i].String(), want[i]) {
			t.Errorf("got %s\nwant %s", got[i], want[i])
		}
	}
}

// TestPlace: the place of a key or an element, or that of the last part that exists.
func TestPlace(t *testing.T) {
	n, found := Load("a:\n  b:\n  - c: 1\n  - {d.e: 2}\n", 1000)
	if len(found) > 0 {
		t.Fatal(found)
	}
	for path, want := range map[string]string{
		"a": "1:1 true", "a.b": "2:3 true", "a.b[0]": "3:5 true", "a.b[0].c": "3:5 true", `a.b[1]["d.e"]`: "4:6 true",
		"a.b[2]": "2:3 false", "a.x": "1:1 false", "a.b.c": "2:3 false", "": "1:1 true", "a[": "1:1 false", `a["`: "1:1 false",
	} {
		line, column, exact := n.Place(path)
		if got := fmt.Sprintf("%d:%d %v", line, column, exact); got != want {
			t.Errorf("%q: %s, want %s", path, got, want)
		}
	}
	if line, _, exact := (*Node)(nil).Place("a"); line != 0 || exact {
		t.Error("a place in nothing")
	}
}
