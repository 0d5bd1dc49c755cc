package jsontree

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
)

func TestReadAndWrite(t *testing.T) {
	for _, text := range []string{
		`{}`, `[]`, `null`, `"a"`, `1.50`, `{"a":1.50,"b":[true,null,{"c":"\u00e9\n"}]}`,
		`{ "spaced" : [ 1 , 2 ] }`, `{"a/b~c":{"":0}}`, `"\ud83d\ude00"`,
	} {
		if got := Parse(text).JSON(); got != text {
			t.Errorf("untouched %s came out as %s", text, got)
		}
		// Rebuilding every node must keep the value.
		if got := rebuild(Parse(text)).JSON(); !sameJSON(t, got, text) {
			t.Errorf("rebuilt %s came out as %s", text, got)
		}
	}
}

func TestUnknownFieldsArePreserved(t *testing.T) {
	in := Parse(`{"spec":{"future":{"x":1e400, "y":[ 1.0 ]},"containers":[{"name":"a"}]}}`)
	out := in.Put(NewString("v"), "metadata", "annotations", "k")
	want := `{"spec":{"future":{"x":1e400, "y":[ 1.0 ]},"containers":[{"name":"a"}]},"metadata":{"annotations":{"k":"v"}}}`
	if got := out.JSON(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if in.Get("metadata") != nil {
		t.Error("the original was changed")
	}
}

func TestStrings(t *testing.T) {
	for _, s := range []string{"", "a", "\"\\\n\t\r\x00\x1f\x7f", "é😀", "bad\xffbyte", "<script>&", "\u2028"} {
		var back string
		if err := json.Unmarshal(AppendString(nil, s), &back); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		want := string([]rune(s)) // invalid bytes become U+FFFD
		if back != want || NewString(s).Text() != want {
			t.Errorf("%q: came back as %q and %q", s, back, NewString(s).Text())
		}
	}
}

func TestDiff(t *testing.T) {
	for _, c := range []struct{ a, b, ops string }{
		{`{"a":1}`, `{"a":1}`, ``},
		{`{"a":1}`, `{"a":2}`, `replace /a 2`},
		{`{"a":1}`, `{"b":2}`, `remove /a;add /b 2`},
		{`{"a":{"x/y":1}}`, `{"a":{"x/y":2,"~":3}}`, `replace /a/x~1y 2;add /a/~0 3`},
		{`[1,2]`, `[0,1,2]`, `add /0 0`},
		{`[1,2]`, `[1,2,3]`, `add /2 3`},
		{`[1,2,3]`, `[1,3]`, `remove /1`},
		{`[{"name":"a","x":1}]`, `[{"name":"a","x":2},{"name":"b"}]`, `replace /0/x 2;add /1 {"name":"b"}`},
		{`{"a":null}`, `{"a":null}`, ``},
		{`{"a":null}`, `{"a":1}`, `replace /a 1`},
		{`1`, `{"a":1}`, `replace  {"a":1}`},
	} {
		got := ""
		for _, op := range Diff(Parse(c.a), Parse(c.b)) {
			if got != "" {
				got += ";"
			}
			got += op.Op + " " + op.Path
			if op.Value != nil {
				got += " " + op.Value.JSON()
			}
		}
		if got != c.ops {
			t.Errorf("%s to %s: %s, want %s", c.a, c.b, got, c.ops)
		}
	}
}

// TestDiffApplies: an independent implementation of RFC 6902 that applies the
// difference must arrive at the target.
func TestDiffApplies(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 3000 {
		a := randomObject(r, 3)
		b := vary(r, a)
		textA, _ := json.Marshal(a)
		textB, _ := json.Marshal(b)
		ops := []map[string]any{}
		for _, op := range Diff(Parse(string(textA)), Parse(string(textB))) {
			o := map[string]any{"op": op.Op, "path": op.Path}
			if op.Value != nil {
				o["value"] = json.RawMessage(op.Value.JSON())
			}
			ops = append(ops, o)
		}
		text, _ := json.Marshal(ops)
		patch, err := jsonpatch.DecodePatch(text)
		if err != nil {
			t.Fatal(err)
		}
		got, err := patch.Apply(textA)
		if err != nil {
			t.Fatalf("%d: %s to %s by %s: %v", n, textA, textB, text, err)
		}
		if !sameJSON(t, string(got), string(textB)) {
			t.Fatalf("%d: %s by %s gives %s, want %s", n, textA, text, got, textB)
		}
	}
}

func sameJSON(t *testing.T, a, b string) bool {
	t.Helper()
	var x, y any
	if err := json.Unmarshal([]byte(a), &x); err != nil {
		t.Fatalf("%s: %v", a, err)
	}
	if err := json.Unmarshal([]byte(b), &y); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return reflect.DeepEqual(x, y)
}

func rebuild(n *Node) *Node {
	switch n.Kind() {
	case Object:
		var members []Member
		for _, m := range n.Members() {
			members = append(members, Member{m.Key, rebuild(m.Value)})
		}
		return NewObject(members...)
	case Array:
		var items []*Node
		for _, item := range n.Items() {
			items = append(items, rebuild(item))
		}
		return NewArray(items...)
	case String:
		return NewString(n.Text())
	}
	return n
}

func randomObject(r *rand.Rand, depth int) map[string]any {
	out := map[string]any{}
	for range r.IntN(5) {
		out[fmt.Sprintf("k%d", r.IntN(6))] = randomValue(r, depth)
	}
	return out
}

func randomValue(r *rand.Rand, depth int) any {
	switch k := r.IntN(6); {
	case k == 0 && depth > 0:
		return randomObject(r, depth-1)
	case k == 1 && depth > 0:
		list := make([]any, 0)
		for range r.IntN(4) {
			list = append(list, randomValue(r, depth-1))
		}
		return list
	case k == 2 && depth > 0:
		list := make([]any, 0)
		for _, n := range r.Perm(4)[:r.IntN(4)] {
			item := randomObject(r, depth-1)
			item["name"] = fmt.Sprintf("n%d", n)
			list = append(list, item)
		}
		return list
	case k == 3:
		return fmt.Sprintf("s%d\"\n/~", r.IntN(3))
	case k == 4:
		return r.IntN(2) == 0
	}
	return float64(r.IntN(3))
}

// vary changes a value here and there and keeps most of it.
func vary(r *rand.Rand, v map[string]any) map[string]any {
	out := map[string]any{}
	for k, value := range v {
		switch r.IntN(8) {
		case 0:
			continue
		case 1:
			out[k] = randomValue(r, 2)
		default:
			out[k] = varyValue(r, value)
		}
	}
	if r.IntN(3) == 0 {
		out[fmt.Sprintf("k%d", r.IntN(9))] = randomValue(r, 2)
	}
	return out
}

func varyValue(r *rand.Rand, v any) any {
	switch v := v.(type) {
	case map[string]any:
		return vary(r, v)
	case []any:
		list := make([]any, 0)
		for _, item := range v {
			if r.IntN(6) > 0 {
				list = append(list, varyValue(r, item))
			}
			if r.IntN(8) == 0 {
				list = append(list, randomValue(r, 1))
			}
		}
		return list
	}
	return v
}
