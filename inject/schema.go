package inject

import (
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// schema is how strategic merge patch treats one type, from the patchStrategy and
// patchMergeKey tags of the Kubernetes API types.
type schema struct {
	fields map[string]*field
}

type field struct {
	// mergeKey is set for a list of objects that merges by that key.
	mergeKey string
	// mergePrimitives is set for a list of scalars that merges as a set.
	mergePrimitives bool
	// text is set where the API has a string, a list of strings or a map of
	// strings, so that an unquoted 15001 in a template is read as "15001".
	text bool
	// quantity is set where the API has a resource.Quantity or a map of them.
	quantity bool
	// omitZero is set where the API server does not keep a zero value: its own text of a
	// pod would always differ from the template's.
	omitZero bool
	// child describes the object, or the list's items; nil for scalars and for
	// objects of free keys.
	child *schema
}

// podSchema returns the schema of what injection merges into.
func podSchema() *schema {
	return schemaOf(reflect.TypeFor[corev1.Pod](), map[reflect.Type]*schema{})
}

func schemaOf(t reflect.Type, seen map[reflect.Type]*schema) *schema {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	if s := seen[t]; s != nil {
		return s
	}
	s := &schema{fields: map[string]*field{}}
	seen[t] = s
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" && f.Anonymous {
			if embedded := schemaOf(f.Type, seen); embedded != nil {
				for k, v := range embedded.fields {
					s.fields[k] = v
				}
			}
			continue
		}
		s.fields[name] = fieldOf(f, seen)
		s.fields[name].omitZero = strings.Contains(options, "omitempty") && f.Type.Kind() != reflect.Pointer
	}
	return s
}

func fieldOf(f reflect.StructField, seen map[reflect.Type]*schema) *field {
	out := &field{child: schemaOf(f.Type, seen), text: holdsText(f.Type)}
	out.quantity = elem(f.Type) == reflect.TypeFor[resource.Quantity]()
	if out.quantity {
		out.child = nil
	}
	for _, strategy := range strings.Split(f.Tag.Get("patchStrategy"), ",") {
		if strategy == "merge" { // retainKeys requires a directive that is rejected
			out.mergeKey = f.Tag.Get("patchMergeKey")
			out.mergePrimitives = out.mergeKey == "" && f.Type.Kind() == reflect.Slice
		}
	}
	return out
}

func holdsText(t reflect.Type) bool { return elem(t).Kind() == reflect.String }

// elem is what a type holds below pointers, lists and maps.
func elem(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice || t.Kind() == reflect.Map {
		t = t.Elem()
	}
	return t
}

// field returns how a key merges; a nil schema has no keys.
func (s *schema) field(key string) *field {
	if s != nil {
		if f := s.fields[key]; f != nil {
			return f
		}
	}
	return &plainField
}

// plainField is a key without a strategy: objects are merged, other values replaced.
var plainField = field{}

// at follows field names to the schema of what is there.
func (s *schema) at(path ...string) *schema {
	for _, key := range path {
		s = s.field(key).child
	}
	return s
}
