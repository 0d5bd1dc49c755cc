package config

import (
	"strings"
	"testing"
)

// TestValuesInOtherPlaces: a value at a place where it is not read is reported with the
// place where it is.
func TestValuesInOtherPlaces(t *testing.T) {
	for values, want := range map[string]string{
		"global.proxy.includeIPRanges: 10.0.0.0/8":                                `:1:1: ["global.proxy.includeIPRanges"]: unknown key; a dot does not nest keys: write global: {proxy: {includeIPRanges}}`,
		"global:\n  proxy.includeIPRanges: 10.0.0.0/8":                            `:2:3: global["proxy.includeIPRanges"]: unknown key; a dot does not nest keys: write proxy: {includeIPRanges}`,
		"global:\n  proxy:\n    resources.limits.cpu: 1":                          `global.proxy["resources.limits.cpu"]: unknown key`,
		"global:\n  proxy_init.image: x":                                          `write proxy_init: {image}`,
		`{"pilot.env.ENABLE_NATIVE_SIDECARS": "false"}`:                           `write pilot: {env: {ENABLE_NATIVE_SIDECARS}}`,
		"meshConfig.accessLogFile: /dev/stdout":                                   `["meshConfig.accessLogFile"]: unknown key`,
		"global:\nproxy:\n  includeIPRanges: 10.0.0.0/8":                          `:2:1: proxy: unknown key; set global.proxy`,
		"global:\n  proxy:\n  includeIPRanges: 10.0.0.0/8":                        `:3:3: global.includeIPRanges: unknown key; set global.proxy.includeIPRanges`,
		"includeIPRanges: 10.0.0.0/8":                                             `includeIPRanges: unknown key; set global.proxy.includeIPRanges`,
		"excludeOutboundPorts: 22":                                                `set global.proxy.excludeOutboundPorts`,
		"global: {proxy: {variant: debug}}":                                       `global.proxy.variant: unknown key; set global.variant`,
		"global: {proxy: {hub: a.example}}":                                       `set global.hub`,
		"resources: {limits: {cpu: 1}}":                                           `set global.proxy.resources`,
		"global: {acme: 1}":                                                       `global.acme: unknown key`,
		"sidecarInjectorWebhook: {neverInjectSelector: [{matchLabels: {a: b}}]}":  `sidecarInjectorWebhook.neverInjectSelector: a list: no effect: the key "config" does not have it; set neverInjectSelector in the key "config"`,
		"sidecarInjectorWebhook: {alwaysInjectSelector: [{matchLabels: {a: b}}]}": `set alwaysInjectSelector in the key "config"`,
		"sidecarInjectorWebhook: {injectedAnnotations: {a: b}}":                   `set injectedAnnotations in the key "config"`,
		"sidecarInjectorWebhook: {defaultTemplates: [sidecar]}":                   `set defaultTemplates in the key "config"`,
		"sidecarInjectorWebhook: {templates: {a: 'spec: {}'}}":                    `set templates in the key "config"`,
	} {
		_, ps := Parse(Texts{Values: values}, Labels{})
		if len(ps) != 1 || ps.HasErrors() || !strings.Contains(ps[0].String(), want) {
			t.Errorf("%s: %s", values, ps.Strings())
		}
	}
	const selector = "neverInjectSelector: [{matchLabels: {a: b}}]"
	for _, in := range []Texts{
		{Values: `{"sidecarInjectorWebhook":{"alwaysInjectSelector":[],"defaultTemplates":[],"enableNamespacesByDefault":false,"injectedAnnotations":{},"neverInjectSelector":null,"reinvocationPolicy":"Never","rewriteAppHTTPProbe":true,"templates":{}}}`},
		{Values: "sidecarInjectorWebhook: {" + selector + "}", Config: selector},
		{Values: "sidecarInjectorWebhook:"}, {Values: "sidecarInjectorWebhook: {}", Config: "{}"},
	} {
		if _, ps := Parse(in, Labels{}); len(ps) > 0 {
			t.Errorf("%+v: %s", in, ps.Strings())
		}
	}
}

// TestPolicyOnce: an unknown key loses no policy that applies.
func TestPolicyOnce(t *testing.T) {
	for mesh, errors := range map[string]bool{
		"x: &a {mode: REGISTRY_ONLY}\noutboundTrafficPolicy: *a":       false,
		"outboundTrafficPolicy: &a {mode: REGISTRY_ONLY}\nx: *a":       false,
		"x: &a REGISTRY_ONLY\noutboundTrafficPolicy: {mode: *a}":       false,
		"x: &a {mode: REGISTRY_ONLY}\noutboundTrafficPolicy: {<<: *a}": false,
		"x: REGISTRY_ONLY\noutboundTrafficPolicy: {mode: ALLOW_ANY}":   true,
		"x: REGISTRY_ONLY\noutboundTrafficPolicy: {}":                  true,
		"x: REGISTRY_ONLY\noutboundTrafficPolicy:":                     true,
		"x: REGISTRY_ONLY": true,
		"meshConfig: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}\nrootNamespace: x": true,
	} {
		c, ps := Parse(Texts{Mesh: mesh}, Labels{})
		if ps.HasErrors() != errors || len(ps) != 1 || !errors && c.Mesh.OutboundTrafficPolicy.Mode.String() != "REGISTRY_ONLY" {
			t.Errorf("%s: %s", mesh, ps.Strings())
		}
	}
}
