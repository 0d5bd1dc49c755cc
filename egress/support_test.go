package egress_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/test/egresstest"
	"github.com/outrider-mesh/outrider/test/kit"
)

// apiFields are the fields of a message of the API, and of the messages in the
// fields that have an effect.
func apiFields(d protoreflect.MessageDescriptor, into map[protoreflect.FullName]protoreflect.FieldDescriptor) {
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		if into[f.FullName()] != nil {
			continue
		}
		into[f.FullName()] = f
		inner := f.Message()
		if f.IsMap() {
			inner = f.MapValue().Message()
		}
		if inner != nil && inner.ParentFile().Package() == "istio.networking.v1alpha3" && egress.SupportOf(f.FullName()).Rule == "" {
			apiFields(inner, into)
		}
	}
}

func allFields() map[protoreflect.FullName]protoreflect.FieldDescriptor {
	all := map[protoreflect.FullName]protoreflect.FieldDescriptor{}
	apiFields((&networkingv1alpha3.ServiceEntry{}).ProtoReflect().Descriptor(), all)
	apiFields((&networkingv1alpha3.VirtualService{}).ProtoReflect().Descriptor(), all)
	apiFields((&networkingv1alpha3.Sidecar{}).ProtoReflect().Descriptor(), all)
	return all
}

// TestEveryFieldIsListed has the fields of the API, those of a later version, too:
// each either has an effect or has a problem of its own.
func TestEveryFieldIsListed(t *testing.T) {
	const unlisted = "Outrider does not read this field"
	if p := egress.SupportOf("istio.networking.v1alpha3.ServiceEntry.of_next_year"); p.Rule != "no effect: "+unlisted || p.Severity != problem.Warning {
		t.Errorf("a field that is not listed: %+v", p)
	}
	fields := allFields()
	if len(fields) < 90 {
		t.Errorf("only %d fields", len(fields))
	}
	for name := range fields {
		if p := egress.SupportOf(name); strings.Contains(p.Rule, unlisted) {
			t.Errorf("%s is not listed: does it have an effect?", name)
		}
	}
}

// fieldsWithoutEffect are objects with each field that has no effect, or is
// rejected.
func fieldsWithoutEffect() map[string]string {
	const entry = `{hosts: [e.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: STATIC, endpoints: [{address: 192.0.2.1, FIELD}]}`
	endpoint := func(field string) string { return egresstest.EntryText(strings.Replace(entry, "FIELD", field, 1)) }
	top := func(field string) string {
		return egresstest.EntryText(`{hosts: [e.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS, ` + field + `}`)
	}
	routes := func(field string) string { return egresstest.RouteText(route(field)) }
	destination := func(field string) string {
		return egresstest.RouteText(`{hosts: [a.example], http: [{route: [{destination: {host: a.example, ` + field + `}}]}]}`)
	}
	return map[string]string{
		"ServiceEntry.location":                      top(`location: MESH_INTERNAL`),
		"ServiceEntry.workload_selector":             top(`workloadSelector: {labels: {a: b}}`),
		"ServiceEntry.subject_alt_names":             top(`subjectAltNames: [e.example]`),
		"WorkloadEntry.labels":                       endpoint(`labels: {a: b}`),
		"WorkloadEntry.network":                      endpoint(`network: net1`),
		"WorkloadEntry.locality":                     endpoint(`locality: eu/a`),
		"WorkloadEntry.service_account":              endpoint(`serviceAccount: x`),
		"VirtualService.tcp":                         egresstest.RouteText(`{hosts: [a.example], tcp: [{}]}`),
		"HTTPRoute.delegate":                         routes(`delegate: {name: d}`),
		"HTTPMatchRequest.source_labels":             routes(`match: [{sourceLabels: {a: b}}]`),
		"HTTPMatchRequest.source_namespace":          routes(`match: [{sourceNamespace: shop}]`),
		"HTTPMatchRequest.stat_prefix":               routes(`match: [{statPrefix: shop}]`),
		"TLSMatchAttributes.destination_subnets":     egresstest.RouteText(sni(`match: [{sniHosts: [tls.example], destinationSubnets: [10.0.0.0/8]}], ` + toTLS)),
		"TLSMatchAttributes.source_labels":           egresstest.RouteText(sni(`match: [{sniHosts: [tls.example], sourceLabels: {a: b}}], ` + toTLS)),
		"TLSMatchAttributes.source_namespace":        egresstest.RouteText(sni(`match: [{sniHosts: [tls.example], sourceNamespace: shop}], ` + toTLS)),
		"Destination.subset":                         destination(`subset: v1`),
		"HTTPRedirect.prefix_rewrite":                egresstest.RouteText(`{hosts: [a.example], http: [{redirect: {prefixRewrite: /x}}]}`),
		"HTTPFaultInjection.Delay.exponential_delay": routes(`fault: {delay: {percentage: {value: 1}, exponentialDelay: 1s}}`),
		"HTTPFaultInjection.Abort.http2_error":       routes(`fault: {abort: {percentage: {value: 1}, http2Error: "NO"}}`),
		"Sidecar.ingress":                            egresstest.SidecarText(`{egress: [{hosts: ["*/*"]}], ingress: [{port: {number: 80, protocol: HTTP, name: a}}]}`),
		"Sidecar.inbound_connection_pool":            egresstest.SidecarText(`{egress: [{hosts: ["*/*"]}], inboundConnectionPool: {tcp: {maxConnections: 1}}}`),
		"SidecarPort.protocol":                       egresstest.SidecarText(`{egress: [{hosts: ["*/*"], port: {number: 80, protocol: HTTP}}]}`),
		"SidecarPort.name":                           egresstest.SidecarText(`{egress: [{hosts: ["*/*"], port: {number: 80, name: http}}]}`),
		"SidecarPort.target_port":                    egresstest.SidecarText(`{egress: [{hosts: ["*/*"], port: {number: 80, targetPort: 81}}]}`),
		"OutboundTrafficPolicy.egress_proxy":         egresstest.SidecarText(`{outboundTrafficPolicy: {mode: ALLOW_ANY, egressProxy: {host: a.example}}}`),
		"HTTPRetry.retry_remote_localities":          routes(`retries: {attempts: 1, retryRemoteLocalities: true}`),
	}
}

