package crds

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	metav1alpha1 "istio.io/api/meta/v1alpha1"
	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
	"sigs.k8s.io/yaml"
)

var update = flag.Bool("update", false, "write the definitions")

// object is a JSON object; its keys are written in the order of the alphabet.
type object = map[string]any

// definition is what one file is made from.
type definition struct {
	kind, plural, short string
	spec, status        proto.Message
	columns             string
}

const age = `
    - name: Age
      type: date
      description: How long ago it was made
      jsonPath: .metadata.creationTimestamp`

var definitions = []definition{
	{"ServiceEntry", "serviceentries", "se", &networkingv1alpha3.ServiceEntry{}, &networkingv1alpha3.ServiceEntryStatus{}, `
    - name: Hosts
      type: string
      description: Names of the hosts
      jsonPath: .spec.hosts
    - name: Location
      type: string
      description: Whether the hosts are outside the mesh or part of it
      jsonPath: .spec.location
    - name: Resolution
      type: string
      description: How a sidecar finds the addresses of a host
      jsonPath: .spec.resolution` + age},
	{"VirtualService", "virtualservices", "vs", &networkingv1alpha3.VirtualService{}, &metav1alpha1.IstioStatus{}, `
    - name: Gateways
      type: string
      description: Gateways that the routes are for
      jsonPath: .spec.gateways
    - name: Hosts
      type: string
      description: Hosts whose requests are routed
      jsonPath: .spec.hosts` + age},
}

// The three versions share columns and schema by YAML's own means.
const form = `# The CustomResourceDefinition of %[1]s, for clusters that have none: Outrider
# creates it when it starts and finds none, and so does
#
#   kubectl create -f deploy/crds/
#
# which, like Outrider, leaves a definition that is there as it is. Made by
# go test ./deploy/crds -update from the types of istio.io/api.
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: %[2]s.networking.istio.io
  labels: {app: outrider}
spec:
  group: networking.istio.io
  scope: Namespaced
  names:
    kind: %[1]s
    listKind: %[1]sList
    plural: %[2]s
    singular: %[3]s
    shortNames: [%[4]s]
    categories: [istio-io, networking-istio-io]
  versions:
  - name: v1
    served: true
    storage: true
    subresources: &subresources {status: {}}
    additionalPrinterColumns: &columns%[5]s
    schema: &schema
      openAPIV3Schema:
%[6]s  - name: v1beta1
    served: true
    storage: false
    subresources: *subresources
    additionalPrinterColumns: *columns
    schema: *schema
  - name: v1alpha3
    served: true
    storage: false
    subresources: *subresources
    additionalPrinterColumns: *columns
    schema: *schema
`

