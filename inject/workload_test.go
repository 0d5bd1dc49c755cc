package inject

import (
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/config"
)

const aTemplate = `{"metadata":{"labels":{"app":"a"}},"spec":{"containers":[{"name":"a","image":"i"}]}}`

func TestFindTemplate(t *testing.T) {
	for _, c := range []struct{ version, kind, before, after, pointer string }{
		{"v1", "ReplicationController", `"template":`, ``, "/spec/template"},
		{"apps/v1", "ReplicaSet", `"template":`, ``, "/spec/template"},
		{"apps/v1", "Deployment", `"template":`, ``, "/spec/template"},
		{"extensions/v1beta1", "Deployment", `"template":`, ``, "/spec/template"},
		{"apps/v1", "StatefulSet", `"template":`, ``, "/spec/template"},
		{"apps/v1", "DaemonSet", `"template":`, ``, "/spec/template"},
		{"batch/v1", "Job", `"template":`, ``, "/spec/template"},
		{"batch/v1", "CronJob", `"jobTemplate":{"spec":{"template":`, `}}`, "/spec/jobTemplate/spec/template"},
		{"apps.openshift.io/v1", "DeploymentConfig", `"template":`, ``, "/spec/template"},
		{"argoproj.io/v1alpha1", "Rollout", `"template":`, ``, "/spec/template"},
	} {
		object := sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":"n","namespace":"ns"},"spec":{%s%s%s}}`, c.version, c.kind, c.before, aTemplate, c.after)
		got, ok, err := FindTemplate([]byte(object))
		if err != nil || !ok || got.Pointer != c.pointer || string(got.Pod) != aTemplate || got.Owner != (Owner{c.version, c.kind, "n"}) || got.Namespace != "ns" {
			t.Errorf("%s: %+v, %v, %v", c.kind, got, ok, err)
		}
	}
	if got, ok, err := FindTemplate([]byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"n"},"spec":{}}`)); err != nil || !ok || got.Pointer != "" {
		t.Errorf("Pod: %+v, %v, %v", got, ok, err)
	}
	for _, other := range []string{
		`{"apiVersion":"v1","kind":"Service"}`, `{"apiVersion":"argoproj.io/v1alpha1","kind":"Rollout","spec":{"workloadRef":{"kind":"Deployment","name":"n"}}}`,
		`{"apiVersion":"argoproj.io/v1alpha1","kind":"Workflow","spec":{"template":{}}}`,
		`{"apiVersion":"example.com/v1","kind":"Deployment","spec":{"template":{}}}`, `{}`,
	} {
		if _, ok, err := FindTemplate([]byte(other)); ok || err != nil {
			t.Errorf("%s: %v, %v", other, ok, err)
		}
	}
	for object, want := range map[string]string{
		`{"apiVersion":"apps/v1","kind":"Deployment","spec":[]}`:                          "spec: must be an object",
		`{"apiVersion":"apps/v1","kind":"Deployment","spec":{"template":"a"}}`:            "spec.template: must be an object",
		`{"apiVersion":"batch/v1","kind":"CronJob","spec":{"jobTemplate":{"spec":true}}}`: "spec.jobTemplate.spec: must be an object",
		`[]`: "not a valid Kubernetes object",
		`{`:  "not a valid Kubernetes object",
	} {
		if _, _, err := FindTemplate([]byte(object)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", object, err, want)
		}
	}
}

func TestPaths(t *testing.T) {
	more := Paths{}
	for _, text := range []string{"Ray.ray.io=spec.head.template", "Ray.ray.io=.spec.worker.template", "Ray.ray.io=spec.head.template", "Thing=template"} {
		if err := more.ParsePath(text); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	found, err := FindTemplates([]byte(`{"apiVersion":"ray.io/v1","kind":"Ray","metadata":{"name":"n"},"spec":{"head":{"template":{"spec":{"a":1}}},"worker":{"template":{"spec":{"b":2}}}}}`), more)
	if err != nil || len(found) != 2 || found[0].Pointer != "/spec/head/template" || string(found[1].Pod) != `{"spec":{"b":2}}` {
		t.Errorf("%+v, %v", found, err)
	}
	if found, err = FindTemplates([]byte(`{"apiVersion":"v1","kind":"Thing","template":{}}`), more); err != nil || len(found) != 1 {
		t.Errorf("core group: %+v, %v", found, err)
	}
	if found, err = FindTemplates([]byte(`{"apiVersion":"other/v1","kind":"Ray"}`), more); err != nil || found != nil {
		t.Errorf("another group: %+v, %v", found, err)
	}
	found, err = FindTemplates([]byte(`{"apiVersion":"ray.io/v1","kind":"Ray","spec":{"head":{"template":{}},"worker":{"template":null}}}`), more)
	if err != nil || len(found) != 2 || string(found[0].Pod) != "{}" || found[1].Pod != nil {
		t.Errorf("a template is missing: %+v %v", found, err)
	}
	for text, want := range map[string]string{
		"": "kind is required", "=spec": "kind is required", "thing=spec": "kind is required", "Thing": "kind is required",
		"Thing=": "empty path or key", "Thing=spec..template": "empty path or key",
		"Deployment.apps=spec.template": "is built in (spec.template)", "Pod=spec": "is built in (the object itself)",
	} {
		if err := (Paths{}).ParsePath(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func TestReviewWorkload(t *testing.T) {
	i := mustCompile(t, config.Texts{Config: "neverInjectSelector: [{matchLabels: {skip: me}}]"}, Environment{Kubernetes: Version{1, 28}})
	review := func(kind, meta, template string) string {
		version := "apps/v1"
		if kind == "Job" {
			version = "batch/v1"
		}
		object := sprintf(`{"apiVersion":%q,"kind":%q,"metadata":%s,"spec":{"template":%s}}`, version, kind, meta, template)
		return strings.Join(i.ReviewWorkload([]byte(object), "default", nil).Strings(), "\n")
	}
	const plain = `{"spec":{"containers":[{"name":"a","image":"i"}]}}`
	for _, c := range []struct{ name, kind, meta, template, want string }{
		{"nothing to report", "Deployment", `{"name":"a"}`, plain, ""},
		{"annotation on the wrong object", "Deployment", `{"annotations":{"traffic.sidecar.istio.io/excludeOutboundIPRanges":"10.0.0.0/8"}}`, plain, "spec.template.metadata"},
		{"bad value", "Deployment", `{}`, `{"metadata":{"annotations":{"traffic.sidecar.istio.io/excludeOutboundIPRanges":"x"}},"spec":{"containers":[{"name":"a","image":"i"}]}}`, "pods will be denied: annotation"},
		{"a setting with no effect", "Deployment", `{}`, `{"metadata":{"labels":{"skip":"me"},"annotations":{"sidecar.istio.io/proxyCPU":"1"}},"spec":{"containers":[{"name":"a","image":"i"}]}}`, "annotation sidecar.istio.io/proxyCPU: no effect: pods are not injected: the pod's labels match neverInjectSelector"},
		{"opted out", "Deployment", `{}`, `{"metadata":{"labels":{"sidecar.istio.io/inject":"false"},"annotations":{"sidecar.istio.io/proxyCPU":"1"}},"spec":{"containers":[{"name":"a","image":"i"}]}}`, ""},
		{"job with a classic sidecar", "Job", `{}`, plain, "does not complete"},
		{"no template", "Deployment", `{}`, `null`, ""},
	} {
		got := review(c.kind, c.meta, c.template)
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if got := i.ReviewWorkload([]byte(`{"apiVersion":"v1","kind":"Service"}`), "", nil); got != nil {
		t.Errorf("a Service: %q", got)
	}
}

func TestOwner(t *testing.T) {
	i := mustCompile(t, config.Texts{Config: "templates: {o: 'metadata: {labels: {owner: \"{{ .TypeMeta.APIVersion }} {{ .TypeMeta.Kind }} {{ .DeploymentMeta.Namespace }}/{{ .DeploymentMeta.Name }}\"}}'}\ndefaultTemplates: [o]"}, Environment{})
	ref := func(kind, name string) string {
		return sprintf(`"ownerReferences":[{"apiVersion":"apps/v1","kind":%q,"name":%q,"uid":"u","controller":true}]`, kind, name)
	}
	for _, c := range []struct {
		meta  string
		owner Owner
		want  string
	}{
		{`"name":"p"`, Owner{}, "v1 Pod ns/p"},
		{`"labels":{"pod-template-hash":"5d4"},` + ref("ReplicaSet", "web-5d4"), Owner{}, "apps/v1 Deployment ns/web"},
		{ref("ReplicaSet", "web-5d4"), Owner{}, "apps/v1 ReplicaSet ns/web-5d4"},
		{`"labels":{"pod-template-hash":"5d4"},` + ref("ReplicaSet", "web"), Owner{}, "apps/v1 ReplicaSet ns/web"},
		{ref("StatefulSet", "db"), Owner{}, "apps/v1 StatefulSet ns/db"},
		{`"name":"p"`, Owner{"batch/v1", "Job", "j"}, "batch/v1 Job ns/j"},
	} {
		pod := sprintf(`{"metadata":{%s},"spec":{"containers":[{"name":"a","image":"i"}]}}`, c.meta)
		result := mustInject(t, i, Request{Pod: []byte(pod), Namespace: "ns", Owner: c.owner})
		if !strings.Contains(string(result.PodJSON()), c.want) {
			t.Errorf("%s: want %q in %s", c.meta, c.want, result.PodJSON())
		}
	}
}

func TestCompileProblems(t *testing.T) {
	for text, want := range map[string]string{
		"templates:\n  a: '{{ if }}'":                    `istio-sidecar-injector key "config":2:3: templates.a: template "a": line 1`,
		"templates: {a: '{{ if }}'}":                     `templates.a: template "a": line 1`,
		"templates: {sidecar: '{{ now }}'}":              `function "now" not defined`,
		"templates: {sidecar: '{{ .Nope }}'}":            "no such field: .Nope",
		"templates: {sidecar: 'spec: ['}":                "invalid YAML",
		"templates: {sidecar: '[]'}":                     "not a mapping",
		"templates: {sidecar: 'spec: {containers: {}}'}": "the output is not a pod",
		"templates: {a: '{{ if }}', b: '{{ else }}'}":    "templates.b",
	} {
		i, problems := Compile(mustConfig(t, config.Texts{Config: text}), Environment{})
		if i != nil || problems.Err() == nil || !strings.Contains(problems.Err().Error(), want) {
			t.Errorf("%s: %v, want %q", text, problems, want)
		}
	}
}

func TestMissingValueIsAWarning(t *testing.T) {
	texts := config.Texts{Config: "templates: {sidecar: 'metadata: {labels: {x: \"{{ .Values.global.nope }}\"}}'}"}
	i, problems := Compile(mustConfig(t, texts), Environment{})
	if i == nil || len(problems.Warnings()) != 1 || !strings.Contains(problems[0].String(), "<no value>") {
		t.Errorf("%v", problems)
	}
}

// TestTemplateFailsForOnePod: the pod is rejected with the template's name and
// line; others are not.
func TestTemplateFailsForOnePod(t *testing.T) {
	i := mustCompile(t, config.Texts{Config: "templates: {sidecar: '{{ if eq .ObjectMeta.Name `bad` }}{{ fail `not this one` }}{{ end }}'}"}, Environment{})
	mustInject(t, i, Request{Pod: []byte(aTemplate)})
	e := rejection(t, i, Request{Pod: []byte(`{"metadata":{"name":"bad"},"spec":{"containers":[{"name":"a","image":"i"}]}}`)})
	if e.Code != RejectedTemplate || !strings.Contains(e.Error(), `template "sidecar": line 1`) || !strings.Contains(e.Error(), "not this one") {
		t.Errorf("%s: %v", e.Code, e)
	}
}

// FuzzInject: any bytes get an answer, and what was injected once stays as it is.
func FuzzInject(f *testing.F) {
	i := mustCompile(f, config.Texts{Config: meddling}, Environment{})
	plain := mustCompile(f, config.Texts{}, Environment{})
	f.Add([]byte(ownPod))
	f.Add([]byte(aTemplate))
	f.Add(podWith("sidecar.istio.io/status", `{"containers":["app"],"added":["/spec/x","/[a]/b"],"changed":{"/a/b":1,"/spec/containers/[app]/image":"z"}}`))
	f.Add(podWith("proxy.istio.io/overrides", `{"containers":[{"name":"istio-proxy"}]}`, "sidecar.istio.io/status", "{}"))
	f.Add(mustInject(f, i, Request{Pod: []byte(ownPod)}).PodJSON())
	f.Add(mustInject(f, plain, Request{Pod: []byte(ownPod)}).PodJSON())
	f.Add([]byte(`{"spec":{"containers":null,"volumes":[null,{"name":1}]}}`))
	f.Fuzz(func(t *testing.T, pod []byte) {
		for _, injector := range []*Injector{i, plain} {
			result, err := injector.Inject(Request{Pod: pod, Namespace: "default"})
			if err != nil || !result.Decision.Inject {
				continue
			}
			once := injected{result, pod}.PodJSON()
			again, err := injector.Inject(Request{Pod: once, Namespace: "default"})
			if err != nil {
				t.Fatalf("the injected pod is rejected: %v\n%s", err, once)
			}
			if len(again.Patch) > 0 {
				t.Fatalf("the second injection changes %s of %s", AppendPatch(nil, again.Patch), once)
			}
		}
		plain.ReviewWorkload(pod, "default", nil)
	})
}
