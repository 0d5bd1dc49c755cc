package document

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// Object fills into, a pointer to a Kubernetes API type, from a node in the
// type's JSON form; names are case-sensitive, as the API server's are. A field
// with a problem is left unset. path is the node's own path, for the problems.
func Object(n *Node, path string, into any) problem.List {
	if n == nil || n.Kind == Null {
		return nil
	}
	clean, found := value(n, path, reflect.TypeOf(into).Elem())
	if clean == nil {
		return found
	}
	if err := json.Unmarshal(marshal(clean), into); err != nil {
		found = append(found, n.Problem(path, jsonText(err), ""))
	}
	return found
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

// value checks a node against a Go type; clean is its valid part, or nil.
func value(n *Node, path string, t reflect.Type) (clean any, found problem.List) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if !reflect.PointerTo(t).Implements(unmarshaler) {
		switch t.Kind() {
		case reflect.Struct:
			return structValue(n, path, t)
		case reflect.Map:
			return mapValue(n, path, t)
		case reflect.Slice:
			if t.Elem().Kind() != reflect.Uint8 { // []byte is a base64 string
				return sliceValue(n, path, t)
			}
		}
	}
	v := n.Any()
	if err := json.Unmarshal(marshal(v), reflect.New(t).Interface()); err != nil {
		rule, fix := typeRule(t, err)
		return nil, problem.List{n.Problem(path, rule, fix)}
	}
	return v, nil
}

func structValue(n *Node, path string, t reflect.Type) (any, problem.List) {
	if n.Kind != Map {
		return nil, problem.List{n.Problem(path, "must be a mapping", "")}
	}
	fields, names := jsonFields(t)
	clean := map[string]any{}
	var found problem.List
	for _, f := range n.Fields {
		at := Join(path, f.Name)
		ft, ok := fields[f.Name]
		if !ok {
			found = append(found, f.Unknown(at, names))
			continue
		}
		if f.Value.Kind == Null {
			continue
		}
		v, bad := value(f.Value, at, ft)
		found = append(found, bad...)
		if v != nil {
			clean[f.Name] = v
		}
	}
	return clean, found
}

func mapValue(n *Node, path string, t reflect.Type) (any, problem.List) {
	if n.Kind != Map {
		return nil, problem.List{n.Problem(path, "must be a mapping", "")}
	}
	clean := map[string]any{}
	var found problem.List
	for _, f := range n.Fields {
		v, bad := value(f.Value, Join(path, f.Name), t.Elem())
		found = append(found, bad...)
		if v != nil {
			clean[f.Name] = v
		}
	}
	return clean, found
}

func sliceValue(n *Node, path string, t reflect.Type) (any, problem.List) {
	if n.Kind != List {
		return nil, problem.List{n.Problem(path, "must be a list", "")}
	}
	clean := []any{}
	var found problem.List
	for i, item := range n.Items {
		v, bad := value(item, Index(path, i), t.Elem())
		found = append(found, bad...)
		if v != nil {
			clean = append(clean, v)
		}
	}
	return clean, found
}

// jsonFields are a struct's fields by JSON name, embedded structs included,
// and the names in the order of the type.
func jsonFields(t reflect.Type) (fields map[string]reflect.Type, names []string) {
	fields = map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			inner := f.Type
			if inner.Kind() == reflect.Pointer {
				inner = inner.Elem()
			}
			more, order := jsonFields(inner)
			for _, k := range order {
				fields[k] = more[k]
			}
			names = append(names, order...)
		case name != "" && name != "-" && f.IsExported():
			fields[name] = f.Type
			names = append(names, name)
		}
	}
	return fields, names
}

// typeRule is the rule for values of a Go type.
func typeRule(t reflect.Type, err error) (rule, fix string) {
	switch t {
	case reflect.TypeFor[resource.Quantity]():
		return "invalid quantity", QuantityFix
	case reflect.TypeFor[intstr.IntOrString]():
		return "must be a whole number or a string", ""
	}
	switch t.Kind() {
	case reflect.Bool:
		return "must be true or false", ""
	case reflect.String:
		return "must be a string", "put it in quotes"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return fmt.Sprintf("must be a whole number of %d bits", t.Bits()), ""
	}
	return jsonText(err), ""
}

// QuantityFix is the fix for an invalid quantity.
const QuantityFix = "use a number with an optional unit, such as 100m, 0.5, 128Mi or 1Gi"

func jsonText(err error) string {
	return problem.Short(strings.TrimPrefix(err.Error(), "json: "))
}
