package document

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// Message fills m, a protobuf message, from a mapping in the message's JSON
// form. Field names may be the JSON or the proto ones. Problems are sorted as
// the document is; a field with a problem is left unset. A null is an absent
// field. path is the node's own path, for the problems.
func Message(n *Node, path string, m proto.Message) problem.List {
	if n == nil || n.Kind == Null {
		return nil
	}
	clean, found := message(n, path, m.ProtoReflect())
	if clean == nil {
		return found
	}
	if err := protojson.Unmarshal(marshal(clean), m); err != nil {
		found = append(found, n.Problem(path, "not a valid "+string(m.ProtoReflect().Descriptor().Name())+": "+protoText(err), ""))
	}
	return found
}

// GetProto is the value of a message's field, by its JSON name or by the proto
// name for it, or nil.
func (n *Node) GetProto(name string) *Node {
	if v := n.Get(name); v != nil {
		return v
	}
	var snake strings.Builder
	for _, r := range name {
		if r >= 'A' && r <= 'Z' {
			snake.WriteByte('_')
			r += 'a' - 'A'
		}
		snake.WriteRune(r)
	}
	return n.Get(snake.String())
}

// message checks a mapping field by field; clean holds the valid ones.
func message(n *Node, path string, m protoreflect.Message) (clean map[string]any, found problem.List) {
	if n.Kind != Map {
		return nil, problem.List{n.Problem(path, "must be a mapping", "")}
	}
	fields := m.Descriptor().Fields()
	clean = map[string]any{}
	for _, f := range n.Fields {
		at := Join(path, f.Name)
		fd := fields.ByJSONName(f.Name)
		if fd == nil {
			fd = fields.ByTextName(f.Name)
		}
		if fd == nil {
			found = append(found, f.Unknown(at, jsonNames(fields)))
			continue
		}
		if _, twice := clean[fd.JSONName()]; twice {
			found = append(found, f.Locate(problem.Invalid(at, "", "field set by both its JSON and proto name", "keep "+fd.JSONName())))
			continue
		}
		if f.Value.Kind == Null {
			continue
		}
		v, bad := field(f.Value, at, m, fd)
		found = append(found, bad...)
		if v != nil {
			clean[fd.JSONName()] = v
		}
	}
	return clean, found
}

func jsonNames(fields protoreflect.FieldDescriptors) []string {
	names := make([]string, fields.Len())
	for i := range names {
		names[i] = fields.Get(i).JSONName()
	}
	return names
}

// field checks one value: a list and a map element by element.
func field(n *Node, path string, m protoreflect.Message, fd protoreflect.FieldDescriptor) (any, problem.List) {
	switch {
	case fd.IsList():
		return listField(n, path, m, fd)
	case fd.IsMap():
		return mapField(n, path, m, fd)
	case isObject(fd):
		v, found := message(n, path, m.NewField(fd).Message())
		if v == nil {
			return nil, found
		}
		return v, found
	}
	return leaf(n, path, m, fd, func(v any) any { return v })
}

func listField(n *Node, path string, m protoreflect.Message, fd protoreflect.FieldDescriptor) (any, problem.List) {
	if n.Kind != List {
		return nil, problem.List{n.Problem(path, "must be a list", "")}
	}
	var found problem.List
	out := []any{}
	for i, item := range n.Items {
		var v any
		var bad problem.List
		if isObject(fd) {
			var object map[string]any
			if object, bad = message(item, Index(path, i), m.NewField(fd).List().NewElement().Message()); object != nil {
				v = object
			}
		} else {
			v, bad = leaf(item, Index(path, i), m, fd, func(v any) any { return []any{v} })
		}
		found = append(found, bad...)
		if v != nil {
			out = append(out, v)
		}
	}
	return out, found
}

