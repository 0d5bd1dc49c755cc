package jsontree

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Decoder decodes trees into values of a type, as encoding/json decodes their text, with
// names that are case-sensitive. It rejects what is not certain to be the same, such as a
// field that occurs twice: another decoder decides that, and finds the words for an error.
//
// A Decoder may be used by any number of goroutines.
type Decoder[T any] struct {
	target *target
}

// NewDecoder returns the decoder of a type, and an error where a part of the type is not
// supported. The array at the path ignored, of names, is checked to be one, and not decoded.
func NewDecoder[T any](ignored ...string) (*Decoder[T], error) {
	c := compiler{known: map[reflect.Type]*target{}}
	t, err := c.target(reflect.TypeFor[T](), ignored)
	return &Decoder[T]{t}, err
}

// Decode decodes a tree into a zero value; false where it rejects the tree. The strings
// refer to the text of the tree.
func (d *Decoder[T]) Decode(n *Node, into *T) bool {
	return d.target.decode(n, reflect.ValueOf(into).Elem())
}

// Ignored is the type of a field whose value is not decoded, whatever it is.
type Ignored struct{}

// target is a type that is decoded into.
type target struct {
	decode func(n *Node, into reflect.Value) bool
}

// compiler makes the targets of a type and of its parts.
type compiler struct {
	known map[reflect.Type]*target
}

// target is that of a type, in which the array at a path is ignored.
func (c *compiler) target(t reflect.Type, ignored []string) (*target, error) {
	if known := c.known[t]; known != nil && len(ignored) == 0 {
		return known, nil
	}
	out := &target{}
	if len(ignored) == 0 {
		c.known[t] = out // a type may contain itself
	}
	var err error
	out.decode, err = c.decoding(t, ignored)
	return out, err
}

func (c *compiler) decoding(t reflect.Type, ignored []string) (func(n *Node, into reflect.Value) bool, error) {
	pointer := reflect.PointerTo(t)
	switch {
	case t == reflect.TypeFor[Ignored]():
		return func(*Node, reflect.Value) bool { return true }, nil
	case t == reflect.TypeFor[json.RawMessage]():
		return decodeRaw, nil
	case pointer.Implements(reflect.TypeFor[json.Unmarshaler]()):
		return decodeUnmarshaler, nil
	case pointer.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return nil, unsupported(t)
	}
	switch t.Kind() {
	case reflect.String:
		return decodeString, nil
	case reflect.Bool:
		return decodeBool, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return decodeInt, nil
	case reflect.Pointer:
		return c.pointer(t)
	case reflect.Slice:
		return c.slice(t)
	case reflect.Map:
		return c.mapping(t)
	case reflect.Struct:
		return c.structure(t, ignored)
	}
	return nil, unsupported(t)
}

func unsupported(t reflect.Type) error { return fmt.Errorf("type %s is not supported", t) }

func decodeRaw(n *Node, into reflect.Value) bool {
	into.SetBytes([]byte(n.JSON()))
	return true
}

func decodeUnmarshaler(n *Node, into reflect.Value) bool {
	u, ok := into.Addr().Interface().(json.Unmarshaler)
	return ok && u.UnmarshalJSON([]byte(n.JSON())) == nil
}

func decodeString(n *Node, into reflect.Value) bool {
	if n.kind != String {
		return n.kind == Null
	}
	into.SetString(n.Text())
	return true
}

func decodeBool(n *Node, into reflect.Value) bool {
	into.SetBool(n.raw == "true")
	return n.raw == "true" || n.raw == "false" || n.kind == Null
}

func decodeInt(n *Node, into reflect.Value) bool {
	if n.kind != Scalar {
		return n.kind == Null
	}
	i, err := strconv.ParseInt(n.raw, 10, into.Type().Bits())
	into.SetInt(i)
	return err == nil
}

func (c *compiler) pointer(t reflect.Type) (func(n *Node, into reflect.Value) bool, error) {
	elem, err := c.target(t.Elem(), nil)
	return func(n *Node, into reflect.Value) bool {
		if n.kind == Null {
			return true
		}
		value := reflect.New(t.Elem())
		into.Set(value)
		return elem.decode(n, value.Elem())
	}, err
}

func (c *compiler) slice(t reflect.Type) (func(n *Node, into reflect.Value) bool, error) {
	if t.Elem().Kind() == reflect.Uint8 { // base64
		return nil, unsupported(t)
	}
	elem, err := c.target(t.Elem(), nil)
	return func(n *Node, into reflect.Value) bool {
		if n.kind != Array {
			return n.kind == Null
		}
		items := n.Items()
		if len(items) == 0 {
			into.Set(reflect.MakeSlice(t, 0, 0))
			return true
		}
		into.Grow(len(items))
		into.SetLen(len(items))
		for i, item := range items {
			if !elem.decode(item, into.Index(i)) {
				return false
			}
		}
		return true
	}, err
}

