package deploy

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/outrider-mesh/outrider/config"
)

const schemaFile = "chart/values.schema.json"

// object is a JSON schema.
type object = map[string]any

func typed(types ...string) object {
	if len(types) == 1 {
		return object{"type": types[0]}
	}
	return object{"type": types}
}

func listOf(item object) object { return object{"type": "array", "items": item} }

func mapOf(value object) object { return object{"type": "object", "additionalProperties": value} }

// strict is an object with no other than the fields.
func strict(fields object) object {
	return object{"type": "object", "additionalProperties": false, "properties": fields}
}

// fields of Kubernetes objects, by the last name of a key.
var objectSchemas = map[string]object{
	"resources": strict(object{
		"limits": mapOf(typed("string", "number", "null")), "requests": mapOf(typed("string", "number", "null")), "claims": listOf(typed("object")),
	}),
	"affinity":       strict(object{"nodeAffinity": typed("object"), "podAffinity": typed("object"), "podAntiAffinity": typed("object")}),
	"seccompProfile": strict(object{"type": typed("string"), "localhostProfile": typed("string")}),
	"lifecycle":      strict(object{"preStop": typed("object"), "postStart": typed("object"), "stopSignal": typed("string")}),
	"aliases":        mapOf(listOf(typed("string"))),
	"podDisruptionBudget": strict(object{
		"minAvailable": typed("string", "integer"), "maxUnavailable": typed("string", "integer"),
		"unhealthyPodEvictionPolicy": object{"enum": []string{"AlwaysAllow", "IfHealthyBudget"}},
	}),
}

func init() {
	for _, s := range objectSchemas {
		fields, _ := s["properties"].(object)
		for name, field := range fields {
			field.(object)["description"] = "Field " + name + ", as in Kubernetes."
		}
	}
}

// list is a string with commas, or a list.
func list(items ...string) object {
	return object{"type": append([]string{"array"}, items...), "items": typed(items...)}
}

// schemaOf is the schema of a key.
func schemaOf(v value) object {
	var s object
	switch v.Type {
	case config.TypeText:
		s = typed("string")
	case config.TypeTag:
		s = typed("string", "integer", "boolean")
	case config.TypeFlag:
		s = typed("boolean")
	case config.TypeNumber:
		s = object{"type": "integer", "minimum": 0}
		if strings.Contains(v.Path, ".ports.") {
			s = object{"type": "integer", "minimum": 1, "maximum": 65535}
		}
	case config.TypeRanges, config.TypeNames, config.TypeStrings:
		s = list("string")
	case config.TypePorts:
		s = list("string", "integer")
	case config.TypeLists:
		s = mapOf(list("string"))
	case config.TypeObject:
		s = object{"type": "object"}
		for k, field := range objectSchemas[v.Path[strings.LastIndexByte(v.Path, '.')+1:]] {
			s[k] = field
		}
	case typeTexts:
		s = mapOf(typed("string", "number", "boolean"))
	case typeObjects:
		s = listOf(typed("object"))
	case typeQuantity:
		s = typed("string", "integer")
	case typeMessage:
		s = fieldSchema(v.field, v.Effect)
	default:
		s = object{}
	}
	if len(v.OneOf) > 0 {
		var values []any
		for _, o := range v.OneOf {
			values = append(values, o)
			if o == "true" || o == "false" { // --set makes them booleans
				values = append(values, o == "true")
			}
		}
		s = object{"enum": values}
	}
	s["description"] = v.About
	return s
}

// nullable also accepts null, which removes what a default has.
func nullable(s object) object {
	switch t := s["type"].(type) {
	case string:
		s["type"] = []string{t, "null"}
	case []string:
		s["type"] = append(slices.Clone(t), "null")
	}
	return s
}

// fieldSchema is the schema of a field of MeshConfig. The fields of a field that has
// no effect are not checked.
func fieldSchema(f protoreflect.FieldDescriptor, deep bool) object {
	one := func(f protoreflect.FieldDescriptor) object {
		switch f.Kind() {
		case protoreflect.BoolKind:
			return typed("boolean")
		case protoreflect.StringKind, protoreflect.BytesKind:
			return typed("string")
		case protoreflect.EnumKind:
			var names []string
			values := f.Enum().Values()
			for i := range values.Len() {
				names = append(names, string(values.Get(i).Name()))
			}
			return object{"enum": names}
		case protoreflect.MessageKind:
			return messageSchema(f.Message(), deep)
		}
		return typed("integer", "number", "string")
	}
	switch {
	case f.IsMap():
		return mapOf(one(f.MapValue()))
	case f.IsList():
		return listOf(one(f))
	}
	return one(f)
}

