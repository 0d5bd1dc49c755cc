package config

import (
	"strings"
	"testing"
)

// A text that was pasted with what is around it elsewhere is rejected: nothing in
// it would be read.
func TestWrappers(t *testing.T) {
	const mesh = "outboundTrafficPolicy: {mode: REGISTRY_ONLY}"
	nested := func(text string) string { return strings.ReplaceAll(text, "\n", "\n    ") }
	checkMessages(t, []messageCase{
		{"meshConfig", Texts{Mesh: "meshConfig: {" + mesh + "}"}, []string{
			`error istio key "mesh":1:1: meshConfig: wrapper around the content of this key: nothing in it is read; set the key "mesh" to what is below meshConfig`}},
		{"meshConfig without a policy", Texts{Mesh: "meshConfig:\n  accessLogFile: /dev/stdout\n"}, []string{`error meshConfig: wrapper`}},
		{"proto names", Texts{Mesh: "mesh_config: {access_log_file: /dev/stdout}"}, []string{`error mesh_config: wrapper`}},
		{"IstioOperator", Texts{Mesh: "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: {name: x}\nspec:\n  profile: default\n  meshConfig:\n    " + mesh}, []string{
			`error :4:1: spec: wrapper around the content of this key: nothing in it is read; set the key "mesh" to what is below spec.meshConfig`}},
		{"ConfigMap", Texts{Mesh: "apiVersion: v1\nkind: ConfigMap\ndata:\n  mesh: |\n    " + nested(mesh) + "\n  meshNetworks: 'networks: {}'\n"}, []string{`error :3:1: data: wrapper around the content of this key: nothing in it is read; set the key "mesh" to what is below data.mesh`}},
		{"a List", Texts{Mesh: "apiVersion: v1\nkind: List\nitems:\n- data:\n    mesh: |\n      " + mesh}, []string{`error items: wrapper around the content of this key: nothing in it is read; set the key "mesh" to what is below items[0].data.mesh`}},
		{"mesh as a text", Texts{Mesh: "mesh: |\n  " + mesh}, []string{`error mesh: wrapper`}},
		{"mesh", Texts{Mesh: "mesh: {" + mesh + "}"}, []string{`error mesh: wrapper`}},
		{"Helm values", Texts{Mesh: "values: {meshConfig: {" + mesh + "}}"}, []string{`error values: wrapper around the content of this key: nothing in it is read; set the key "mesh" to what is below values.meshConfig`}},
		{"a wrapper of any name", Texts{Mesh: "ourMesh: {" + mesh + "}"}, []string{`error ourMesh: wrapper`}},
		{"a Sidecar", Texts{Mesh: "kind: Sidecar\nspec: {" + mesh + "}"}, []string{`error spec: wrapper`}},
		{"beside settings", Texts{Mesh: "accessLogFile: /dev/stdout\nmeshConfig: {" + mesh + "}"}, []string{`error meshConfig: wrapper`}},
		{"misspelt", Texts{Mesh: "OutboundTrafficPolicy: {mode: REGISTRY_ONLY}"}, []string{`error OutboundTrafficPolicy: unknown key, so the outbound traffic policy in it would not apply; did you mean "outboundTrafficPolicy"?`}},
		{"misspelt mode", Texts{Mesh: "outboundTrafficPolicy: {modes: REGISTRY_ONLY}"}, []string{`error outboundTrafficPolicy.modes: unknown key, so the outbound traffic policy`}},
		{"mode at the top", Texts{Mesh: "mode: REGISTRY_ONLY"}, []string{`error mode: unknown key, so the outbound traffic policy in it would not apply; set outboundTrafficPolicy.mode at the top level`}},
		{"in defaultConfig", Texts{Mesh: "defaultConfig: {" + mesh + "}"}, []string{`error defaultConfig.outboundTrafficPolicy: unknown key, so the outbound traffic policy`}},
		{"a policy that changes nothing", Texts{Mesh: "outboundTrafficPolcy: {mode: ALLOW_ANY}"}, []string{`warning outboundTrafficPolcy: unknown key`}},
		{"an unknown key", Texts{Mesh: "acme: {connectTimeout: 1s}"}, []string{`warning acme: unknown key`}},
		{"empty", Texts{Mesh: "meshConfig:\n"}, []string{`warning meshConfig: unknown key`}},

		{"policy among values", Texts{Values: mesh}, []string{`error outboundTrafficPolicy: unknown key, so the outbound traffic policy in it would not apply; set outboundTrafficPolicy in ConfigMap istio, key "mesh"`}},
		{"policy in global", Texts{Values: "global: {" + mesh + "}"}, []string{`error global.outboundTrafficPolicy: unknown key, so`}},
		{"meshConfig among values", Texts{Values: "meshConfig: {" + mesh + "}"}, []string{`error meshConfig: unknown key, so the outbound traffic policy in it would not apply; set outboundTrafficPolicy in ConfigMap istio`}},
		{"meshConfig without a policy among values", Texts{Values: "meshConfig: {accessLogFile: /dev/stdout}"}, []string{`warning meshConfig: a mapping: no effect: not read from the values`}},
		{"policy in config", Texts{Config: mesh}, []string{`error outboundTrafficPolicy: unknown key, so the outbound traffic policy in it would not apply; set outboundTrafficPolicy in ConfigMap istio, key "mesh"`}},

		{"values", Texts{Values: "values: {global: {proxy: {includeIPRanges: 10.0.0.0/8}}}"}, []string{
			`error istio-sidecar-injector key "values":1:1: values: wrapper around the content of this key: nothing in it is read; set the key "values" to what is below values`}},
		{"values of an IstioOperator", Texts{Values: "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec: {values: {global: {proxy: {}}}}"}, []string{`error spec: wrapper around the content of this key: nothing in it is read; set the key "values" to what is below spec.values`}},
		{"a ConfigMap with values", Texts{Values: "kind: ConfigMap\ndata: {config: 'policy: enabled', values: '{\"global\": {\"hub\": \"x\"}}'}"}, []string{`error data: wrapper around the content of this key: nothing in it is read; set the key "values" to what is below data.values`}},
		{"values of a chart's dependency", Texts{Values: "istiod: {global: {tag: x}}"}, []string{`error istiod: wrapper`}},
		{"a custom key", Texts{Values: "acme: {global: {x: 1}}"}, []string{`warning acme: unknown key`}},

		{"config", Texts{Config: "config: {policy: disabled}"}, []string{`error istio-sidecar-injector key "config":1:1: config: wrapper`}},
		{"config as a text", Texts{Config: "config: |\n  policy: disabled\n"}, []string{`error config: wrapper`}},
		{"a ConfigMap with config", Texts{Config: "apiVersion: v1\nkind: ConfigMap\nmetadata: {}\ndata: {config: 'policy: disabled'}"}, []string{`error data: wrapper around the content of this key: nothing in it is read; set the key "config" to what is below data.config`}},
		{"values of the chart in config", Texts{Config: "sidecarInjectorWebhook: {neverInjectSelector: [{matchLabels: {a: b}}]}"}, []string{`error sidecarInjectorWebhook: wrapper`}},
	})
}
