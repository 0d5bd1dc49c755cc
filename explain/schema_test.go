package explain_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/explain"
	"github.com/outrider-mesh/outrider/test/kit"
)

var update = flag.Bool("update", false, "write docs/explain.schema.json")

// enumerated are the values of fields that have few, by their path.
var enumerated = map[string][]string{
	"apiVersion": {explain.APIVersion}, "kind": {"Explanation"},
	"result":                      {explain.Injected, explain.Skipped, explain.NotSelected, explain.Denied},
	"webhook.result":              {explain.Selected, explain.NotSelected, explain.Unknown},
	"decision.result":             {explain.Injected, explain.Skipped, explain.Denied},
	"destinations.paths.family":   {"IPv4", "IPv6"},
	"destinations.paths.protocol": explain.Protocols(),
	"destinations.paths.outcome":  {explain.Forwarded, explain.Answered, explain.Blocked, explain.Bypassed, explain.NotCaptured},
}

// schemaOf is the JSON schema of a type.
func schemaOf(t *testing.T, of reflect.Type, path string) map[string]any {
	for of.Kind() == reflect.Pointer {
		of = of.Elem()
	}
	switch of.Kind() {
	case reflect.Struct:
		properties, required := map[string]any{}, []string{}
		for i := range of.NumField() {
			name, options, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			properties[name] = schemaOf(t, of.Field(i).Type, strings.TrimPrefix(path+"."+name, "."))
			if options == "" {
				required = append(required, name)
			}
		}
		return map[string]any{"type": "object", "properties": properties, "required": required}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t, of.Elem(), path)}
	case reflect.String:
		if values, ok := enumerated[path]; ok {
			return map[string]any{"type": "string", "enum": values}
		}
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Uint16, reflect.Uint32:
		return map[string]any{"type": "integer"}
	}
	t.Fatalf("%s: no schema of %s", path, of)
	return nil
}

// TestSchema: docs/explain.schema.json is that of the answers.
func TestSchema(t *testing.T) {
	schema := schemaOf(t, reflect.TypeFor[explain.Answer](), "")
	schema["$schema"], schema["title"] = "https://json-schema.org/draft/2020-12/schema", "An answer of outrider explain -o json"
	text, err := json.MarshalIndent(schema, "", "  ")
	kit.Must(t, err)
	text = append(text, '\n')
	file := filepath.Join("..", "docs", "explain.schema.json")
	if *update {
		kit.Must(t, os.WriteFile(file, text, 0o644))
	}
	have, err := os.ReadFile(file)
	kit.Must(t, err)
	if !bytes.Equal(have, text) {
		t.Error("docs/explain.schema.json is out of date; run go test ./explain -run Schema -update")
	}
}
