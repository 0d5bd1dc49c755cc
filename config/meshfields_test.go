package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

func jsonNamesOf(m protoreflect.ProtoMessage) (names []string) {
	fields := m.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		names = append(names, fields.Get(i).JSONName())
	}
	return names
}

// Every field of MeshConfig has an effect, or a warning that it has none.
func TestEveryMeshField(t *testing.T) {
	names := jsonNamesOf(&meshconfig.MeshConfig{})
	for _, name := range names {
		_, without := ineffectiveMeshFields[name]
		if slices.Contains(effectiveMeshFields, name) == without {
			t.Errorf("%s: in both tables or in none", name)
		}
	}
	for name := range ineffectiveMeshFields {
		if !slices.Contains(names, name) {
			t.Errorf("%s is not a field of MeshConfig", name)
		}
	}
	for name, note := range ineffectiveMeshFields {
		quiet := append(slices.Clone(note.quiet), "", "[]", "{}")
		for _, value := range quiet {
			n, _ := document.Load(name+": "+value, maxText)
			if ps := ineffectiveOf(n); len(ps) > 0 {
				t.Errorf("%s: %s: %s", name, value, ps)
			}
		}
		n, _ := document.Load(name+": [other]", maxText)
		if ps := ineffectiveOf(n); len(ps) != 1 || ps[0].Severity != problem.Warning || !strings.Contains(ps[0].String(), name+": a list: no effect: "+note.why) {
			t.Errorf("%s: %s", name, ps)
		}
	}
}

func ineffectiveOf(n *document.Node) (ps problem.List) {
	newReader(&ps, "", "mesh").ineffectiveFields(n, &meshconfig.MeshConfig{})
	return ps
}

func TestMeshFieldsWithoutEffect(t *testing.T) {
	checkMessages(t, []messageCase{
		{"dynamic DNS", Texts{Mesh: "outboundTrafficPolicy: {mode: ALLOW_ANY_DYNAMIC_DNS, tls: {mode: SIMPLE}}"}, []string{
			`warning outboundTrafficPolicy.mode: "ALLOW_ANY_DYNAMIC_DNS": no effect: not supported, the mode is ALLOW_ANY`, `warning outboundTrafficPolicy.tls: a mapping: no effect`}},
		{"any", Texts{Mesh: "outboundTrafficPolicy: {mode: ALLOW_ANY}"}, nil},
		{"several", Texts{Mesh: "enableAutoMtls: true\ndefaultDestinationRuleExportTo: ['.']\ntrustDomain: example.org\nlocalityLbSetting: {enabled: true}\nh2UpgradePolicy: UPGRADE\n"}, []string{
			"warning enableAutoMtls: true: no effect", "warning :2:1: defaultDestinationRuleExportTo: a list: no effect: DestinationRules are not read; remove it",
			`warning trustDomain: "example.org": no effect`, "warning localityLbSetting: a mapping: no effect", `warning h2UpgradePolicy: "UPGRADE": no effect`}},
		{"as it is", Texts{Mesh: "defaultServiceExportTo: ['*']\ntrustDomain: cluster.local\npathNormalization: {normalization: BASE}\ninboundTrafficPolicy: {mode: PASSTHROUGH}\nenableTracing: false\nextensionProviders: []\n"}, nil},
		{"read by a template", Texts{Mesh: "trustDomain: example.org\ninboundTrafficPolicy: {mode: LOCALHOST}", Config: "templates: {x: '{{ .MeshConfig.TrustDomain }}{{ .InboundTrafficPolicyMode }}'}"}, nil},
		{"defaultConfig", Texts{Mesh: "defaultConfig: {statusPort: 15020, proxyAdminPort: 15000, tracing: {}, serviceCluster: istio-proxy, binaryPath: /usr/local/bin/envoy}"}, nil},
		{"defaultConfig without effect", Texts{Mesh: "defaultConfig: {statusPort: 15099, proxyAdminPort: 15001, tracing: {sampling: 5}, serviceCluster: x}"}, []string{
			"warning defaultConfig.statusPort: no effect", "warning defaultConfig.proxyAdminPort: no effect", "warning defaultConfig.tracing: no effect", "warning defaultConfig.serviceCluster: no effect"}},
		{"proxyHeaders", Texts{Mesh: "defaultConfig: {proxyHeaders: {requestId: {disabled: true}, attemptCount: {}, envoyDebugHeaders: {disabled: true}, server: {value: x}}}"}, nil},
		{"proxyHeaders without effect", Texts{Mesh: "defaultConfig: {proxyHeaders: {forwardedClientCert: SANITIZE, requestId: {disabled: true}}}"}, []string{
			`warning defaultConfig.proxyHeaders.forwardedClientCert: no effect: the proxy neither adds nor changes what it is about; remove it`}},
		{"defaultConfig for an agent", Texts{Mesh: "defaultConfig: {tracing: {sampling: 5}}", Config: "templates: {sidecar: '{{ protoToJSON .ProxyConfig }}'}"}, nil},
		{"another port", Texts{Mesh: "proxyListenPort: 15101"}, []string{`warning proxyListenPort: 15101: no effect`}},
		{"the port", Texts{Mesh: "proxyListenPort: 15001"}, nil},
	})
}

// The warnings are one a field, however much is in it.
func TestMeshWarningsAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("extensionProviders:\n")
	for i := range 1000 {
		fmt.Fprintf(&b, "- {name: p%d, zipkin: {service: zipkin.x.svc, port: 9411}}\n", i)
	}
	if _, ps := Parse(Texts{Mesh: b.String()}, Labels{}); len(ps) != 1 {
		t.Errorf("%d problems", len(ps))
	}
}

// A key of the values that a template reads has an effect.
func TestValuesReadByTemplates(t *testing.T) {
	values := "global: {network: net1, logging: {level: debug}, proxy: {statusPort: 15099, image: proxyv2, includeInboundPorts: '80'}}"
	checkMessages(t, []messageCase{
		{"built-in", Texts{Values: values}, []string{
			`warning global.network: "net1": no effect: the mesh is one network`, `warning global.logging.level: "debug": no effect: there is no agent; use global.proxy.logLevel`,
			"warning global.proxy.statusPort: 15099: no effect", "warning global.proxy.image: \"proxyv2\": not an Envoy image", "warning global.proxy.includeInboundPorts"}},
		{"own", Texts{Values: values, Config: "templates: {sidecar: '{{ .Values.global.network }}{{ .Values.global.logging.level }}{{ .Values.global.proxy.statusPort }}{{ .Values.global.proxy.includeInboundPorts }}'}"}, nil},
	})
}
