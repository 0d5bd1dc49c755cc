package inject

import (
	"encoding/base64"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"

	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/jsontree"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// maxTypeFaults bounds the values of the wrong type that are reported for an object.
const maxTypeFaults = 50

// typeFault is a value of the wrong type.
type typeFault struct {
	problem problem.Problem
	place   []string // keys and indexes from the object to the value
}

// typeChecker finds every value of an object that its Go type cannot hold, where the
// decoder stops at the first.
type typeChecker struct {
	kind     string // "v1 Pod", for messages
	resource string // its name for kubectl explain
	found    []typeFault
}

// typeFaults are the values of the wrong type in an object, in its order.
func typeFaults(object *jsontree.Node, t reflect.Type, kind, resource string) []typeFault {
	c := &typeChecker{kind: kind, resource: resource}
	c.value(object, t, typePlace{})
	return c.found
}

// typePlace is where a value is.
type typePlace struct {
	steps  []string
	path   string // with indexes and keys
	fields string // without them, for kubectl explain
}

func (p typePlace) key(name string) typePlace {
	return typePlace{append(p.steps[:len(p.steps):len(p.steps)], name), document.Join(p.path, name), p.fields}
}

func (p typePlace) field(name string) typePlace {
	out := p.key(name)
	out.fields += "." + name
	return out
}

func (p typePlace) item(i int) typePlace {
	return typePlace{append(p.steps[:len(p.steps):len(p.steps)], strconv.Itoa(i)), document.Index(p.path, i), p.fields}
}

func (c *typeChecker) value(n *jsontree.Node, t reflect.Type, at typePlace) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if n.Kind() == jsontree.Null || t.Kind() == reflect.Interface || len(c.found) >= maxTypeFaults {
		return
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		if err := json.Unmarshal([]byte(n.JSON()), reflect.New(t).Interface()); err != nil {
			c.add(n, at, strings.TrimPrefix(err.Error(), "json: "), c.explain(at))
		}
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		if c.is(n, jsontree.Object, "an object", at) {
			c.fields(n, t, at)
		}
	case reflect.Map:
		if c.is(n, jsontree.Object, "an object", at) {
			for _, m := range n.Members() {
				c.value(m.Value, t.Elem(), at.key(m.Key))
			}
		}
	case reflect.Slice:
		c.list(n, t, at)
	default:
		c.scalar(n, t, at)
	}
}

func (c *typeChecker) fields(n *jsontree.Node, t reflect.Type, at typePlace) {
	types := map[string]reflect.Type{}
	fieldTypes(t, types)
	for _, m := range n.Members() {
		if field, ok := types[m.Key]; ok {
			c.value(m.Value, field, at.field(m.Key))
		}
	}
}

// fieldTypes adds the fields of a struct by their names in JSON.
func fieldTypes(t reflect.Type, out map[string]reflect.Type) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-":
		case name == "" && f.Anonymous:
			fieldTypes(f.Type, out)
		default:
			out[name] = f.Type
		}
	}
}

func (c *typeChecker) list(n *jsontree.Node, t reflect.Type, at typePlace) {
	if t.Elem().Kind() == reflect.Uint8 {
		if c.is(n, jsontree.String, "a string", at) {
			if _, err := base64.StdEncoding.DecodeString(n.Text()); err != nil {
				c.add(n, at, "must be base64: "+err.Error(), "")
			}
		}
		return
	}
	if !c.is(n, jsontree.Array, "a list", at) {
		return
	}
	for i, item := range n.Items() {
		c.value(item, t.Elem(), at.item(i))
	}
}

func (c *typeChecker) scalar(n *jsontree.Node, t reflect.Type, at typePlace) {
	isBool := n.JSON() == "true" || n.JSON() == "false"
	isNumber := n.Kind() == jsontree.Scalar && !isBool
	switch kind := t.Kind(); {
	case kind == reflect.String:
		c.is(n, jsontree.String, "a string", at)
	case kind == reflect.Bool && (n.Kind() != jsontree.Scalar || !isBool):
		c.wrong(n, "a boolean", at)
	case kind >= reflect.Int && kind <= reflect.Float64 && !isNumber:
		c.wrong(n, "a number", at)
	case kind >= reflect.Int && kind <= reflect.Int64:
		if _, err := strconv.ParseInt(n.JSON(), 10, t.Bits()); err != nil {
			c.add(n, at, "not a valid "+c.kind+": must be an integer of "+strconv.Itoa(t.Bits())+" bits", "")
		}
	case kind >= reflect.Uint && kind <= reflect.Uint64:
		if _, err := strconv.ParseUint(n.JSON(), 10, t.Bits()); err != nil {
			c.add(n, at, "not a valid "+c.kind+": must be a positive integer of "+strconv.Itoa(t.Bits())+" bits", "")
		}
	}
}

// is reports whether a value is of a kind, and records that it is not.
func (c *typeChecker) is(n *jsontree.Node, kind jsontree.Kind, want string, at typePlace) bool {
	if n.Kind() == kind {
		return true
	}
	c.wrong(n, want, at)
	return false
}

func (c *typeChecker) wrong(n *jsontree.Node, want string, at typePlace) {
	got := kindOf(n)
	fix := c.explain(at)
	switch {
	case want == "a string" && (got == "a boolean" || got == "a number"):
		fix = "put it in quotes"
	case (want == "a number" || want == "a boolean") && got == "a string":
		fix = "remove the quotes"
	}
	c.add(n, at, "not a valid "+c.kind+": expected "+want+", got "+got, fix)
}

func (c *typeChecker) explain(at typePlace) string {
	return "see kubectl explain " + c.resource + at.fields
}

func (c *typeChecker) add(n *jsontree.Node, at typePlace, rule, fix string) {
	p := problem.Invalid(at.path, "", rule, fix)
	switch n.Kind() {
	case jsontree.Scalar:
		p.Value = problem.Short(n.JSON())
	case jsontree.String:
		p.Value = problem.Quote(n.Text())
	}
	c.found = append(c.found, typeFault{p, at.steps})
}

func kindOf(n *jsontree.Node) string {
	switch n.Kind() {
	case jsontree.Object:
		return "an object"
	case jsontree.Array:
		return "a list"
	case jsontree.String:
		return "a string"
	case jsontree.Null:
		return "null"
	}
	if n.JSON() == "true" || n.JSON() == "false" {
		return "a boolean"
	}
	return "a number"
}
