package webhook

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
	admissionv1 "k8s.io/api/admission/v1"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/validate"
)

// about makes a review one about an object of a resource.
func about(group, version, resource string) func(*admissionv1.AdmissionReview) {
	return func(rv *admissionv1.AdmissionReview) {
		rv.Request.Resource.Group, rv.Request.Resource.Version, rv.Request.Resource.Resource = group, version, resource
		rv.Request.Kind.Group, rv.Request.Kind.Version = group, version
	}
}

func updating(old string) func(*admissionv1.AdmissionReview) {
	return func(rv *admissionv1.AdmissionReview) {
		rv.Request.Operation, rv.Request.OldObject.Raw = admissionv1.Update, []byte(old)
	}
}

func entryOf(spec string) string {
	return `{"apiVersion":"networking.istio.io/v1","kind":"ServiceEntry","metadata":{"name":"a","namespace":"shop","creationTimestamp":"2026-01-02T00:00:00Z"},"spec":` + spec + `}`
}

func routesOf(spec string) string {
	return strings.ReplaceAll(entryOf(spec), "ServiceEntry", "VirtualService")
}

const (
	goodEntry = `{"hosts":["a.example"],"ports":[{"number":80,"name":"http","protocol":"HTTP"}],"resolution":"DNS"}`
	badEntry  = `{"hosts":["a.example"],"ports":[{"number":0,"name":"http","protocol":"HTTP"}],"resolution":"DNS"}`
)

