package podtemplate

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"strconv"
	"strings"
	"text/template"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// istioFuncs are the helpers of Istio's injector by their names and argument
// orders (istio.io/istio, pkg/kube/inject/template.go), so that templates
// written for it render here. Unlike there, a helper that fails is an error and
// not an empty value. contains has its arguments the other way round than
// sprig's contains on purpose: that is Istio's.
func istioFuncs() template.FuncMap {
	return template.FuncMap{
		"annotation":          annotation,
		"isset":               func(m map[string]string, key string) bool { _, ok := m[key]; return ok },
		"valueOrDefault":      valueOrDefault,
		"toJSON":              marshalJSON,
		"toJson":              marshalJSON,
		"structToJSON":        marshalJSON,
		"protoToJSON":         protoToJSON,
		"fromJSON":            fromJSON,
		"toJsonMap":           toJSONMap,
		"toYaml":              toYAML,
		"indent":              indentRest,
		"directory":           func(file string) string { dir, _ := path.Split(file); return dir },
		"contains":            func(needle, haystack string) bool { return strings.Contains(haystack, needle) },
		"toLower":             strings.ToLower,
		"formatDuration":      func(d *durationpb.Duration) string { return d.AsDuration().String() },
		"excludeInboundPort":  excludeInboundPort,
		"includeInboundPorts": func(cs []corev1.Container) string { return tcpPorts(cs, "") },
		"applicationPorts":    func(cs []corev1.Container) string { return tcpPorts(cs, "istio-proxy") },
		"kubevirtInterfaces":  func(s string) string { return s },
		"excludeInterfaces":   func(s string) string { return s },
		"appendMultusNetwork": appendMultusNetwork,
		// The injector's environment is none of a template's business: only the default is had.
		"env":                    func(_, fallback string) string { return fallback },
		"omit":                   omit,
		"omitNil":                omitNil,
		"strdict":                strdict,
		"mergeMaps":              mergeMaps,
		"otelResourceAttributes": otelResourceAttributes,
	}
}

// annotation returns the pod's annotation, or the default in its printed form.
func annotation(meta metav1.ObjectMeta, name string, fallback any) string {
	if value, ok := meta.Annotations[name]; ok {
		return value
	}
	return fmt.Sprint(fallback)
}

func valueOrDefault(value, fallback any) any {
	if value == nil || value == "" {
		return fallback
	}
	return value
}

// marshalJSON keeps "<", ">" and "&" readable, as YAML does, and escapes what
// JSON allows bare in a string but YAML does not.
func marshalJSON(v any) (string, error) {
	if m, ok := v.(proto.Message); ok {
		return protoToJSON(m)
	}
	if m, ok := v.(map[string]string); ok && m == nil {
		return "{}", nil
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return "", err
	}
	text := strings.TrimSuffix(b.String(), "\n")
	if strings.ContainsFunc(text, isControl) {
		text = escapeControls(text)
	}
	return text, nil
}