func (c *compiler) mapping(t reflect.Type) (func(n *Node, into reflect.Value) bool, error) {
	if t == reflect.TypeFor[map[string]string]() {
		return decodeTexts, nil
	}
	if t.Key().Kind() != reflect.String || reflect.PointerTo(t.Key()).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		return nil, unsupported(t)
	}
	elem, err := c.target(t.Elem(), nil)
	return func(n *Node, into reflect.Value) bool {
		if n.kind != Object {
			return n.kind == Null
		}
		members := n.Members()
		into.Set(reflect.MakeMapWithSize(t, len(members)))
		for i := range members {
			value := reflect.New(t.Elem()).Elem()
			if !elem.decode(members[i].Value, value) {
				return false
			}
			into.SetMapIndex(reflect.ValueOf(members[i].Key).Convert(t.Key()), value)
		}
		return into.Len() == len(members)
	}, err
}

// decodeTexts decodes labels, annotations and the like.
func decodeTexts(n *Node, into reflect.Value) bool {
	if n.kind != Object {
		return n.kind == Null
	}
	members := n.Members()
	texts := make(map[string]string, len(members))
	for i := range members {
		value := members[i].Value
		if value.kind != String && value.kind != Null {
			return false
		}
		texts[members[i].Key] = value.Text()
	}
	into.Set(reflect.ValueOf(texts))
	return len(texts) == len(members)
}

// field is a field of a struct, or of a struct embedded in it.
type field struct {
	name   string
	index  []int
	target *target
}

// maxFields is the number of fields of a struct: each is a bit of those that were found.
const maxFields = 64

func (c *compiler) structure(t reflect.Type, ignored []string) (func(n *Node, into reflect.Value) bool, error) {
	fields, err := c.fields(t, nil, ignored)
	for i := range fields {
		if slices.ContainsFunc(fields[:i], func(f field) bool { return f.name == fields[i].name }) || i == maxFields {
			return nil, unsupported(t)
		}
	}
	return func(n *Node, into reflect.Value) bool {
		return n.kind == Null || n.kind == Object && decodeFields(n, into, fields)
	}, err
}

// fields are those of a struct that JSON has.
func (c *compiler) fields(t reflect.Type, at []int, ignored []string) (out []field, err error) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		index := append(slices.Clone(at), i)
		switch {
		case name == "-":
		case name == "" && f.Anonymous && f.Type.Kind() == reflect.Struct:
			embedded, err := c.fields(f.Type, index, ignored)
			if err != nil {
				return nil, err
			}
			out = append(out, embedded...)
		case name == "" && f.Anonymous, slices.Contains(strings.Split(options, ","), "string"):
			return nil, unsupported(t)
		case !f.IsExported():
		default:
			if name == "" {
				name = f.Name
			}
			of, err := c.field(name, f.Type, ignored)
			if err != nil {
				return nil, fmt.Errorf("field %s of %s: %w", f.Name, t, err)
			}
			out = append(out, field{name, index, of})
		}
	}
	return out, nil
}

func (c *compiler) field(name string, t reflect.Type, ignored []string) (*target, error) {
	switch {
	case len(ignored) == 0 || name != ignored[0]:
		return c.target(t, nil)
	case len(ignored) == 1:
		return &target{func(n *Node, _ reflect.Value) bool { return n.kind == Array || n.kind == Null }}, nil
	}
	return c.target(t, ignored[1:])
}

// decodeFields decodes the members that are fields. The API server writes them in the
// order of the fields: each is searched for from the one before.
func decodeFields(n *Node, into reflect.Value, fields []field) bool {
	var found uint64
	next := 0
	for _, m := range n.Members() {
		i := indexOfField(fields, next, m.Key)
		if i < 0 {
			continue
		}
		if found&(1<<i) != 0 {
			return false
		}
		found |= 1 << i
		next = i + 1
		value := into
		for _, at := range fields[i].index {
			value = value.Field(at)
		}
		if !fields[i].target.decode(m.Value, value) {
			return false
		}
	}
	return true
}

// indexOfField is the index of the field of a name, -1 for none.
func indexOfField(fields []field, from int, name string) int {
	for i := from; i < len(fields); i++ {
		if fields[i].name == name {
			return i
		}
	}
	for i := range from {
		if fields[i].name == name {
			return i
		}
	}
	return -1
}