func TestObjectHandler(t *testing.T) {
	entries := about("networking.istio.io", "v1", "serviceentries")
	routes := about("networking.istio.io", "v1", "virtualservices")
	for _, tt := range []struct {
		name     string
		object   string
		edits    []func(*admissionv1.AdmissionReview)
		reason   string // the audit annotation; "invalid" is denied
		message  string // the whole message of a denial
		warnings string // part of each, one a line
	}{
		{"good", entryOf(goodEntry), nil, "valid", "", ""},
		{"one error", entryOf(badEntry), nil, "invalid",
			`ServiceEntry shop/a: spec.ports[0].number: "0": port number must be in the range 1..65535; use the port that applications connect to`, ""},
		{"several", entryOf(`{"hosts":["*"],"ports":[{"number":0,"name":"http"}],"subjectAltNames":["x"]}`), nil, "invalid",
			"ServiceEntry shop/a: 2 problems\n" +
				`- spec.ports[0].number: "0": port number must be in the range 1..65535; use the port that applications connect to` + "\n" +
				`- spec.hosts[0]: "*": wildcard host "*" is not allowed; use a name such as httpbin.org or *.example.com`,
			"ServiceEntry shop/a: spec.subjectAltNames: no effect"},
		{"a warning", entryOf(strings.Replace(goodEntry, "{", `{"workloadSelector":{"labels":{"a":"b"}},`, 1)), nil, "valid", "", "ServiceEntry shop/a: spec.workloadSelector: no effect"},
		{"too many ports", entryOf(`{"hosts":["a.test"],"ports":[` + strings.TrimSuffix(strings.Repeat(`{"number":80,"name":"a","protocol":"TCP"},`, 3000), ",") + `]}`), nil, "invalid",
			"ServiceEntry shop/a: spec.ports: 3000 ports exceed the limit of 100 for an object, and all of it is ignored; remove ports, or raise --egress-max-object-ports", ""},
		{"a wrong type", entryOf(`{"hosts":[7],"ports":[{"number":"x"}]}`), nil, "invalid", "ServiceEntry shop/a: 2 problems\n" +
			`- spec.hosts[0]: 7: must be a string; put it in quotes` + "\n- " + `spec.ports[0].number: "x": must be a whole number, zero or more`, ""},
		{"an unknown field", entryOf(strings.Replace(goodEntry, "{", `{"hostz":["b"],`, 1)), nil, "invalid", `ServiceEntry shop/a: spec.hostz: unknown key; did you mean "hosts"?`, ""},
		{"no spec", `{"metadata":{"name":"a"}}`, nil, "invalid", "ServiceEntry shop/a: 2 problems\n" +
			"- spec.ports: service entry must have at least one port; add number, name and protocol\n- spec.hosts: service entry must have at least one host; add a host name", ""},
		{"older versions", entryOf(badEntry), []func(*admissionv1.AdmissionReview){about("networking.istio.io", "v1alpha3", "serviceentries")}, "invalid", "*", ""},
		{"beta", entryOf(badEntry), []func(*admissionv1.AdmissionReview){about("networking.istio.io", "v1beta1", "serviceentries")}, "invalid", "*", ""},
		{"routes", routesOf(`{"hosts":["a.example"],"http":[{"timeout":"-1s","route":[{"destination":{"host":"a.example"}}]}]}`), []func(*admissionv1.AdmissionReview){routes}, "invalid",
			`VirtualService shop/a: spec.http[0].timeout: "-1s": duration must be at least 1ms; use a duration such as 3s, or 0s for none`, ""},

		{"updated", entryOf(badEntry), []func(*admissionv1.AdmissionReview){updating(entryOf(goodEntry))}, "invalid", "*", ""},
		{"a label alone", strings.Replace(entryOf(badEntry), `"name"`, `"labels":{"a":"b"},"name"`, 1), []func(*admissionv1.AdmissionReview){updating(entryOf(badEntry))}, "invalid_unchanged", "",
			"ServiceEntry shop/a: error (not applied): spec.ports[0].number"},
		{"a finalizer goes", strings.Replace(entryOf(badEntry), `"name"`, `"deletionTimestamp":"2026-01-02T00:00:00Z","name"`, 1), []func(*admissionv1.AdmissionReview){updating(entryOf(goodEntry))}, "deletion", "", ""},
		{"deleted", entryOf(badEntry), []func(*admissionv1.AdmissionReview){func(rv *admissionv1.AdmissionReview) { rv.Request.Operation = admissionv1.Delete }}, "operation", "", ""},
		{"its status", entryOf(badEntry), []func(*admissionv1.AdmissionReview){func(rv *admissionv1.AdmissionReview) { rv.Request.SubResource = "status" }}, "subresource", "", ""},
		{"nothing", "null", nil, "no_object", "", ""},
		{"another kind", entryOf(badEntry), []func(*admissionv1.AdmissionReview){about("networking.istio.io", "v1", "gateways")}, "another_resource", "", ""},
		{"another version", entryOf(badEntry), []func(*admissionv1.AdmissionReview){about("networking.istio.io", "v2", "serviceentries")}, "another_resource", "", ""},
		{"another group", entryOf(badEntry), []func(*admissionv1.AdmissionReview){about("example.com", "v1", "serviceentries")}, "another_resource", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newFixture(t, nil)
			got := answerOf(t, post(NewObjectHandler(b.options), reviewOf(tt.object, append([]func(*admissionv1.AdmissionReview){entries}, tt.edits...)...)))
			checkAnswer(t, got, tt.reason, tt.message, tt.warnings)
			if n := b.metric("outrider_validation_requests_total", "reason", tt.reason); n != 1 {
				t.Errorf("requests_total{reason=%s} = %v", tt.reason, n)
			}
			if n := b.metric("outrider_validation_requests_total", "result", "denied"); (n == 1) != (tt.reason == "invalid") {
				t.Errorf("requests_total{result=denied} = %v", n)
			}
		})
	}
}

func checkAnswer(t *testing.T, got *admissionv1.AdmissionResponse, reason, message, warnings string) {
	t.Helper()
	if got.UID != "uid-1" || got.AuditAnnotations["reason"] != reason || got.Allowed != (reason != "invalid") {
		t.Errorf("allowed %v, %v; want %s", got.Allowed, got.AuditAnnotations, reason)
	}
	if got.Result == nil {
		if message != "" {
			t.Errorf("no message, want %q", message)
		}
	} else if got.Result.Message != message && message != "*" || got.Result.Code != 400 || got.Result.Reason != "BadRequest" {
		t.Errorf("message\n%s\nwant\n%s", got.Result.Message, message)
	}
	want := strings.Split(warnings, "\n")
	if warnings == "" {
		want = nil
	}
	if len(got.Warnings) != len(want) {
		t.Fatalf("warnings %q, want %q", got.Warnings, want)
	}
	for i, w := range want {
		if !strings.HasPrefix(got.Warnings[i], w) {
			t.Errorf("warning %q, want %q", got.Warnings[i], w)
		}
	}
}