func escapeControls(text string) string {
	var b strings.Builder
	for _, r := range text {
		if isControl(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// protoToJSON compacts what protojson spaces at random, so that the same
// message always gives the same text.
func protoToJSON(m proto.Message) (string, error) {
	if m == nil || !m.ProtoReflect().IsValid() {
		return "{}", nil
	}
	raw, err := protojson.Marshal(m)
	if err != nil {
		return "", err
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return "", err
	}
	return marshalJSON(v)
}

func fromJSON(text string) (any, error) {
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return nil, fmt.Errorf("fromJSON: %w", err)
	}
	return v, nil
}

func toJSONMap(maps ...map[string]string) (string, error) {
	return marshalJSON(mergeMaps(maps...))
}

func mergeMaps(maps ...map[string]string) map[string]string {
	out := map[string]string{}
	for _, m := range maps {
		for k, v := range m {
			out[k] = v
		}
	}
	return out
}

func toYAML(v any) (string, error) {
	raw, err := yaml.Marshal(v)
	return string(raw), err
}

// indentRest is Istio's indent: the first line stays where it stands.
func indentRest(spaces int, text string) (string, error) {
	first, rest, more := strings.Cut(text, "\n")
	if !more {
		return text, nil
	}
	rest, err := indentAll(spaces, rest)
	return first + "\n" + rest, err
}

// excludeInboundPort adds a port to a comma list that lacks it; 0 and "" add nothing.
func excludeInboundPort(port any, excluded string) string {
	add := strings.TrimSpace(fmt.Sprint(port))
	if add == "" || add == "0" {
		return excluded
	}
	var ports []string
	for _, p := range strings.Split(excluded, ",") {
		if p = strings.TrimSpace(p); p == add {
			return excluded
		} else if p != "" {
			ports = append(ports, p)
		}
	}
	return strings.Join(append(ports, add), ",")
}

// tcpPorts lists the TCP ports that containers declare, but those of one name.
func tcpPorts(containers []corev1.Container, except string) string {
	var ports []string
	for _, c := range containers {
		if c.Name == except && except != "" {
			continue
		}
		for _, p := range c.Ports {
			if p.Protocol == "" || p.Protocol == corev1.ProtocolTCP {
				ports = append(ports, strconv.Itoa(int(p.ContainerPort)))
			}
		}
	}
	return strings.Join(ports, ",")
}

// appendMultusNetwork adds a network to an annotation value in either of
// Multus' forms, unless it is there.
func appendMultusNetwork(existing, network string) (string, error) {
	if existing == "" {
		return network, nil
	}
	if !strings.HasPrefix(strings.TrimSpace(existing), "[") {
		for _, n := range strings.Split(existing, ",") {
			if name, _, _ := strings.Cut(strings.TrimSpace(n), "@"); name == network { // NAME@INTERFACE
				return existing, nil
			}
		}
		return existing + ", " + network, nil
	}
	var networks []map[string]any
	if err := json.Unmarshal([]byte(existing), &networks); err != nil {
		return "", fmt.Errorf("appendMultusNetwork: %w", err)
	}
	// The JSON form has the two parts of "namespace/name" in fields of their own.
	wanted := map[string]string{"name": network}
	if namespace, name, ok := strings.Cut(network, "/"); ok {
		wanted = map[string]string{"name": name, "namespace": namespace}
	}
	for _, n := range networks {
		namespace, _ := n["namespace"].(string)
		if n["name"] == wanted["name"] && namespace == wanted["namespace"] {
			return existing, nil
		}
	}
	end := strings.LastIndexByte(existing, ']')
	entry, err := marshalJSON(wanted)
	if err != nil {
		return "", err
	}
	if len(networks) > 0 {
		entry = ", " + entry
	}
	return existing[:end] + entry + existing[end:], nil
}

// omit removes keys from a map of strings (Istio's) or of anything (sprig's).
func omit(dict any, keys ...string) (any, error) {
	switch dict := dict.(type) {
	case map[string]string:
		out := maps.Clone(dict)
		for _, k := range keys {
			delete(out, k)
		}
		return out, nil
	case map[string]any:
		out := maps.Clone(dict)
		for _, k := range keys {
			delete(out, k)
		}
		return out, nil
	}
	return nil, fmt.Errorf("omit: expected a map, got %T", dict)
}

// omitNil removes nils at every depth, and what has nothing else.
func omitNil(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, item := range v {
			if kept := omitNil(item); kept != nil {
				out[k] = kept
			}
		}
		if len(out) == 0 && len(v) > 0 {
			return nil
		}
		return out
	case []any:
		out := make([]any, 0, len(v))
		for _, item := range v {
			if kept := omitNil(item); kept != nil {
				out = append(out, kept)
			}
		}
		if len(out) == 0 && len(v) > 0 {
			return nil
		}
		return out
	}
	return v
}

// strdict makes a map of strings from keys and values in turn.
func strdict(pairs ...string) (map[string]string, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("strdict: %d arguments; a key without a value", len(pairs))
	}
	out := map[string]string{}
	for i := 0; i < len(pairs); i += 2 {
		out[pairs[i]] = pairs[i+1]
	}
	return out, nil
}
