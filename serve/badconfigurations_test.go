package serve

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// badConfiguration is an edit of one of the two ConfigMaps, and the error with the fix
// that its editor gets.
type badConfiguration struct {
	name string
	key  string // config, values, mesh, or a key that is not read
	text string
	want string
}

// on replaces a key of a ConfigMap; it is false for a key of the other one.
func (b badConfiguration) on(cm *corev1.ConfigMap, mesh bool) bool {
	key, binary := strings.CutPrefix(b.key, "binary ")
	if mesh != strings.HasPrefix(key, "mesh") {
		return false
	}
	if _, ok := cm.Data[key]; !ok || binary {
		cm.Data = nil // the text is lost
	}
	if binary {
		cm.BinaryData = map[string][]byte{key: []byte(b.text)}
		return true
	}
	if cm.Data == nil {
		cm.Data = map[string]string{}
	}
	cm.Data[key] = b.text
	return true
}

var badConfigurations = []badConfiguration{
	// YAML.
	{"a tab", "values", "global:\n\tproxy: {}\n", `key "values":2:1: not valid YAML or JSON: found character that cannot start any token; indent with spaces, not tabs`},
	{"a quote that is not closed", "values", "global: {hub: \"a}\n", `key "values":2:1: not valid YAML or JSON: found unexpected end of stream; look for quotes, brackets and indentation there and in the line above`},
	{"a bracket that is not closed", "mesh", "defaultConfig: {concurrency: 1\n", `key "mesh":2:1: not valid YAML or JSON: did not find expected ',' or '}'; look for quotes, brackets and indentation there and in the line above`},
	{"wrong indentation", "config", "policy: enabled\n defaultTemplates: [sidecar]\n", `key "config":2:18: not valid YAML or JSON: mapping values are not allowed in this context; look for quotes, brackets and indentation there and in the line above`},
	{"a key twice", "values", "global: {hub: a, hub: b}\n", `key "values":1:18: global.hub: duplicate key, first on line 1; remove one of the two`},
	{"an unknown alias", "values", "global: *nothing\n", `key "values":1:9: not valid YAML or JSON: unknown anchor 'nothing' referenced; look for quotes, brackets and indentation there and in the line above`},
	{"aliases that expand for ever", "values", "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]\n", `key "values":6:5: f[0][2][0][5][4][6]: more than 100000 values, 8388608 bytes or 100 levels once aliases are expanded; use fewer aliases`},
	{"two documents", "mesh", "accessLogFile: a\n---\naccessLogFile: b\n", `key "mesh":1: more than one document; remove all but one, and the "---" between them`},
	{"a list", "values", "- global\n", `key "values":1:1: a list: must be a mapping; use keys and values`},
	{"a word", "mesh", "enabled\n", `key "mesh":1:1: "enabled": must be a mapping; use keys and values`},
	// Types.
	{"a text for a truth value", "values", "global: {proxy: {privileged: sometimes}}\n", `key "values":1:30: global.proxy.privileged: "sometimes": must be true or false`},
	{"a mapping for a text", "values", "global: {hub: {a: b}}\n", `key "values":1:15: global.hub: a mapping: must be a string`},
	{"a text for a mapping", "values", "global: proxy\n", `key "values":1:9: global: "proxy": must be a mapping; set hub, imagePullPolicy, imagePullSecrets below it`},
	{"a text for a number", "values", "global: {proxy: {readinessPeriodSeconds: often}}\n", `key "values":1:42: global.proxy.readinessPeriodSeconds: "often": must be in the range 1..1073741824`},
	{"a number for a duration", "mesh", "connectTimeout: 10\n", `key "mesh":1:17: connectTimeout: 10: must be a duration; use a number and a unit, such as 5s`},
	{"a text for a mapping of mesh", "mesh", "defaultConfig: none\n", `key "mesh":1:16: defaultConfig: "none": must be a mapping`},
	{"a field of no known type", "mesh", "defaultConfig: {concurrency: many}\n", `key "mesh":1:30: defaultConfig.concurrency: "many": must be a whole number`},
	// Ranges and ports.
	{"a prefix too long", "values", "global: {proxy: {excludeIPRanges: 10.0.0.0/33}}\n", `key "values":1:35: global.proxy.excludeIPRanges: "10.0.0.0/33": prefix length 33 exceeds 32 for IPv4; use a prefix length from 0 to 32`},
	{"a netmask", "values", "global: {proxy: {excludeIPRanges: 10.0.0.0/255.0.0.0}}\n", `key "values":1:35: global.proxy.excludeIPRanges: "10.0.0.0/255.0.0.0": netmask "255.0.0.0" is not supported; use 10.0.0.0/8`},
	{"a span", "values", "global: {proxy: {includeIPRanges: 10.0.0.1-10.0.0.9}}\n", `key "values":1:35: global.proxy.includeIPRanges: "10.0.0.1-10.0.0.9": "-" between addresses is not supported; use 10.0.0.1/32,10.0.0.2/31,10.0.0.4/30,10.0.0.8/31`},
	{"a wildcard beside ranges", "values", "global: {proxy: {includeIPRanges: \"*,10.0.0.0/8\"}}\n", `key "values":1:35: global.proxy.includeIPRanges: "*": cannot be combined with ranges; use "*" alone, or only the ranges`},
	{"a name that is not defined", "values", "global: {proxy: {includeIPRanges: clustr}}\n", `key "values":1:35: global.proxy.includeIPRanges: "clustr": "clustr" is neither a CIDR range nor a known name; did you mean "cluster"? Define others in global.namedRanges`},
	{"ranges of the cluster that are not known", "values", "global: {proxy: {includeIPRanges: cluster}}\n", `key "values":1:35: global.proxy.includeIPRanges: "cluster": cannot be resolved: `},
	{"a port too large", "values", "global: {proxy: {excludeOutboundPorts: \"22,99999\"}}\n", `key "values":1:40: global.proxy.excludeOutboundPorts: "99999": port number must be in the range 1..65535`},
	{"a word for a port", "values", "global: {proxy: {includeOutboundPorts: http}}\n", `key "values":1:40: global.proxy.includeOutboundPorts: "http": not a port number; use port numbers separated by commas, such as 80,443`},
	{"a reserved name", "values", "global: {namedRanges: {cluster: 10.0.0.0/8}}\n", `key "values":1:33: global.namedRanges.cluster: "10.0.0.0/8": reserved name; use a name other than cloud-metadata, cluster, kube-apiserver, link-local, private`},
	// Values of a set.
	{"a policy that does not exist", "config", "policy: sometimes\n", `key "config":1:9: policy: "sometimes": must be one of "enabled", "disabled"`},
	{"an outbound traffic policy that does not exist", "mesh", "outboundTrafficPolicy: {mode: DENY}\n", `key "mesh":1:31: outboundTrafficPolicy.mode: "DENY": must be one of "REGISTRY_ONLY", "ALLOW_ANY", "ALLOW_ANY_DYNAMIC_DNS"`},
	{"a pull policy that does not exist", "values", "global: {imagePullPolicy: Usually}\n", `key "values":1:27: global.imagePullPolicy: "Usually": must be one of "Always", "IfNotPresent", "Never"`},
	{"a format of the access log", "mesh", "accessLogFormat: '%NOT_A_COMMAND%'\n", `key "mesh":1:18: accessLogFormat: "%NOT_A_COMMAND%": unknown command operator %NOT_A_COMMAND%; see the format strings of Envoy's access logs; the default format is used until this is fixed`},
	{"a quantity", "values", "global: {proxy: {resources: {limits: {memory: 1Gigabyte}}}}\n", `key "values":1:47: global.proxy.resources.limits.memory: "1Gigabyte": invalid quantity; use a number with an optional unit, such as 100m, 0.5, 128Mi or 1Gi`},
	// Selectors and templates.
	{"an operator of a selector", "config", "neverInjectSelector: [{matchExpressions: [{key: a, operator: Is, values: [b]}]}]\n", `key "config":1:23: neverInjectSelector[0]: a mapping: invalid label selector: "Is" is not a valid label selector operator; use matchLabels: {key: value}, or matchExpressions with the operator In, NotIn, Exists or DoesNotExist`},
	{"a label of a selector", "config", "alwaysInjectSelector: [{matchLabels: {\"a b\": c}}]\n", `key "config":1:24: alwaysInjectSelector[0]: a mapping: invalid label selector: key: Invalid value: "a b": name part must consist of alphanumeric characters, '-…; use matchLabels: {key: value}, or matchExpressions with the operator In, NotIn, Exists or DoesNotExist`},
	{"a template that does not parse", "config", "templates: {sidecar: '{{ .NoSuch'}\n", `key "config":1:13: templates.sidecar: template "sidecar": line 1: unclosed action; fix the template`},
	{"a template that is no YAML", "config", "templates: {sidecar: 'spec: [}'}\n", `template "sidecar": the output is invalid YAML: did not find expected node content`},
	{"a function that does not exist", "config", "templates: {sidecar: '{{ nothing 1 }}'}\n", `key "config":1:13: templates.sidecar: function "nothing" not defined; fix the template, or remove it from the default templates`},
	{"a template that is not defined", "config", "defaultTemplates: [nothing]\n", `key "config":1:20: defaultTemplates[0]: "nothing": unknown template or alias; define it in templates`},
	// What would be lost.
	{"a wrapper", "mesh", "meshConfig: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}\n", `key "mesh":1:1: meshConfig: wrapper around the content of this key: nothing in it is read; set the key "mesh" to what is below meshConfig`},
	{"the whole ConfigMap", "values", "data: {values: \"global: {hub: a}\"}\n", `key "values":1:1: data: wrapper around the content of this key: nothing in it is read; set the key "values" to what is below data.values`},
	{"a policy at a wrong place", "mesh", "defaultConfig: {outboundTrafficPolicy: {mode: REGISTRY_ONLY}}\n", `key "mesh":1:17: defaultConfig.outboundTrafficPolicy: unknown key, so the outbound traffic policy in it would not apply; set outboundTrafficPolicy.mode at the top level`},
	{"a policy in the values", "values", "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n", `key "values":1:1: outboundTrafficPolicy: unknown key, so the outbound traffic policy in it would not apply; set outboundTrafficPolicy in ConfigMap istio, key "mesh"`},
	{"the name of a file for the key", "mesh.yaml", "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n", `data: has the key "mesh.yaml", which is not read, and none of "mesh", "meshNetworks"; rename the key; for the defaults, remove it`},
	{"a key with a typing error", "valeus", "global: {hub: a}\n", `data: has the key "valeus", which is not read, and none of "config", "values"; rename it to "values"; for the defaults, remove it`},
	{"no UTF-8", "binary values", "global: {hub: \xff}\n", `binaryData["values"]: not read: a text must be UTF-8, in data; save it as UTF-8, and set data["values"]`},
	{"no UTF-8 in the mesh configuration", "binary mesh", "accessLogFile: \xff\n", `binaryData["mesh"]: not read: a text must be UTF-8, in data; save it as UTF-8, and set data["mesh"]`},
	// Sizes.
	{"a name that is too long", "values", "global: {namedRanges: {" + strings.Repeat("a", 64) + ": 10.0.0.0/8}}\n", `key "values":1:90: global.namedRanges.aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: "10.0.0.0/8": invalid range name; use at most 63 lower-case letters, digits and dashes, starting with a letter`},
	{"values that are nested too deep", "values", strings.Repeat("[", 200) + "\n", `key "values":1:101: not valid YAML or JSON: exceeded max depth of 100; look for quotes, brackets and indentation there and in the line above`},
}