// An object is validated among the published ones, and replaces its earlier state.
func TestObjectHandler_AmongPublishedObjects(t *testing.T) {
	meta := func(name string) egress.Meta {
		return egress.Meta{Namespace: "shop", Name: name, Created: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	}
	bad := &networkingv1alpha3.ServiceEntry{Hosts: []string{"*"}}
	in := egress.Input{
		Mesh:           egress.CompileMesh(config.Default().Mesh),
		ServiceEntries: []egress.ServiceEntry{{Meta: meta("a"), Spec: bad}, {Meta: meta("b"), Spec: bad}},
		Problems:       problem.List{problem.Invalid("spec", "", "was wrong before", "").In("ServiceEntry shop/a")},
	}
	b := newFixture(t, nil)
	b.options.Objects = func() (egress.Input, bool) { return in, true }
	h := NewObjectHandler(b.options)
	entries := about("networking.istio.io", "v1", "serviceentries")
	checkAnswer(t, answerOf(t, post(h, reviewOf(entryOf(goodEntry), entries))), "valid", "", "")
	checkAnswer(t, answerOf(t, post(h, reviewOf(entryOf(badEntry), entries))), "invalid",
		`ServiceEntry shop/a: spec.ports[0].number: "0": port number must be in the range 1..65535; use the port that applications connect to`, "")
	if len(in.ServiceEntries) != 2 || in.ServiceEntries[0].Spec != bad {
		t.Error("the published objects were changed")
	}
}

// configMaps validates as the program does, with the built-in configuration active.
func configMaps() *validate.ConfigMaps {
	labels := config.Labels{Config: "config", Values: "values", Mesh: "mesh"}
	return &validate.ConfigMaps{
		Location: config.LocationOf("istio-system", ""), Labels: labels,
		Check: func(edit func(*config.Texts)) (problem.List, bool) {
			texts := config.Texts{Mesh: "enableTracing: true\n"} // which warns
			edit(&texts)
			c, problems := config.Parse(texts, labels)
			if c != nil {
				_, more := inject.Compile(c, inject.Environment{})
				problems = append(problems, more...)
			}
			return problems, true
		},
	}
}

func configMap(name, data string) string {
	return `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"` + name + `","namespace":"istio-system"},"data":` + data + `}`
}

func TestConfigMapHandler(t *testing.T) {
	of := func(rv *admissionv1.AdmissionReview) {
		about("", "v1", "configmaps")(rv)
		rv.Request.Namespace = "istio-system"
	}
	const injector = "istio-sidecar-injector"
	const badValues = `{"values":"global:\n  proxy:\n    excludeIPRanges: 10.0.0.0/33\n    imag: x\n    logLevel: loud\n"}`
	for _, tt := range []struct {
		name                      string
		object                    string
		edits                     []func(*admissionv1.AdmissionReview)
		reason, message, warnings string
	}{
		{"empty", configMap(injector, "{}"), nil, "valid", "", ""},
		{"no data", configMap(injector, "null"), nil, "valid", "", ""},
		{"good", configMap(injector, `{"values":"global: {proxy: {excludeIPRanges: 10.0.0.0/8}}"}`), nil, "valid", "", ""},
		{"all that is wrong", configMap(injector, badValues), nil, "invalid", "ConfigMap istio-system/istio-sidecar-injector: 2 problems\n" +
			`- key "values":3:22: global.proxy.excludeIPRanges: "10.0.0.0/33": prefix length 33 exceeds 32 for IPv4; use a prefix length from 0 to 32` + "\n" +
			`- key "values":5:15: global.proxy.logLevel: "loud": not an Envoy log level; use one of trace, debug, info, warning, error, critical, off`,
			`ConfigMap istio-system/istio-sidecar-injector: key "values":4:5: global.proxy.imag: unknown key; did you mean "image"?`},
		{"no YAML", configMap(injector, `{"values":"a: [","config":"}"}`), nil, "invalid", "*", ""},
		{"a template that does not compile", configMap(injector, `{"config":"templates:\n  mine: |\n    {{ if }}\n"}`), nil, "invalid", "*", ""},
		{"mesh", configMap("istio", `{"mesh":"outboundTrafficPolicy: {mode: SOMETIMES}","meshNetworks":"networks: {}"}`), nil, "invalid",
			`ConfigMap istio-system/istio: key "mesh":1:31: outboundTrafficPolicy.mode: "SOMETIMES": must be one of "REGISTRY_ONLY", "ALLOW_ANY", "ALLOW_ANY_DYNAMIC_DNS"`, ""},
		{"only a key that is not read", configMap("istio", `{"mash":"a: b"}`), nil, "invalid",
			`ConfigMap istio-system/istio: data: has the key "mash", which is not read, and none of "mesh", "meshNetworks"; rename it to "mesh"; for the defaults, remove it`, ""},
		{"a key that is not read", configMap("istio", `{"mash":"a: b","mesh":""}`), nil, "valid", "", `ConfigMap istio-system/istio: data["mash"]: unknown key, ignored; did you mean "mesh"?`},
		{"a label alone", configMap(injector, badValues), []func(*admissionv1.AdmissionReview){updating(configMap(injector, badValues))}, "invalid_unchanged", "",
			`ConfigMap istio-system/istio-sidecar-injector: error (not applied): key "values":3:22` + "\nConfigMap istio-system/istio-sidecar-injector: error\n" + `ConfigMap istio-system/istio-sidecar-injector: key "values":4:5`},
		{"made worse", configMap(injector, badValues), []func(*admissionv1.AdmissionReview){updating(configMap(injector, `{}`))}, "invalid", "*", "ConfigMap"},
		{"another one", configMap("kube-root-ca.crt", badValues), nil, "another_configmap", "", ""},
		{"another namespace's", configMap(injector, badValues), []func(*admissionv1.AdmissionReview){func(rv *admissionv1.AdmissionReview) { rv.Request.Namespace = "shop" }}, "another_configmap", "", ""},
		{"another resource", configMap(injector, badValues), []func(*admissionv1.AdmissionReview){about("", "v1", "secrets")}, "another_resource", "", ""},
		{"deleted", configMap(injector, badValues), []func(*admissionv1.AdmissionReview){func(rv *admissionv1.AdmissionReview) { rv.Request.Operation = admissionv1.Delete }}, "operation", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newFixture(t, nil)
			b.options.ConfigMaps = configMaps()
			got := answerOf(t, post(NewConfigMapHandler(b.options), reviewOf(tt.object, append([]func(*admissionv1.AdmissionReview){of}, tt.edits...)...)))
			checkAnswer(t, got, tt.reason, tt.message, tt.warnings)
		})
	}
}