func TestFilesAreThoseOfTheTypes(t *testing.T) {
	used := map[string]bool{}
	for _, d := range definitions {
		g := generator{t, used}
		status := g.message(d.status.ProtoReflect().Descriptor())
		status["description"] = g.word("status")
		// Whoever else writes a status, such as Istio, has fields of its own.
		status["x-kubernetes-preserve-unknown-fields"] = true
		spec := g.message(d.spec.ProtoReflect().Descriptor())
		spec["description"] = g.word("spec")
		schema, err := yaml.Marshal(object{
			"type": "object", "description": g.word(d.kind), "required": []string{"spec"},
			"properties": object{"spec": spec, "status": status},
		})
		if err != nil {
			t.Fatal(err)
		}
		indented := "        " + strings.ReplaceAll(strings.TrimSuffix(string(schema), "\n"), "\n", "\n        ") + "\n"
		name := strings.ToLower(d.kind)
		want := fmt.Sprintf(form, d.kind, d.plural, name, d.short, d.columns, indented)
		if *update {
			if err := os.WriteFile(name+".yaml", []byte(want), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := Files.ReadFile(name + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s.yaml is not what the types say; run go test ./deploy/crds -update and read the difference", name)
		}
	}
	for word := range words {
		if !used[word] {
			t.Errorf("%s is described and does not exist", word)
		}
	}
}

// generator makes schemas: types, required fields and choices. What a value may
// be is not its concern: the webhook says that in better words.
type generator struct {
	t    *testing.T
	used map[string]bool
}

func (g generator) word(name string) string {
	g.used[name] = true
	if words[name] == "" {
		g.t.Errorf("nothing describes %s", name)
	}
	return words[name]
}

func (g generator) message(m protoreflect.MessageDescriptor) object {
	out, properties := object{"type": "object"}, object{}
	var required []string
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		_, name, _ := strings.Cut(string(f.FullName()), ".v1alpha")
		name = strings.TrimSuffix(name[strings.Index(name, ".")+1:], string(f.Name())) + f.JSONName()
		field := g.field(f)
		field["description"] = g.word(name)
		properties[f.JSONName()] = field
		behaviour, _ := proto.GetExtension(f.Options(), annotations.E_FieldBehavior).([]annotations.FieldBehavior)
		if slices.Contains(behaviour, annotations.FieldBehavior_REQUIRED) {
			required = append(required, f.JSONName())
		}
	}
	out["properties"] = properties
	if len(required) > 0 {
		out["required"] = required
	}
	if all := choices(m); len(all) == 1 {
		out["oneOf"] = all[0]
	} else if len(all) > 1 {
		g.t.Errorf("%s has several choices; put them into allOf", m.FullName())
	}
	return out
}

// choices says of each oneof of a message that at most one field is there.
func choices(m protoreflect.MessageDescriptor) (all [][]any) {
	for i := range m.Oneofs().Len() {
		var each, one []any
		for j := range m.Oneofs().Get(i).Fields().Len() {
			there := object{"required": []string{m.Oneofs().Get(i).Fields().Get(j).JSONName()}}
			each = append(each, there)
		}
		one = append([]any{object{"not": object{"anyOf": each}}}, each...)
		all = append(all, one)
	}
	return all
}

func (g generator) field(f protoreflect.FieldDescriptor) object {
	switch {
	case f.IsMap():
		return object{"type": "object", "additionalProperties": g.value(f.MapValue())}
	case f.IsList():
		return object{"type": "array", "items": g.value(f)}
	}
	return g.value(f)
}

// duration is a number with its unit, one or more times, as Go writes them.
const duration = `^-?([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`

func (g generator) value(f protoreflect.FieldDescriptor) object {
	if m := f.Message(); m != nil {
		switch m.FullName() {
		case "google.protobuf.Duration":
			return object{"type": "string", "pattern": duration}
		case "google.protobuf.Timestamp":
			return object{"type": "string", "format": "date-time"}
		case "google.protobuf.BoolValue":
			return object{"type": "boolean", "nullable": true}
		case "google.protobuf.UInt32Value":
			return object{"type": "integer", "minimum": 0, "maximum": 4294967295, "nullable": true}
		}
		return g.message(m)
	}
	switch f.Kind() {
	case protoreflect.StringKind:
		return object{"type": "string"}
	case protoreflect.BytesKind:
		return object{"type": "string", "format": "byte"}
	case protoreflect.BoolKind:
		return object{"type": "boolean"}
	case protoreflect.DoubleKind:
		return object{"type": "number", "format": "double"}
	case protoreflect.Int32Kind:
		return object{"type": "integer", "format": "int32"}
	case protoreflect.Uint32Kind:
		return object{"type": "integer", "minimum": 0, "maximum": 4294967295}
	case protoreflect.Int64Kind: // Istio's own clients write it as a string
		return object{"anyOf": []any{object{"type": "integer"}, object{"type": "string"}}, "x-kubernetes-int-or-string": true}
	case protoreflect.EnumKind:
		var names []string
		for i := range f.Enum().Values().Len() {
			names = append(names, string(f.Enum().Values().Get(i).Name()))
		}
		return object{"type": "string", "enum": names}
	}
	g.t.Errorf("%s: nothing is known of the kind %s", f.FullName(), f.Kind())
	return object{}
}