func mapField(n *Node, path string, m protoreflect.Message, fd protoreflect.FieldDescriptor) (any, problem.List) {
	if n.Kind != Map {
		return nil, problem.List{n.Problem(path, "must be a mapping", "")}
	}
	var found problem.List
	out := map[string]any{}
	for _, f := range n.Fields {
		at := Join(path, f.Name)
		var v any
		var bad problem.List
		if isObject(fd.MapValue()) {
			var object map[string]any
			if object, bad = message(f.Value, at, m.NewField(fd).Map().NewValue().Message()); object != nil {
				v = object
			}
		} else {
			v, bad = leaf(f.Value, at, m, fd, func(v any) any { return map[string]any{f.Name: v} })
		}
		found = append(found, bad...)
		if v != nil {
			out[f.Name] = v
		}
	}
	return out, found
}

// isObject reports a message that is written as a mapping of its own fields;
// the well-known types are written otherwise, each in its own way.
func isObject(fd protoreflect.FieldDescriptor) bool {
	return fd.Message() != nil && !strings.HasPrefix(string(fd.Message().FullName()), "google.protobuf.")
}

// leaf checks a value by unmarshalling it alone into a fresh message.
func leaf(n *Node, path string, m protoreflect.Message, fd protoreflect.FieldDescriptor, wrap func(any) any) (any, problem.List) {
	v := n.Any()
	kind := fd
	if fd.IsMap() {
		kind = fd.MapValue()
	}
	if s, ok := v.(string); ok && isMessage(kind, "google.protobuf.Duration") {
		d, err := time.ParseDuration(s)
		if err != nil {
			rule, fix := leafRule(kind, err)
			return nil, problem.List{n.Problem(path, rule, fix)}
		}
		v = fmt.Sprintf("%d.%09ds", d/time.Second, (d % time.Second).Abs())
		if d < 0 && d > -time.Second {
			v = "-" + v.(string)
		}
	}
	probe := m.New().Interface()
	if err := protojson.Unmarshal(marshal(map[string]any{fd.JSONName(): wrap(v)}), probe); err != nil {
		rule, fix := leafRule(kind, err)
		return nil, problem.List{n.Problem(path, rule, fix)}
	}
	return v, nil
}

func isMessage(fd protoreflect.FieldDescriptor, name protoreflect.FullName) bool {
	return fd.Message() != nil && fd.Message().FullName() == name
}

// leafRule is the rule for values of a field's type.
func leafRule(fd protoreflect.FieldDescriptor, err error) (rule, fix string) {
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return "must be true or false", ""
	case protoreflect.StringKind:
		return "must be a string", "put it in quotes"
	case protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.Sint32Kind, protoreflect.Sint64Kind:
		return "must be a whole number", ""
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind:
		return "must be a whole number, zero or more", ""
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return "must be a number", ""
	case protoreflect.EnumKind:
		values := fd.Enum().Values()
		names := make([]string, values.Len())
		for i := range names {
			names[i] = string(values.Get(i).Name())
		}
		return problem.NotSupported("", "", names...).Rule, ""
	}
	switch {
	case isMessage(fd, "google.protobuf.Duration"):
		return "must be a duration", "use a number and a unit, such as 5s"
	case isMessage(fd, "google.protobuf.BoolValue"):
		return "must be true or false", ""
	case isMessage(fd, "google.protobuf.Int32Value"), isMessage(fd, "google.protobuf.UInt32Value"),
		isMessage(fd, "google.protobuf.Int64Value"), isMessage(fd, "google.protobuf.UInt64Value"):
		return "must be a whole number", ""
	case isMessage(fd, "google.protobuf.StringValue"):
		return "must be a string", "put it in quotes"
	case isMessage(fd, "google.protobuf.Struct"):
		return "must be a mapping", ""
	}
	return protoText(err), ""
}

// protoText is a protobuf error without its position, which is in text that the
// user did not write. The library varies its spacing on purpose; it is normalized.
func protoText(err error) string {
	s := strings.Join(strings.Fields(strings.ReplaceAll(err.Error(), "\u00a0", " ")), " ")
	s = strings.TrimPrefix(s, "proto: ")
	if strings.HasPrefix(s, "(line ") {
		if _, rest, ok := strings.Cut(s, "): "); ok {
			s = rest
		}
	}
	return problem.Short(s)
}