// TestNoFieldIsSilent has one object for each field that has no effect: it has one
// problem, at that field.
func TestNoFieldIsSilent(t *testing.T) {
	objects := fieldsWithoutEffect()
	for name, field := range allFields() {
		want := egress.SupportOf(name)
		if want.Rule == "" {
			continue
		}
		text, found := objects[strings.TrimPrefix(string(name), "istio.networking.v1alpha3.")]
		if !found {
			t.Errorf("no object has %s", name)
			continue
		}
		_, problems := egress.Build(egresstest.Parse(t, text+world))
		if len(problems) != 1 || problems[0].Rule != want.Rule || problems[0].Severity != want.Severity || !strings.HasSuffix(problems[0].Path, "."+field.JSONName()) {
			t.Errorf("%s: problems %v, want %q", name, problems, want.Rule)
		}
	}
}

// TestListedFieldsHaveAnEffect clears each field of objects: something changes,
// the resources or the problems.
func TestListedFieldsHaveAnEffect(t *testing.T) {
	inputs, err := filepath.Glob("envoy/testdata/*/input.yaml")
	kit.Must(t, err)
	missing := map[protoreflect.FullName]bool{}
	for name := range allFields() {
		missing[name] = egress.SupportOf(name).Rule == ""
	}
	for _, file := range append(inputs, "testdata/fields.yaml") {
		text, err := os.ReadFile(file)
		kit.Must(t, err)
		in := egresstest.Parse(t, string(text))
		before := outcome(t, in)
		try := func(m protoreflect.Message) {
			for _, clear := range settings(m) {
				if name, undo := clear(); missing[name] {
					if !bytes.Equal(outcome(t, in), before) {
						delete(missing, name)
					}
					undo()
				} else {
					undo()
				}
			}
		}
		for _, e := range in.ServiceEntries {
			try(e.Spec.ProtoReflect())
		}
		for _, v := range in.VirtualServices {
			try(v.Spec.ProtoReflect())
		}
		for _, s := range in.Sidecars {
			try(s.Spec.ProtoReflect())
		}
	}
	for name, is := range missing {
		if is {
			t.Errorf("nothing changes without %s", name)
		}
	}
}

// outcome are the problems of an input and the resources of two namespaces.
func outcome(t *testing.T, in egress.Input) []byte {
	t.Helper()
	m, problems := egress.Build(in)
	out := []byte(problems.Error())
	for _, namespace := range []string{"shop", "default", "other"} {
		messages := egresstest.Make(t, m.View(namespace))
		for _, c := range messages.Clusters {
			out = appendMessage(t, out, c)
		}
		for _, l := range messages.Listeners {
			out = appendMessage(t, out, l)
		}
		for _, r := range messages.Routes {
			out = appendMessage(t, out, r)
		}
	}
	return out
}

func appendMessage(t *testing.T, out []byte, m proto.Message) []byte {
	t.Helper()
	out, err := proto.MarshalOptions{Deterministic: true}.MarshalAppend(out, m)
	kit.Must(t, err)
	return out
}

// settings are the fields that a message and the messages in it set. Calling one
// clears it, and returns its name and what sets it again.
func settings(m protoreflect.Message) (out []func() (protoreflect.FullName, func())) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		out = append(out, func() (protoreflect.FullName, func()) {
			saved := copied(m, f)
			m.Clear(f)
			return f.FullName(), func() { m.Set(f, saved) }
		})
		switch {
		case f.IsMap() && f.MapValue().Message() != nil:
			v.Map().Range(func(_ protoreflect.MapKey, inner protoreflect.Value) bool {
				out = append(out, settings(inner.Message())...)
				return true
			})
		case f.IsMap():
		case f.IsList() && f.Message() != nil:
			for i := range v.List().Len() {
				out = append(out, settings(v.List().Get(i).Message())...)
			}
		case !f.IsList() && f.Message() != nil:
			out = append(out, settings(v.Message())...)
		}
		return true
	})
	return out
}

// copied is the value of a field, and for a list or a mapping one with the same
// items, which clearing the field does not change.
func copied(m protoreflect.Message, f protoreflect.FieldDescriptor) protoreflect.Value {
	v, out := m.Get(f), m.NewField(f)
	switch {
	case f.IsMap():
		v.Map().Range(func(k protoreflect.MapKey, inner protoreflect.Value) bool {
			out.Map().Set(k, inner)
			return true
		})
	case f.IsList():
		for i := range v.List().Len() {
			out.List().Append(v.List().Get(i))
		}
	default:
		return v
	}
	return out
}
