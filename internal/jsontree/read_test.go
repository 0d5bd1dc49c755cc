package jsontree

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"
)

// texts are values, valid and not, that are put into every place of readPlaces.
var texts = []string{
	`null`, `true`, `false`, `nul`, `nulll`, `True`, `""`, `"a"`, `"`, `"a`, `"\`, `"\"`, `"a"b`, `'a'`,
	`"12345678"`, `"1234567\""`, `"12345678\\"`, "\"1234567\x1f\"", "\"12345678\x7f\"", `"1234567é"`, `"123456😀"`, "\"1234567\xff\"", "\"\xed\xa0\x80\"", "\"\x00\"", "\"\t\"",
	`"\n\r\t\b\f\/\"\\"`, `"\a"`, `"\u00e9"`, `"\u00E9x"`, `"\u00g9"`, `"\u00e"`, `"\u+0e9"`, `"\u_0e9"`, `"\ud83d\ude00"`, `"\ud83d"`, `"\ude00"`, `"\ud83d\u0041"`, `"\ud83dxude00"`, `"\ude00\ud83d"`, `"\u0000"`,
	`0`, `-0`, `01`, `-`, `+1`, `1.`, `.5`, `1.5`, `1e`, `1e+`, `1E-05`, `1.50e400`, `--1`, `1_0`, `0x1`, `NaN`, `9223372036854775808`,
	`{}`, `[]`, `{`, `[`, `}`, `]`, `[1]`, `[1,]`, `[,1]`, `[1 2]`, `[1,2,[3],{}]`, `[1}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{a:1}`, `{"a":1 "b":2}`, `{"a":1]`, `{1:2}`,
	`{"a":1,"b":[true,null,{"c":"\u00e9\n"}],"a":2}`, `{"\u0061\"":1,"é":{"":[]}}`, `{"a\q":1}`, "{\"\xff\":1}",
	" \t\r\n{ \"a\" :\n[ 1 , 2 ] , \"b\" : { } }\r", "\f1", "1\f", "\u00a01", "\ufeff{}", ``, ` `, `1 2`, `{}{}`, "{}\x00", `// a`, `,`,
}

var readPlaces = []string{`%s`, `[%s]`, `{"a":%s}`, `{"k":[0,%s,"x"],"z":{"y":%s}}`, ` %s `, `[{"a":[%s]},%s]`}

// readAlike is a property: a Reader reads the valid texts, and what it returns is what
// Parse returns. It rejects what is deeper than maxRead, and what encoding/json changes.
func readAlike(t *testing.T, r *Reader, text string) {
	t.Helper()
	got, ok := r.Read(text)
	defer r.Release()
	var value any
	valid := json.Unmarshal([]byte(text), &value) == nil || json.Valid([]byte(text)) // a number may be too large
	if ok && (!valid || !utf8.ValidString(text)) {
		t.Fatalf("read, while it is not valid: %.300q", text)
	}
	if !ok {
		if valid && utf8.ValidString(text) && !changed(text) && depth(text) <= maxRead {
			t.Errorf("not read, while it is valid: %.300q", text)
		}
		return
	}
	sameTree(t, got, Parse(text))
}

// changed reports whether encoding/json replaces half of a surrogate pair in a text by
// U+FFFD. One in the text itself does not count.
func changed(text string) bool {
	var value any
	d := json.NewDecoder(strings.NewReader(strings.ReplaceAll(text, "\ufffd", "")))
	d.UseNumber()
	_ = d.Decode(&value)
	out, _ := json.Marshal(value)
	return strings.Contains(string(out), "\ufffd")
}

func depth(text string) (deepest int) {
	d := json.NewDecoder(strings.NewReader(text))
	at := 0
	for {
		token, err := d.Token()
		if err != nil {
			return deepest
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			at++
			deepest = max(deepest, at)
		case json.Delim('}'), json.Delim(']'):
			at--
		}
	}
}

// sameTree compares every part of two trees.
func sameTree(t *testing.T, got, want *Node) {
	t.Helper()
	if got.Kind() != want.Kind() || got.JSON() != want.JSON() || got.Text() != want.Text() {
		t.Fatalf("%d %q %q, want %d %q %q", got.Kind(), got.JSON(), got.Text(), want.Kind(), want.JSON(), want.Text())
	}
	if len(got.Members()) != len(want.Members()) || len(got.Items()) != len(want.Items()) {
		t.Fatalf("%q has %d members and %d items, want %d and %d", got.JSON(), len(got.Members()), len(got.Items()), len(want.Members()), len(want.Items()))
	}
	for i, m := range got.Members() {
		if m.Key != want.Members()[i].Key {
			t.Fatalf("key %q, want %q", m.Key, want.Members()[i].Key)
		}
		sameTree(t, m.Value, want.Members()[i].Value)
	}
	for i, item := range got.Items() {
		sameTree(t, item, want.Items()[i])
	}
}

func TestReader_Alike(t *testing.T) {
	var r Reader
	for _, place := range readPlaces {
		for _, text := range texts {
			readAlike(t, &r, strings.ReplaceAll(place, "%s", text))
		}
	}
	for _, n := range []int{1, 63, 64, 65, 1000, 5000} {
		readAlike(t, &r, "["+strings.Repeat(`{"a":[1],"b":"c"},`, n)+"0]")
	}
	for _, n := range []int{maxRead - 1, maxRead, maxRead + 1, 5000} {
		readAlike(t, &r, strings.Repeat("[", n)+strings.Repeat("]", n))
		readAlike(t, &r, strings.Repeat(`{"a":`, n)+"1"+strings.Repeat("}", n))
	}
}

// FuzzReader looks for more.
func FuzzReader(f *testing.F) {
	for _, text := range texts {
		f.Add(text)
	}
	var r Reader
	f.Fuzz(func(t *testing.T, text string) { readAlike(t, &r, text) })
}

// After Release nothing refers to the text, and what a large one took is not kept.
func TestReader_Release(t *testing.T) {
	var r Reader
	for _, n := range []int{10, 10_000} {
		if _, ok := r.Read("[" + strings.Repeat(`{"a":"b","c":[true]},`, n) + "0]"); !ok {
			t.Fatal("not read")
		}
		r.Release()
		for _, node := range r.nodes.values {
			if node != (Node{}) {
				t.Fatal("a node is left")
			}
		}
		for _, m := range r.members.values {
			if m != (Member{}) {
				t.Fatal("a member is left")
			}
		}
		for _, m := range r.openMembers[:cap(r.openMembers)] {
			if m != (Member{}) {
				t.Fatal("a member is left")
			}
		}
	}
	if kept := len(r.nodes.values); kept > maxKept {
		t.Errorf("%d nodes are kept", kept)
	}
}
