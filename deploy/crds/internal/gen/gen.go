// Package gen generates the CustomResourceDefinitions in deploy/crds from the
// protobuf types of istio.io/api and the descriptions in descriptions.go, which
// are what kubectl explain shows. The test in deploy/crds writes the files with
// -update and otherwise reports drift.
package gen

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	metav1alpha1 "istio.io/api/meta/v1alpha1"
	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
	"sigs.k8s.io/yaml"
)

// object is a JSON object. Its keys are written in alphabetical order.
type object = map[string]any

// CRD is the source of one generated file.
type CRD struct {
	Kind, Plural, Short string
	Spec, Status        proto.Message
	columns             string // additionalPrinterColumns
}

// FileName is the name of the generated file.
func (c CRD) FileName() string { return strings.ToLower(c.Kind) + ".yaml" }

const age = `
    - name: Age
      type: date
      description: Age
      jsonPath: .metadata.creationTimestamp`

// shortNames is the line with the short name, if there is one.
func (c CRD) shortNames() string {
	if c.Short == "" {
		return ""
	}
	return "    shortNames: [" + c.Short + "]\n"
}

// CRDs are the generated CustomResourceDefinitions.
var CRDs = []CRD{
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
	{"Sidecar", "sidecars", "", &networkingv1alpha3.Sidecar{}, &metav1alpha1.IstioStatus{}, `
    - name: Policy
      type: string
      description: How undeclared hosts are handled
      jsonPath: .spec.outboundTrafficPolicy.mode` + age},
}

// file is the generated file. The three versions share columns and schema through
// YAML anchors.
const file = `# CustomResourceDefinition of %[1]s, for clusters that have none. Outrider
# creates it on startup if it does not exist; so does
#
#   kubectl create -f deploy/crds/
#
# Both keep an existing definition unchanged. Generated from the types of
# istio.io/api by "go test ./deploy/crds -update"; do not edit.
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
%[4]s    categories: [istio-io, networking-istio-io]
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

// Generate returns the text of each CRD by file name. The error lists every
// field that is undescribed or unsupported, and every unused description.
func Generate() (map[string]string, error) {
	g := &generator{used: map[string]bool{}}
	files := map[string]string{}
	for _, c := range CRDs {
		schema, err := yaml.Marshal(g.schema(c))
		if err != nil {
			return nil, fmt.Errorf("encode the schema of %s: %w", c.Kind, err)
		}
		indented := "        " + strings.ReplaceAll(strings.TrimSuffix(string(schema), "\n"), "\n", "\n        ") + "\n"
		files[c.FileName()] = fmt.Sprintf(file, c.Kind, c.Plural, strings.ToLower(c.Kind), c.shortNames(), c.columns, indented)
	}
	for _, name := range slices.Sorted(maps.Keys(descriptions)) {
		if !g.used[name] {
			g.fail("%s is described but does not exist", name)
		}
	}
	return files, errors.Join(g.errs...)
}

// generator builds schemas: types, required fields and oneofs. It leaves the
// validation of values to the webhook, whose messages are better.
type generator struct {
	used map[string]bool // descriptions by name
	errs []error
}

func (g *generator) fail(format string, args ...any) {
	g.errs = append(g.errs, fmt.Errorf(format, args...))
}

func (g *generator) description(name string) string {
	g.used[name] = true
	if descriptions[name] == "" {
		g.fail("%s has no description", name)
	}
	return descriptions[name]
}

func (g *generator) schema(c CRD) object {
	status := g.message(c.Status.ProtoReflect().Descriptor())
	status["description"] = g.description("status")
	// Other controllers that write the status, such as Istio, have fields of
	// their own.
	status["x-kubernetes-preserve-unknown-fields"] = true
	spec := g.message(c.Spec.ProtoReflect().Descriptor())
	spec["description"] = g.description("spec")
	return object{
		"type": "object", "description": g.description(c.Kind), "required": []string{"spec"},
		"properties": object{"spec": spec, "status": status},
	}
}

func (g *generator) message(m protoreflect.MessageDescriptor) object {
	out, properties := object{"type": "object"}, object{}
	var required []string
	for i := range m.Fields().Len() {
		f := m.Fields().Get(i)
		_, name, _ := strings.Cut(string(f.FullName()), ".v1alpha")
		name = strings.TrimSuffix(name[strings.Index(name, ".")+1:], string(f.Name())) + f.JSONName()
		field := g.field(f)
		field["description"] = g.description(name)
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
	if all := oneofs(m); len(all) == 1 {
		out["oneOf"] = all[0]
	} else if len(all) > 1 {
		g.fail("%s has several oneofs; combine them with allOf", m.FullName())
	}
	return out
}

// oneofs returns, for each oneof of a message, a schema that allows at most one
// of its fields.
func oneofs(m protoreflect.MessageDescriptor) (all [][]any) {
	for i := range m.Oneofs().Len() {
		var each, one []any
		for j := range m.Oneofs().Get(i).Fields().Len() {
			present := object{"required": []string{m.Oneofs().Get(i).Fields().Get(j).JSONName()}}
			each = append(each, present)
		}
		one = append([]any{object{"not": object{"anyOf": each}}}, each...)
		all = append(all, one)
	}
	return all
}

func (g *generator) field(f protoreflect.FieldDescriptor) object {
	switch {
	case f.IsMap():
		return object{"type": "object", "additionalProperties": g.value(f.MapValue())}
	case f.IsList():
		return object{"type": "array", "items": g.value(f)}
	}
	return g.value(f)
}

// duration is one or more numbers with a unit, in the format of Go durations.
const duration = `^-?([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`

func (g *generator) value(f protoreflect.FieldDescriptor) object {
	if m := f.Message(); m != nil {
		switch m.FullName() {
		case "google.protobuf.Duration":
			return object{"type": "string", "pattern": duration}
		case "google.protobuf.Timestamp":
			return object{"type": "string", "format": "date-time"}
		case "google.protobuf.BoolValue":
			return object{"type": "boolean", "nullable": true}
		case "istio.networking.v1alpha3.IstioIngressListener", "istio.networking.v1alpha3.ConnectionPoolSettings":
			// Of inbound traffic, which is never captured: what is in them is kept as it is.
			return object{"type": "object", "x-kubernetes-preserve-unknown-fields": true}
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
	g.fail("%s: unsupported kind %s", f.FullName(), f.Kind())
	return object{}
}
