package explain

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/document"
)

// furtherKeys are keys of the values that change an injected pod, and that no setting of
// the injection shows. They are listed where a text has them.
var furtherKeys = []string{
	"global.imagePullPolicy", "global.imagePullSecrets", "global.logAsJson", "global.proxy.clusterDomain", "global.proxy.lifecycle",
	"global.proxy.privileged", "global.proxy.readinessFailureThreshold", "global.proxy.readinessInitialDelaySeconds",
	"global.proxy.readinessPeriodSeconds", "global.proxy.seccompProfile", "global.proxy.startupProbe.enabled",
	"global.proxy.startupProbe.failureThreshold", "global.proxy.statusPort", "global.proxy_init.resources",
}

// further are the settings that the injection does not list: fields of the ProxyConfig,
// then volumes of the user's, then values.
func (s Subject) further(c Input, r *inject.Settings) []Setting {
	out := s.proxyConfig(c, r)
	for _, a := range []struct{ setting, annotation string }{
		{"userVolume", annotation.UserVolume}, {"userVolumeMount", annotation.UserVolumeMount},
	} {
		if text, ok := s.pod.Annotations[a.annotation]; ok {
			out = append(out, setting(a.setting, text, s.annotation(a.annotation)))
		}
	}
	root, _ := document.Load(c.Texts.Values, maxDocument)
	for _, path := range furtherKeys {
		line, _, exact := root.Place(path)
		if exact && root.Has(path) {
			value := asText(root.At(strings.Split(path, ".")...))
			out = append(out, setting(path, value, Rule{Source: c.Texts.valuesSource(), Path: path, Line: line}))
		}
	}
	return out
}

func setting(name, value string, at Rule) Setting {
	return Setting{Name: name, Value: value, Source: at.Source, File: at.File, Path: at.Path, Line: at.Line}
}

// maxDocument bounds the texts, which the configuration's own reader has accepted.
const maxDocument = 4 << 20

// asText is a value as one line.
func asText(n *document.Node) string {
	if n.IsScalar() {
		return n.Str()
	}
	text, err := json.Marshal(n.Any())
	if err != nil {
		return n.Kind.String()
	}
	return string(text)
}

// proxyConfig are the fields of the pod's ProxyConfig: those of its annotation, or of the
// mesh's defaultConfig.
func (s Subject) proxyConfig(c Input, r *inject.Settings) (out []Setting) {
	fields := map[string]json.RawMessage{
		fieldConcurrency: json.RawMessage(strconv.Itoa(int(r.Concurrency))),
		fieldHold:        json.RawMessage(strconv.FormatBool(r.HoldApp)),
	}
	if text, err := protojson.Marshal(r.ProxyConfig); err != nil || json.Unmarshal(text, &fields) != nil {
		return nil
	}
	own, _ := document.Load(s.pod.Annotations[annotation.ProxyConfig], maxDocument)
	for _, name := range annotation.EffectiveProxyConfig() {
		value, ok := fields[name]
		if !ok || name == "image" || r.Setting(name).Name != "" { // image is what proxyImage shows
			continue
		}
		rule := Rule{}.at(c.Texts.meshSource(), c.Texts.Mesh, document.Join("defaultConfig", name))
		switch {
		case own.GetProto(name) != nil:
			rule = s.annotation(annotation.ProxyConfig)
		case name == fieldHold && rule.Source == sourceDefault:
			rule = rule.at(c.Texts.valuesSource(), c.Texts.Values, "global.proxy."+name)
		}
		out = append(out, setting(name, oneLine(value), rule))
	}
	return out
}

const (
	fieldConcurrency = "concurrency"
	fieldHold        = "holdApplicationUntilProxyStarts"
)

// oneLine is a value in JSON, a string without its quotes.
func oneLine(value json.RawMessage) string {
	var text string
	if json.Unmarshal(value, &text) == nil {
		return text
	}
	var b bytes.Buffer
	if json.Compact(&b, value) != nil {
		return string(value)
	}
	return b.String()
}
