package document

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Message fills m, a protobuf message, from a mapping in the message's JSON
// form. Field names may be the JSON or the proto ones. Faults are sorted as
// the document is; a field with a fault is left out of m. A null is an absent
// field. path is the node's own path, for the faults.
func Message(n *Node, path string, m proto.Message) []Fault {
	if n == nil || n.Kind == Null {
		return nil
	}
	clean, faults := message(n, path, m.ProtoReflect())
	if clean == nil {
		return faults
	}
	if err := protojson.Unmarshal(marshal(clean), m); err != nil {
		faults = append(faults, n.fault(path, "not a valid "+string(m.ProtoReflect().Descriptor().Name())+": "+protoText(err), ""))
	}
	return faults
}

// GetProto is the value of a message's field, by its JSON name or by the proto
// name that goes with it, or nil.
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

// message checks a mapping field by field; clean holds the good ones.
func message(n *Node, path string, m protoreflect.Message) (clean map[string]any, faults []Fault) {
	if n.Kind != Map {
		return nil, []Fault{n.fault(path, "must be a mapping", "")}
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
			faults = append(faults, f.Unknown(at, jsonNames(fields)))
			continue
		}
		if _, twice := clean[fd.JSONName()]; twice {
			faults = append(faults, Fault{Line: f.Line, Column: f.Column, Path: at, Rule: "the same field twice, by both of its names", Fix: "keep " + fd.JSONName()})
			continue
		}
		if f.Value.Kind == Null {
			continue
		}
		v, bad := field(f.Value, at, m, fd)
		faults = append(faults, bad...)
		if v != nil {
			clean[fd.JSONName()] = v
		}
	}
	return clean, faults
}

func jsonNames(fields protoreflect.FieldDescriptors) []string {
	names := make([]string, fields.Len())
	for i := range names {
		names[i] = fields.Get(i).JSONName()
	}
	return names
}

// field checks one value: a list and a map element by element.
func field(n *Node, path string, m protoreflect.Message, fd protoreflect.FieldDescriptor) (any, []Fault) {
	switch {
	case fd.IsList():
		return listField(n, path, m, fd)
	case fd.IsMap():
		return mapField(n, path, m, fd)
	case isObject(fd):
		v, faults := message(n, path, m.NewField(fd).Message())
		if v == nil {
			return nil, faults
		}
		return v, faults
	}
	return leaf(n, path, m, fd, func(v any) any { return v })
}

func listField(n *Node, path string, m protoreflect.Message, fd protoreflect.FieldDescriptor) (any, []Fault) {
	if n.Kind != List {
		return nil, []Fault{n.fault(path, "must be a list", "")}
	}
	var faults []Fault
	out := []any{}
	for i, item := range n.Items {
		var v any
		var bad []Fault
		if isObject(fd) {
			var object map[string]any
			if object, bad = message(item, Index(path, i), m.NewField(fd).List().NewElement().Message()); object != nil {
				v = object
			}
		} else {
			v, bad = leaf(item, Index(path, i), m, fd, func(v any) any { return []any{v} })
		}
		faults = append(faults, bad...)
		if v != nil {
			out = append(out, v)
		}
	}
	return out, faults
}

func mapField(n *Node, path string, m protoreflect.Message, fd protoreflect.FieldDescriptor) (any, []Fault) {
	if n.Kind != Map {
		return nil, []Fault{n.fault(path, "must be a mapping", "")}
	}
	var faults []Fault
	out := map[string]any{}
	for _, f := range n.Fields {
		at := Join(path, f.Name)
		var v any
		var bad []Fault
		if isObject(fd.MapValue()) {
			var object map[string]any
			if object, bad = message(f.Value, at, m.NewField(fd).Map().NewValue().Message()); object != nil {
				v = object
			}
		} else {
			v, bad = leaf(f.Value, at, m, fd, func(v any) any { return map[string]any{f.Name: v} })
		}
		faults = append(faults, bad...)
		if v != nil {
			out[f.Name] = v
		}
	}
	return out, faults
}

// isObject reports a message that is written as a mapping of its own fields;
// the well-known types are written otherwise, each in its own way.
func isObject(fd protoreflect.FieldDescriptor) bool {
	return fd.Message() != nil && !strings.HasPrefix(string(fd.Message().FullName()), "google.protobuf.")
}

// leaf checks a value by unmarshalling it alone into a fresh message.
func leaf(n *Node, path string, m protoreflect.Message, fd protoreflect.FieldDescriptor, wrap func(any) any) (any, []Fault) {
	v := n.Any()
	kind := fd
	if fd.IsMap() {
		kind = fd.MapValue()
	}
	if s, ok := v.(string); ok && isMessage(kind, "google.protobuf.Duration") {
		d, err := time.ParseDuration(s)
		if err != nil {
			rule, fix := leafRule(kind, err)
			return nil, []Fault{n.fault(path, rule, fix)}
		}
		v = fmt.Sprintf("%d.%09ds", d/time.Second, (d % time.Second).Abs())
		if d < 0 && d > -time.Second {
			v = "-" + v.(string)
		}
	}
	probe := m.New().Interface()
	if err := protojson.Unmarshal(marshal(map[string]any{fd.JSONName(): wrap(v)}), probe); err != nil {
		rule, fix := leafRule(kind, err)
		return nil, []Fault{n.fault(path, rule, fix)}
	}
	return v, nil
}

func isMessage(fd protoreflect.FieldDescriptor, name protoreflect.FullName) bool {
	return fd.Message() != nil && fd.Message().FullName() == name
}

// leafRule words the rule of a field's type.
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
		return "must be one of " + strings.Join(names, ", "), ""
	}
	switch {
	case isMessage(fd, "google.protobuf.Duration"):
		return "must be a duration", `write a number and a unit, such as 5s`
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

// protoText is a protobuf error without the position in text nobody wrote.
// The library varies its spacing on purpose, so that is made even.
func protoText(err error) string {
	s := strings.Join(strings.Fields(strings.ReplaceAll(err.Error(), "\u00a0", " ")), " ")
	s = strings.TrimPrefix(s, "proto: ")
	if strings.HasPrefix(s, "(line ") {
		if _, rest, ok := strings.Cut(s, "): "); ok {
			s = rest
		}
	}
	return Cut(s)
}
