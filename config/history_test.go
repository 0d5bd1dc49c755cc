package config

import (
	"bytes"
	"compress/gzip"
	"maps"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

var (
	historyAt = time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	historyIn = LocationOf("istio-system", "")
)

func recordOf(t *testing.T, hash, version string, texts Texts) Record {
	t.Helper()
	r, err := NewRecord(hash, historyAt, version, historyIn, texts)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func hashes(h History) string {
	var out []string
	for _, r := range h {
		out = append(out, r.Latest())
	}
	return strings.Join(out, " ")
}

func TestHistoryRoundTrip(t *testing.T) {
	texts := []Texts{{Config: "policy: enabled\n", Values: "global: {hub: é\u0000}", Mesh: "a: b\n"}, {Mesh: "only"}, {}}
	var h History
	for i, x := range texts {
		r := recordOf(t, strings.Repeat("a", i+1), "v1", x)
		r.Ranges = []byte(`{"a":1}`)
		h, _ = h.With(r, x)
	}
	data, stored, err := h.Data()
	if err != nil {
		t.Fatal(err)
	}
	got, errs := ReadHistory(data, stored)
	if len(errs) != 0 || hashes(got) != "aaa aa a" {
		t.Fatalf("%s, %v", hashes(got), errs)
	}
	for i, r := range got {
		x, err := r.Read()
		if want := texts[len(texts)-1-i]; err != nil || x != want || !r.Is(want) || r.Time != historyAt.Truncate(time.Second) || string(r.Ranges) != `{"a":1}` {
			t.Errorf("%+v, %v, want %+v", x, err, want)
		}
	}
	again, _, err := got.Data()
	if err != nil || !maps.Equal(again, data) {
		t.Errorf("%v, %v, want %v", again, err, data)
	}
}

// Whatever is changed in the object, nothing of it is taken for a configuration.
func TestHistoryDetectsChanges(t *testing.T) {
	r := recordOf(t, "aa", "v1", Texts{Mesh: "accessLogFile: /dev/stdout"})
	r.Ranges = []byte(`{"cluster":"10.0.0.0/8"}`)
	other := recordOf(t, "aa", "v1", Texts{Mesh: "accessLogFile: /dev/null"})
	data, stored, err := History{r}.Data()
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		line   func(string) string
		stored []byte
		want   string
	}{
		"cut":            {nil, stored["aa"][:len(stored["aa"])-9], "was changed or cut"},
		"other bytes":    {nil, other.stored, "was changed or cut"},
		"no bytes":       {nil, []byte{}, `binaryData has no key "aa"`},
		"other ranges":   {func(s string) string { return strings.Replace(s, "10.0", "11.0", 1) }, nil, "was changed or cut"},
		"other version":  {func(s string) string { return strings.Replace(s, "v1", "v2", 1) }, nil, "was changed or cut"},
		"no JSON":        {func(string) string { return "hello" }, nil, `key "history", line 1: invalid character`},
		"too many lines": {func(s string) string { return strings.Repeat(s, 20) }, nil, "more than 6 lines"},
		"too long":       {func(s string) string { return strings.Repeat(s, 2000) }, nil, "exceed the maximum length"},
	} {
		d, b := maps.Clone(data), maps.Clone(stored)
		if tt.line != nil {
			d["history"] = tt.line(d["history"])
		}
		if tt.stored != nil {
			b["aa"] = tt.stored
		}
		h, errs := ReadHistory(d, b)
		if len(errs) == 0 || !strings.Contains(errs[len(errs)-1].Error(), tt.want) || len(errs) == 1 && len(h) != 0 && tt.stored != nil {
			t.Errorf("%s: %d records, %v, want %s", name, len(h), errs, tt.want)
		}
	}
	bomb := r
	bomb.stored = pressed(t, maxUnpacked+1)
	if _, err := bomb.Read(); err == nil || !strings.Contains(err.Error(), "decompressed size exceeds") {
		t.Errorf("a bomb: %v", err)
	}
	wrong := r
	wrong.stored = other.stored
	if _, err := wrong.Read(); err == nil || !strings.Contains(err.Error(), "do not have the digest") {
		t.Errorf("texts of another record: %v", err)
	}
}

func TestHistoryWith(t *testing.T) {
	a, b, c := Texts{Mesh: "a"}, Texts{Mesh: "b"}, Texts{Mesh: "c"}
	h := History{recordOf(t, "b1", "v1", b), recordOf(t, "a1", "v1", a)}
	for _, tt := range []struct {
		name    string
		record  Record
		newest  Texts // of the ConfigMaps
		want    string
		changed bool
	}{
		{"the same again", recordOf(t, "b1", "v1", b), b, "b1 a1", false},
		{"a new one", recordOf(t, "c1", "v1", c), c, "c1 b1 a1", true},
		{"an earlier one on purpose", recordOf(t, "a1", "v1", a), a, "a1 b1", true},
		{"another version", recordOf(t, "b2", "v2", b), b, "b2 a1", true},
		{"other ranges of an earlier one, while the newest is rejected here", recordOf(t, "a2", "v1", a), b, "b1 a2", true},
		{"an earlier one, while the newest is rejected here", recordOf(t, "a1", "v1", a), b, "b1 a1", false},
		{"a new one, whose successor is rejected here and not elsewhere", recordOf(t, "c1", "v1", c), b, "b1 c1 a1", true},
		{"a new one, whose successor is rejected", recordOf(t, "c1", "v1", c), Texts{Mesh: "bad"}, "c1 b1 a1", true},
		{"another comment", recordOf(t, "b1", "v1", Texts{Mesh: "b # comment"}), Texts{Mesh: "b # comment"}, "b1 a1", true},
	} {
		got, changed := h.With(tt.record, tt.newest)
		if hashes(got) != tt.want || changed != tt.changed {
			t.Errorf("%s: %s, %v, want %s", tt.name, hashes(got), changed, tt.want)
		}
		if again, changed := got.With(tt.record, tt.newest); changed || hashes(again) != tt.want {
			t.Errorf("%s, again: %s, %v", tt.name, hashes(again), changed)
		}
		if hashes(h) != "b1 a1" {
			t.Fatalf("%s changes the history it was made from", tt.name)
		}
	}
	got, _ := h.With(recordOf(t, "b2", "v2", b), b)
	if r := got[0]; r.Hash != "b1" || !r.Known("b1") || !r.Known("b2") || !r.AppliedBy("v1") || !r.AppliedBy("v2") || r.AppliedBy("v3") {
		t.Errorf("%+v", r)
	}
	for n := range 2 * MaxRecords {
		x := Texts{Mesh: strings.Repeat("x", n+1)}
		h, _ = h.With(recordOf(t, x.Mesh, "v1", x), x)
	}
	if len(h) != MaxRecords {
		t.Errorf("%d records", len(h))
	}
}

// The oldest records that do not fit are omitted; a configuration that does not fit
// alone is an error.
func TestHistorySize(t *testing.T) {
	random := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+/"[rand.IntN(64)]
		}
		return string(b)
	}
	var h History
	for n, hash := range []string{"a", "b", "c"} {
		x := Texts{Values: random(500<<10 + n)}
		h, _ = h.With(recordOf(t, hash, "v1", x), x)
	}
	data, stored, err := h.Data()
	if err != nil || len(stored) != 2 || len(stored["c"]) == 0 || strings.Count(data["history"], "\n") != 2 {
		t.Errorf("%d stored, %v", len(stored), err)
	}
	big := Texts{Values: random(1 << 20), Mesh: random(1 << 20)}
	h, _ = h.With(recordOf(t, "big", "v1", big), big)
	if _, _, err := h.Data(); err == nil || !strings.Contains(err.Error(), "compressed bytes exceed") {
		t.Errorf("%v", err)
	}
}

