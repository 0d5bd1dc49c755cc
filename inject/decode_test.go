package inject

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/outrider-mesh/outrider/internal/jsontree"

	corev1 "k8s.io/api/core/v1"
	kjson "sigs.k8s.io/json"
)

// decodedAlike is a property: what the fast decoder accepts, the API server's decoder
// decodes to the same object. What it rejects is decided by the API server's.
func decodedAlike[T any](t *testing.T, text []byte) (fast bool) {
	t.Helper()
	var got, want T
	if jsonv2.Unmarshal(text, &got) != nil {
		return false
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(text, &want); err != nil {
		t.Errorf("accepted, while the API server's decoder rejects: %v\n%.300q", err, text)
	} else if !reflect.DeepEqual(got, want) {
		t.Errorf("decoded to\n%+v\nwant\n%+v\n%.300q", got, want, text)
	}
	return true
}

// treeDecodedAlike is the same property of pods that are decoded from their trees, without
// managedFields.
func treeDecodedAlike(t *testing.T, d *jsontree.Decoder[corev1.Pod], text []byte) (fast bool) {
	t.Helper()
	var r jsontree.Reader
	var got, want corev1.Pod
	tree, ok := r.Read(string(text))
	if !ok || !d.Decode(tree, &got) {
		return false
	}
	err := kjson.UnmarshalCaseSensitivePreserveInts(text, &want)
	if want.ManagedFields = nil; err != nil && !strings.Contains(string(text), "managedFields") {
		t.Errorf("accepted, while the API server's decoder rejects: %v\n%.300q", err, text)
	} else if err == nil && !reflect.DeepEqual(got, want) {
		t.Errorf("decoded to\n%+v\nwant\n%+v\n%.300q", got, want, text)
	}
	return true
}

func podDecoder(t testing.TB) *jsontree.Decoder[corev1.Pod] {
	t.Helper()
	d, err := jsontree.NewDecoder[corev1.Pod]("metadata", "managedFields")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// oddValues are put in every place of an object.
var oddValues = []string{
	`null`, `true`, `""`, `"text"`, `"5"`, `" 5 "`, `"50%"`, `0`, `-0`, `5`, `1e3`, `1E3`, `1.0`, `1.5`, `1e400`, `-1`,
	`2147483648`, `9007199254740993`, `9223372036854775807`, `9223372036854775808`, `18446744073709551616`,
	`[]`, `[null]`, `[[]]`, `[""]`, `[0]`, `["a",null,"a"]`, `[{}]`, `[null,{}]`, `{}`, `{"":""}`, `{"":null}`, `{"a":null}`, `{"a":"b"}`, `{"a":5}`, `{"a":1,"a":2}`, `{"a":{"a":1,"a":2}}`,
	`{"\u0000":"\u0000"}`, `{"a\u0062":"\u0061"}`, `"\u0000"`, `"\ud83d\ude00"`, `"\ud800"`, `"\udc00\ud800"`, `"\/\b\f\u2028"`, "\"\u2028\"", "\"\xff\"", "\"\xed\xa0\x80\"", "\"\x7f\"", "\"\t\"", "{\"\xff\":1}",
	`"1Gi"`, `"1.5"`, `"1e3"`, `"100m"`, `"0x10"`, `"1e99999"`, `" 1"`, `"+1"`, `"\u0031"`, `"-0"`,
	`"2026-01-01T00:00:00Z"`, `"2026-01-01T01:00:00.123456789+01:00"`, `"2026-01-01t00:00:00z"`, `"2026-01-01T00:00:60Z"`, `"2026-01-01T24:00:00Z"`, `"2026-01-01T0:00:00Z"`, `"2026-01-01T00:00:00,5Z"`, `"2026-01-01T00:00:00.123456Z"`,
	`"YQ=="`, `"YQ"`, `"Y\nQ=="`, `"YR=="`, `"_-"`,
	`[1,2] `, ` { } `, `{"f:a":{".":{},"f:b":{ }}}`, `{"name":null}`, `{"Name":"a"}`, `{"name":"a","Name":"b"}`, `{"name":"a","name":"b"}`, `{"inline":{"name":"x"}}`,
	``, `,`, `01`, `.5`, `+1`, `NaN`, `'a'`, `{"a":1,}`, `[1,]`, `{a:1}`, `// `, `nul`, `True`,
}

// places are texts that put a value in every place of a type, with %s for the value.
func places(t reflect.Type, around string) []string {
	put := func(in string) string { return strings.Replace(around, "%s", in, 1) }
	switch t.Kind() {
	case reflect.Pointer:
		return places(t.Elem(), around)
	case reflect.Slice:
		return append([]string{around}, places(t.Elem(), put(`[%s]`))...)
	case reflect.Map:
		return append([]string{around}, places(t.Elem(), put(`{"key":%s}`))...)
	case reflect.Struct:
		all := []string{around}
		for f := range t.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			switch {
			case !f.IsExported() || name == "-":
			case name == "" && f.Anonymous:
				all = append(all, places(f.Type, around)...)
			case name == "":
				name = f.Name
				fallthrough
			default:
				all = append(all, places(f.Type, put(`{"`+name+`":%s}`))...)
			}
		}
		return all
	}
	return []string{around}
}

// Every odd value in every place of a pod.
func TestDecodePod_Alike(t *testing.T) {
	d := podDecoder(t)
	fast, tree, all := 0, 0, 0
	for _, place := range places(reflect.TypeFor[corev1.Pod](), "%s") {
		for _, value := range oddValues {
			if t.Failed() {
				return
			}
			text := []byte(strings.Replace(place, "%s", value, 1))
			if decodedAlike[corev1.Pod](t, text) {
				fast++
			}
			if treeDecodedAlike(t, d, text) {
				tree++
			}
			all++
		}
	}
	t.Logf("of %d texts %d are accepted by the fast decoder, %d by that of trees", all, fast, tree)
	if fast < all/20 || fast > all/2 || tree < fast*9/10 {
		t.Error("the texts do not try both decoders")
	}
}

// Texts about the object as a whole: what keys are, which of two counts, how deep.
var wholeTexts = map[string]string{
	"another case":             `{"Metadata":{"Name":"a"},"SPEC":{"Containers":[{"NAME":"a"}]}}`,
	"another case first":       `{"spec":{"Containers":[{"name":"a"}],"containers":[{"name":"b"}]}}`,
	"a key with a fold":        `{"\u017fpec":{"containers":[{"name":"a"}]},"spec":{}}`,
	"a key with NUL":           `{"spec\u0000":{"containers":[{"name":"a"}]}}`,
	"an escaped key":           `{"s\u0070ec":{"cont\u0061iners":[{"name":"a"}]}}`,
	"an escaped key twice":     `{"s\u0070ec":{"hostNetwork":true},"spec":{}}`,
	"a key twice":              `{"spec":{"containers":[{"name":"a","image":"x"}]},"spec":{"containers":[{"name":"b"}]}}`,
	"an unknown key twice":     `{"x":1,"x":2,"spec":{}}`,
	"an unknown key below":     `{"spec":{"x":{"y":[{"z":1,"z":2}]}}}`,
	"an annotation twice":      `{"metadata":{"annotations":{"a":"1","a":"2"}}}`,
	"a null after a value":     `{"spec":{"hostNetwork":true,"hostNetwork":null}}`,
	"an empty key":             `{"":{"containers":[]},"spec":{"":1}}`,
	"embedded types by name":   `{"TypeMeta":{"kind":"Pod"},"ObjectMeta":{"name":"a"},"objectMeta":{"name":"b"}}`,
	"embedded sources by name": `{"spec":{"volumes":[{"name":"a","VolumeSource":{"emptyDir":{}}}],"containers":[{"name":"a","livenessProbe":{"ProbeHandler":{"exec":{}},"handler":{"exec":{}}}}]}}`,
	"data after the object":    `{"spec":{}} {}`,
	"a comma after the object": `{"spec":{}},`,
	"a byte order mark":        "\ufeff{}",
	"NUL after the object":     "{}\x00",
	"form feed":                "{\f}",
	"white space":              " \t\r\n{ \"spec\" : { \"containers\" : [ { \"name\" : \"a\" } ] } }\n",
	"comments":                 `{"spec":{}/* a */}`,
	"managed fields":           `{"metadata":{"managedFields":[{"fieldsV1":{"f:metadata": {"f:a\u0062":{ }}},"time":"2026-01-01T00:00:00Z"}]}}`,
	"managed fields twice":     `{"metadata":{"managedFields":[{"fieldsV1":{"f:a":{},"f:a":{}}}]}}`,
	"quantities":               `{"spec":{"containers":[{"resources":{"limits":{"cpu":0.5,"memory":1e3,"a":"1e3","b":1E3,"c":"12345678901234567890","d":null,"e":"1Ki","f":0.1e-3}}}]}}`,
}

// deepText is nested to a depth, the object included.
func deepText(depth int, open, end string) string {
	return `{"x":` + strings.Repeat(open, depth-1) + `1` + strings.Repeat(end, depth-1) + `}`
}

func TestDecodePod_AlikeAsAWhole(t *testing.T) {
	for name, text := range wholeTexts {
		t.Run(name, func(t *testing.T) {
			decodedAlike[corev1.Pod](t, []byte(text))
			treeDecodedAlike(t, podDecoder(t), []byte(text))
		})
	}
	for _, depth := range []int{100, 9_998, 9_999, 10_000, 10_001, 10_002, 20_000} {
		decodedAlike[corev1.Pod](t, []byte(deepText(depth, "[", "]")))
		decodedAlike[corev1.Pod](t, []byte(deepText(depth, `{"a":`, "}")))
	}
}

// FuzzDecodePod looks for more.
func FuzzDecodePod(f *testing.F) {
	for _, text := range wholeTexts {
		f.Add([]byte(text))
	}
	for _, value := range oddValues {
		f.Add([]byte(strings.Replace(manyTypes, `"a"`, value, 3)))
	}
	d := podDecoder(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		decodedAlike[corev1.Pod](t, text)
		treeDecodedAlike(t, d, text)
		decodedAlike[struct {
			Object json.RawMessage `json:"object"`
		}](t, text)
	})
}
