// Package schema keeps the JSON schemas of the program's outputs the same as their types.
package schema

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Output is a JSON output of the program.
type Output struct {
	// File is the schema, relative to the test.
	File  string
	Title string
	Type  reflect.Type
	// Enums are the values of fields that have few, by their path.
	Enums map[string][]string
}

// Check compares the file with the type, or writes it.
func Check(t *testing.T, o Output, update bool) {
	t.Helper()
	schema := o.of(t, o.Type, "")
	schema["$schema"], schema["title"] = "https://json-schema.org/draft/2020-12/schema", o.Title
	text, err := json.MarshalIndent(schema, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	if update {
		if err := os.WriteFile(o.File, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(o.File)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, text) {
		t.Errorf("%s is out of date; run this test with -update", o.File)
	}
}

// of is the schema of a type.
func (o Output) of(t *testing.T, of reflect.Type, path string) map[string]any {
	for of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	switch of.Kind() {
	case reflect.Struct:
		if of == reflect.TypeFor[time.Time]() {
			return map[string]any{"type": "string", "format": "date-time"}
		}
		return o.object(t, of, path)
	case reflect.Slice:
		return map[string]any{"type": "array", "items": o.of(t, of.Elem(), path)}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": o.of(t, of.Elem(), path)}
	case reflect.String:
		if values, ok := o.Enums[path]; ok {
			return map[string]any{"type": "string", "enum": values}
		}
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int32, reflect.Int64, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return map[string]any{"type": "integer"}
	}
	t.Fatalf("%s: no schema of %s", path, of)
	return nil
}

func (o Output) object(t *testing.T, of reflect.Type, path string) map[string]any {
	properties, required := map[string]any{}, []string{}
	o.fields(t, of, path, properties, &required)
	return map[string]any{"type": "object", "properties": properties, "required": required}
}

// fields adds the fields of a struct; those of an embedded one are its own.
func (o Output) fields(t *testing.T, of reflect.Type, path string, properties map[string]any, required *[]string) {
	for i := range of.NumField() {
		switch f := of.Field(i); {
		case f.Anonymous:
			o.fields(t, f.Type, path, properties, required)
			continue
		case !f.IsExported():
			continue
		}
		name, options, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		property := o.of(t, of.Field(i).Type, strings.TrimPrefix(path+"."+name, "."))
		if options == "" {
			*required = append(*required, name)
			if of.Field(i).Type.Kind() == reflect.Pointer {
				property["type"] = []any{property["type"], "null"}
			}
		}
		properties[name] = property
	}
}