func TestKeyProblems(t *testing.T) {
	injector, mesh := historyIn.Keys("istio-sidecar-injector"), historyIn.Keys("istio")
	for _, tt := range []struct{ known, data, binary, want string }{
		{"injector", "", "", ""},
		{"injector", "values", "", ""},
		{"injector", "values other", "", ""},
		{"mesh", "meshNetworks", "", ""},
		{"mesh", "mesh.yaml a", "", `data: has the key "a", which is not read, and none of "mesh", "meshNetworks"; rename the key; for the defaults, remove it`},
		{"injector", "valeus", "", `data: has the key "valeus", which is not read, and none of "config", "values"; rename it to "values"; for the defaults, remove it`},
		{"injector", "config", "values", `binaryData["values"]: not read: a text must be UTF-8, in data; save it as UTF-8, and set data["values"]`},
	} {
		known := injector
		if tt.known == "mesh" {
			known = mesh
		}
		got := strings.Join(KeyProblems(known, strings.Fields(tt.data), strings.Fields(tt.binary)).Strings(), "\n")
		if got != tt.want {
			t.Errorf("%+v: %s", tt, got)
		}
	}
	if historyIn.Keys("other") != nil {
		t.Error("another ConfigMap has keys")
	}
}

func FuzzReadHistory(f *testing.F) {
	r, err := NewRecord("aa", historyAt, "v1", historyIn, Texts{Mesh: "m"})
	if err != nil {
		f.Fatal(err)
	}
	data, stored, err := History{r}.Data()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data["history"], stored["aa"])
	f.Fuzz(func(t *testing.T, text string, raw []byte) {
		h, _ := ReadHistory(map[string]string{"history": text}, map[string][]byte{"aa": raw})
		for _, r := range h {
			if x, err := r.Read(); err == nil && !bytes.Equal(raw, stored["aa"]) && x.Mesh == "m" {
				continue // compressed otherwise
			}
		}
	})
}

// pressed is n zero bytes, compressed.
func pressed(t *testing.T, n int) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(make([]byte, n)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