// What cannot be validated is allowed with a warning: the control plane validates
// it again.
func TestValidation_FailsOpen(t *testing.T) {
	b := newFixture(t, nil)
	b.options.ConfigMaps = configMaps()
	b.options.ConfigMaps.Check = func(func(*config.Texts)) (problem.List, bool) { return nil, false }
	of := func(rv *admissionv1.AdmissionReview) {
		about("", "v1", "configmaps")(rv)
		rv.Request.Namespace = "istio-system"
	}
	checkAnswer(t, answerOf(t, post(NewConfigMapHandler(b.options), reviewOf(configMap("istio", `{"mesh":"["}`), of))),
		"valid", "", "ConfigMap istio-system/istio: not validated: replica still starting")

	b.options.ConfigMaps.Check = func(func(*config.Texts)) (problem.List, bool) { panic("a defect") }
	b.options.Objects = func() (egress.Input, bool) { panic("a defect") }
	checkAnswer(t, answerOf(t, post(NewConfigMapHandler(b.options), reviewOf(configMap("istio", `{}`), of))), "panic", "", "not validated: internal error; see the Outrider log")
	checkAnswer(t, answerOf(t, post(NewObjectHandler(b.options), reviewOf(entryOf(badEntry), about("networking.istio.io", "v1", "serviceentries")))),
		"panic", "", "not validated: internal error; see the Outrider log")
	if n := b.metric("outrider_validation_requests_total", "result", "error", "resource", "serviceentries"); n != 1 {
		t.Errorf("%v errors counted", n)
	}
	if n := b.metric("sidecar_injection_panics_total"); n != 2 {
		t.Errorf("%v panics counted", n)
	}
}