func messageSchema(m protoreflect.MessageDescriptor, deep bool) object {
	if strings.HasPrefix(string(m.FullName()), "google.protobuf.") {
		switch m.Name() {
		case "Duration", "Timestamp", "StringValue":
			return typed("string")
		case "BoolValue":
			return typed("boolean")
		case "Struct":
			return typed("object")
		}
		return object{}
	}
	if !deep {
		return typed("object")
	}
	fields := object{}
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		s := fieldSchema(f, m.Name() != "ProxyConfig" || f.Name() != "tracing")
		s["description"] = "Field " + f.JSONName() + " of Istio's " + string(m.Name()) + "."
		fields[f.JSONName()] = s
	}
	return strict(fields)
}

// schema is the schema of the values.
func schema() object {
	root := object{}
	for _, v := range all() {
		s := schemaOf(v)
		if slices.ContainsFunc(podValues, func(p value) bool { return strings.HasSuffix("."+v.Path, "."+p.Path) }) {
			s = nullable(s)
		}
		at := root
		names := strings.Split(v.Path, ".")
		for i, name := range names[:len(names)-1] {
			next, ok := at[name].(object)
			if !ok {
				next = strict(object{})
				next["description"] = aboutParent(strings.Join(names[:i+1], "."))
				at[name] = next
			}
			at = next["properties"].(object)
		}
		at[names[len(names)-1]] = s
	}
	// Any environment variable of Istio's control plane.
	env := root["pilot"].(object)["properties"].(object)["env"].(object)
	env["additionalProperties"] = typed("string", "number", "boolean")
	below := object{}
	for name := range root {
		below[name] = object{"$ref": "#/properties/" + name}
	}
	values := strict(below)
	values["description"] = "The same keys, as istioctl writes them. They take precedence."
	root["values"] = values
	out := strict(root)
	out["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	out["title"] = "Values of the chart outrider"
	return out
}

func aboutParent(p string) string {
	about := map[string]string{
		"global": "Images, and settings of sidecars.", "global.proxy": "The proxy of injected pods.", "global.proxy_init": "The init container of injected pods.",
		"meshConfig": "Istio's MeshConfig: key mesh of ConfigMap istio.", "sidecarInjectorWebhook": "The injection, and the webhook configurations.",
		"webhook": "The Deployment of the webhook alone.", "controlPlane": "The Deployment of the control plane alone.",
		"pilot": "Keys that Istio's chart has had here; those of its Deployment apply to both.",
	}
	if text, ok := about[p]; ok {
		return text
	}
	return "Settings of " + p[strings.LastIndexByte(p, '.')+1:] + "."
}

// schemaIsGenerated compares the schema with the tables, before Helm reads it.
func schemaIsGenerated(t *testing.T) {
	t.Helper()
	text, err := json.MarshalIndent(schema(), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want := string(text) + "\n"
	if *update {
		if err := os.WriteFile(schemaFile, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if read(t, schemaFile) != want {
		t.Errorf("%s differs from the tables; run go test ./deploy -update and review the diff", schemaFile)
	}
}

func TestSchemaDescribesEveryKey(t *testing.T) {
	undescribed(t, "", schema())
}

// undescribed reports properties without a description or without a type.
func undescribed(t *testing.T, at string, s object) {
	t.Helper()
	fields, _ := s["properties"].(object)
	for name, field := range fields {
		f := field.(object)
		if f["$ref"] != nil {
			continue
		}
		about, _ := f["description"].(string)
		if about == "" {
			t.Errorf("%s.%s has no description", at, name)
		}
		if f["type"] == nil && f["enum"] == nil && !strings.HasPrefix(about, "No effect") && !strings.HasPrefix(about, "Field ") {
			t.Errorf("%s.%s has no type", at, name)
		}
		undescribed(t, at+"."+name, f)
	}
}
