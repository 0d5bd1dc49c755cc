package config

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// A section whose keys are all commented out is null in YAML. It means the same as
// no section: the configuration is that of an empty text.
func TestNullSectionsKeepTheDefaults(t *testing.T) {
	for _, in := range []Texts{
		{Values: "global:\n"}, {Values: "global:\n  proxy:\n    # includeIPRanges: 10.0.0.0/8\n"}, {Values: `{"global": null}`},
		{Values: `{"global":{"proxy":null}}`}, {Values: "global: {proxy_init: }"}, {Values: "global: {proxy: , proxy_init: ~}"},
		{Values: "global: {logging: null}"}, {Values: "global: {proxy: {startupProbe: null}}"}, {Values: "global: {proxy: {includeIPRanges: null, logLevel: ~, image: }}"},
		{Values: "global: {hub: , tag: , variant: , network: }"}, {Values: "pilot:"}, {Values: "pilot: {cni: , env: }"}, {Values: "sidecarInjectorWebhook:"},
		{Values: "gateways: {securityContext: }"}, {Values: "revision:"}, {Values: "global: {proxy: {}}"}, {Values: "global: {proxy: {resources: {}}}"},
		{Values: "global: {proxy: {statusPort: null, readinessPeriodSeconds: ~, privileged: }}"}, {Values: "null"}, {Values: "global: {imagePullSecrets: }"},
		{Config: "policy:\ndefaultTemplates:\ntemplates:\naliases:\nneverInjectSelector:\n"}, {Config: "defaultTemplates: []"}, {Config: "~"},
		{Mesh: "outboundTrafficPolicy:\ndefaultConfig:\nconnectTimeout:\n"}, {Mesh: "defaultConfig: {concurrency: null}"}, {Mesh: "outboundTrafficPolicy: {mode: }"},
	} {
		c, ps := Parse(in, Labels{})
		if c == nil || len(ps) > 0 {
			t.Errorf("%+v: %s", in, lines(ps))
			continue
		}
		if c.Hash != Default().Hash || !c.Values.Global.Proxy.IncludeIPRanges.IsWildcard() {
			t.Errorf("%+v: not the defaults: %+v", in, c.Values.Global)
		}
		for _, path := range []string{"global", "global.proxy", "global.proxy_init", "pilot", "pilot.cni", "sidecarInjectorWebhook"} {
			if raw(t, c, path) == nil {
				t.Errorf("%+v: templates see no %s", in, path)
			}
		}
	}
}

// A null in a Kubernetes object removes one of its defaults, as in Helm; templates
// see the same.
func TestNullRemovesFromAnObject(t *testing.T) {
	for text, want := range map[string]string{
		"{}":                                  "requests.cpu requests.memory limits.cpu limits.memory",
		"{limits: {cpu: null}}":               "requests.cpu requests.memory limits.memory",
		"{limits: {cpu: , memory: ~}}":        "requests.cpu requests.memory",
		"{limits: null}":                      "requests.cpu requests.memory",
		"{requests: {memory: null}}":          "requests.cpu limits.cpu limits.memory",
		"{requests: , limits: {cpu: 4}}":      "limits.cpu limits.memory",
		"{limits: {memory: null, cpu: 4}}":    "requests.cpu requests.memory limits.cpu",
		"{limits: {example.com/gpu: null}}":   "requests.cpu requests.memory limits.cpu limits.memory",
		"{requests: null, limits: null}":      "",
		"{limits: {cpu: null}, claims: null}": "requests.cpu requests.memory limits.memory",
	} {
		for _, at := range []string{"proxy", "proxy_init"} {
			c := mustParse(t, Texts{Values: "global: {" + at + ": {resources: " + text + "}}"})
			r := c.Values.Global.Proxy.Resources
			if at == "proxy_init" {
				r = c.Values.Global.ProxyInit.Resources
			}
			var got, seen []string
			for _, list := range []struct {
				name       string
				quantities corev1.ResourceList
			}{{"requests", resourcesOf(r).Requests}, {"limits", resourcesOf(r).Limits}} {
				values, _ := raw(t, c, "global."+at+".resources."+list.name).(map[string]any)
				for _, name := range []string{"cpu", "memory", "example.com/gpu"} {
					if _, ok := list.quantities[corev1.ResourceName(name)]; ok {
						got = append(got, list.name+"."+name)
					}
					if _, ok := values[name]; ok {
						seen = append(seen, list.name+"."+name)
					}
				}
			}
			if strings.Join(got, " ") != want || strings.Join(seen, " ") != want {
				t.Errorf("%s %s: %s, templates see %s, want %s", at, text, got, seen, want)
			}
		}
	}
}

