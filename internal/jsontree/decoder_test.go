package jsontree

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

type named string

type inner struct {
	Text  string `json:"text"`
	Later *outer `json:"later,omitempty"`
}

type outer struct {
	inner

	Flag    bool              `json:"flag"`
	Small   int8              `json:"small"`
	Pointer *int64            `json:"pointer"`
	List    []inner           `json:"list"`
	Texts   map[string]string `json:"texts"`
	Names   map[named]*inner  `json:"names"`
	Raw     json.RawMessage   `json:"raw"`
	Time    time.Time         `json:"time"`
	Plain   string
	Hidden  string  `json:"-"`
	Ignored Ignored `json:"ignored"`
	ListToo []int   `json:"listToo"`
}

// What is decoded is what encoding/json decodes, but for the names of another case, which
// these texts do not have.
func TestDecoder(t *testing.T) {
	d, err := NewDecoder[outer]()
	if err != nil {
		t.Fatal(err)
	}
	values := append([]string{
		`"2026-01-01T00:00:00Z"`, `[{"text":"a"},null]`, `{"a":"b","c":null}`, `{"a":{"text":"b"}}`, `{"a":1}`, `127`, `128`, `-128`, `1.0`, `[1,null]`,
		`{"text":"a","text":"b"}`, `{"a":"b","a":"c"}`, `{"later":{"later":{"flag":true}}}`,
	}, texts...)
	accepted := 0
	for _, field := range []string{"text", "later", "flag", "small", "pointer", "list", "texts", "names", "raw", "time", "Plain", "Hidden", "ignored", "listToo", "other"} {
		for _, value := range values {
			text := `{"flag":true,"` + field + `":` + value + `,"Plain":"x"}`
			var r Reader
			n, ok := r.Read(text)
			var got, want outer
			if !ok || !d.Decode(n, &got) {
				continue
			}
			accepted++
			if field == "ignored" {
				text = strings.ReplaceAll(text, `"ignored"`, `"not"`)
			}
			if err := json.Unmarshal([]byte(text), &want); err != nil {
				t.Errorf("%s: decoded, while encoding/json reports %v", text, err)
			} else if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: decoded to %+v, want %+v", text, got, want)
			}
		}
	}
	if accepted < 200 {
		t.Errorf("only %d texts are decoded", accepted)
	}
}

func TestDecoder_Rejects(t *testing.T) {
	d, err := NewDecoder[outer]("listToo")
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		`{"text":"a"}`: true, `{"Text":"a"}`: true, `{"other":1,"other":2}`: true, `{"listToo":["x"]}`: true, `{"listToo":null}`: true,
		`{"text":"a","text":"a"}`: false, `{"texts":{"a":"b","a":"b"}}`: false, `{"names":{"a":null,"a":null}}`: false, `{"ignored":1,"ignored":2}`: false,
		`{"listToo":{}}`: false, `{"flag":"true"}`: false, `{"small":128}`: false, `{"small":1e1}`: false, `{"text":1}`: false, `{"list":{}}`: false,
		`{"texts":[]}`: false, `{"time":"today"}`: false, `[]`: false, `null`: true,
	} {
		var into outer
		if got := d.Decode(Parse(text), &into); got != want {
			t.Errorf("%s: %t, want %t", text, got, want)
		}
	}
}

func TestNewDecoder_Unsupported(t *testing.T) {
	for name, err := range map[string]error{
		"any":         errorOf[struct{ A any }](),
		"float":       errorOf[struct{ A []float64 }](),
		"bytes":       errorOf[struct{ A []byte }](),
		"number keys": errorOf[map[int]string](),
		"string option": errorOf[struct {
			A int `json:"a,string"`
		}](),
		"two of a name": errorOf[struct {
			inner

			Text string `json:"text"`
		}](),
		"embedded pointer": errorOf[struct{ *inner }](),
		"65 fields":        errorOf[many](),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func errorOf[T any]() error {
	_, err := NewDecoder[T]()
	return err
}

// many has 65 fields.
type many struct {
	A1, A2, A3, A4, A5, A6, A7, A8, A9, A10, A11, A12, A13 int
	B1, B2, B3, B4, B5, B6, B7, B8, B9, B10, B11, B12, B13 int
	C1, C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12, C13 int
	D1, D2, D3, D4, D5, D6, D7, D8, D9, D10, D11, D12, D13 int
	E1, E2, E3, E4, E5, E6, E7, E8, E9, E10, E11, E12, E13 int
}