// FuzzValidation sends any bytes as a review, and any as the object in one: the
// response is a text with a status, or a review that carries the uid; a denial
// has a message, and nothing panics.
func FuzzValidation(f *testing.F) {
	whole := func(object, resource string) []byte {
		group := "networking.istio.io"
		if resource == "configmaps" {
			group = ""
		}
		return reviewOf(object, about(group, "v1", resource), func(rv *admissionv1.AdmissionReview) { rv.Request.Namespace = "istio-system" })
	}
	f.Add(whole(entryOf(goodEntry), "serviceentries"), uint8(0))
	f.Add(whole(routesOf(`{"hosts":["a.example"],"http":[{"timeout":"3s","match":[{"uri":{"prefix":"/"}}],"route":[{"destination":{"host":"a.example"}}]}]}`), "virtualservices"), uint8(1))
	f.Add(whole(configMap("istio", `{"mesh":"accessLogFile: /dev/stdout\n"}`), "configmaps"), uint8(2))
	f.Add([]byte(entryOf(badEntry)), uint8(0))
	f.Add([]byte(`{"spec":{"hosts":["\ud800"],"ports":[{"number":1e99}],"endpoints":[{"ports":{"":1}}]}}`), uint8(0))
	f.Add([]byte(`{"spec":{"tls":[{}],"tcp":[null],"http":[{"mirrors":[{}],"retries":{"attempts":-1}}]}}`), uint8(1))
	f.Add([]byte(`{"metadata":{"name":"istio-sidecar-injector"},"data":{"config":"templates: {a: '{{ .x }}'}","values":"{"}}`), uint8(2))
	f.Add([]byte(`{"metadata":7,"data":[],"spec":"x"}`), uint8(2))
	metrics, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		f.Fatal(err)
	}
	o := Options{Active: func() *inject.Injector { return nil }, Log: logr.Discard(), Metrics: metrics, ConfigMaps: configMaps(),
		Objects: func() (egress.Input, bool) {
			return egress.Input{Mesh: egress.CompileMesh(config.Default().Mesh)}, true
		}}
	objects, maps := NewObjectHandler(o), NewConfigMapHandler(o)
	f.Fuzz(func(t *testing.T, body []byte, which uint8) {
		bodies := [][]byte{body}
		if object := string(body); strings.HasPrefix(object, "{") && json.Valid(body) {
			bodies = append(bodies, whole(object, []string{"serviceentries", "virtualservices", "configmaps"}[which%3]))
		}
		for _, body := range bodies {
			h := objects
			if which%3 == 2 {
				h = maps
			}
			w := post(h, body)
			if w.Code == 400 && w.Body.Len() > 0 && w.Body.Len() < 2000 {
				continue
			}
			got := answerOf(t, w)
			if got.UID == "" || got.AuditAnnotations["reason"] == "panic" || !got.Allowed && (got.Result == nil || got.Result.Message == "") {
				t.Errorf("the response %s", w.Body)
			}
		}
	})
}

// A ConfigMap with more data than the API server stores is denied before it is parsed.
func TestConfigMapHandler_Size(t *testing.T) {
	b := newFixture(t, nil)
	b.options.ConfigMaps = configMaps()
	parsed := 0
	check := b.options.ConfigMaps.Check
	b.options.ConfigMaps.Check = func(edit func(*config.Texts)) (problem.List, bool) { parsed++; return check(edit) }
	of := func(rv *admissionv1.AdmissionReview) {
		about("", "v1", "configmaps")(rv)
		rv.Request.Namespace = "istio-system"
	}
	h := NewConfigMapHandler(b.options)
	const maxData = 1 << 20 // as the API server's
	for _, size := range []int{0, 1, 5 << 20} {
		text := strings.Repeat("#", maxData-len("values")+size)
		reason, message := "valid", ""
		if size > 0 {
			reason = "invalid"
			message = fmt.Sprintf("ConfigMap istio-system/istio-sidecar-injector: data: data of %d bytes exceed the limit of 1048576 for a ConfigMap; remove comments and templates that are not used", maxData+size)
		}
		checkAnswer(t, answerOf(t, post(h, reviewOf(configMap("istio-sidecar-injector", `{"values":"`+text+`"}`), of))), reason, message, "")
	}
	if parsed != 1 {
		t.Errorf("%d were parsed, want 1", parsed)
	}
}