func resourcesOf(r *corev1.ResourceRequirements) corev1.ResourceRequirements {
	if r == nil {
		return corev1.ResourceRequirements{}
	}
	return *r
}

// What would leave pods without a capture or a sidecar has a message.
func TestNothingIsLostInSilence(t *testing.T) {
	checkMessages(t, []messageCase{
		{"no ranges", Texts{Values: `global: {proxy: {includeIPRanges: ""}}`}, []string{`warning global.proxy.includeIPRanges: "": no address: nothing is captured`}},
		{"an empty list", Texts{Values: `global: {proxy: {includeIPRanges: []}}`}, []string{`warning nothing is captured`}},
		{"blanks", Texts{Values: `global: {proxy: {includeIPRanges: " , "}}`}, []string{`warning nothing is captured`}},
		{"ports instead", Texts{Values: `global: {proxy: {includeIPRanges: "", includeOutboundPorts: 443}}`}, nil},
		{"a name without ranges", Texts{Values: `global: {namedRanges: {partners: }, proxy: {includeIPRanges: partners}}`}, []string{`error global.namedRanges.partners: null: required; set its ranges`}},
		{"an empty name", Texts{Values: `global: {namedRanges: {partners: ""}, proxy: {includeIPRanges: "10.0.0.0/8,fd00::/8,partners"}}`}, []string{`warning global.namedRanges.partners: "": has no ranges`}},
		{"no log level", Texts{Values: `global: {proxy: {logLevel: ""}}`}, []string{`error global.proxy.logLevel: "": must not be empty; remove the key for the default`}},
		{"no domain", Texts{Values: `global: {proxy: {clusterDomain: ""}}`}, []string{`error global.proxy.clusterDomain: "": must not be empty`}},
		{"no image", Texts{Values: `global: {proxy: {image: ""}, proxy_init: {image: ""}}`}, []string{`error global.proxy.image: "": image must not be empty`, `error global.proxy_init.image: "": image must not be empty`}},
		{"an empty template", Texts{Config: "templates: {sidecar: ''}"}, []string{`warning templates.sidecar: "": empty: it replaces the built-in template, so pods get no sidecar`}},
		{"another empty template", Texts{Config: "templates: {mine: \"\\n\"}"}, []string{`warning templates.mine: "\n": empty: it adds nothing to a pod`}},
		{"a null template", Texts{Config: "templates: {sidecar: }"}, []string{`error templates.sidecar: null: must be a string`}},
		{"aliases of nothing", Texts{Config: "aliases: {a: , b: []}\ndefaultTemplates: [a]"}, []string{`error aliases.a: null: lists no templates`, `error aliases.b: a list: lists no templates`}},
		{"an empty default template", Texts{Config: "defaultTemplates: ['']"}, []string{`error defaultTemplates[0]: "": empty element`}},
		{"no policy", Texts{Config: "policy: ''"}, []string{`error policy: "": must be one of`}},
		{"a mode of nothing", Texts{Mesh: "outboundTrafficPolicy: {mode: ''}"}, []string{`error outboundTrafficPolicy.mode: ""`}},
	})
}
