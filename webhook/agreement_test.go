package webhook

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tidwall/gjson"
	"golang.org/x/tools/txtar"
	admissionv1 "k8s.io/api/admission/v1"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/manifest"
	"github.com/outrider-mesh/outrider/ranges"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/literals"
	"github.com/outrider-mesh/outrider/test/objects"
	"github.com/outrider-mesh/outrider/validate"
)

// agreement compares admission with what is found in files.
type agreement struct {
	t        *testing.T
	b        *fixture
	injector *inject.Injector
	options  validate.Options
	objects  egress.Input
	compared map[string]int // inputs by kind
	messages map[string]bool
}

// noRanges is why names of ranges are not known, as in files.
const noRanges = "the cluster's ranges are not in these files; pass --ranges-from FILE"

func newAgreement(t *testing.T) *agreement {
	t.Helper()
	a := &agreement{t: t, compared: map[string]int{}, messages: map[string]bool{}, options: validate.Options{
		Location: config.LocationOf("istio-system", ""), Labels: config.LocationOf("istio-system", "").Labels(),
	}}
	a.objects.Mesh = egress.CompileMesh(config.Default().Mesh)
	a.injector, _ = a.compile(config.Texts{})
	a.b = newFixture(t, a.injector)
	a.b.options.Objects = func() (egress.Input, bool) { return a.objects, true }
	a.b.options.ConfigMaps = &validate.ConfigMaps{
		Location: a.options.Location, Labels: a.options.Labels,
		Check: func(edit func(*config.Texts)) (problem.List, bool) {
			var texts config.Texts
			edit(&texts)
			_, problems := a.compile(texts)
			return problems, true
		},
	}
	return a
}

// compile compiles a configuration as the control plane does.
func (a *agreement) compile(texts config.Texts) (*inject.Injector, problem.List) {
	c := validate.ReadConfiguration(texts, nil, a.options.Labels, egress.CompileMesh)
	return c.Compile(inject.Environment{Ranges: ranges.NoCluster(noRanges)})
}

// inFiles are the findings in a file with objects.
func (a *agreement) inFiles(texts ...string) *validate.Report {
	all := validate.New(a.options)
	for i, text := range texts {
		all.Add(validate.Document{File: "a.yaml", Document: manifest.Document{Text: []byte(text), Line: i + 1}})
	}
	return all.Report()
}

// compare compares the answer of a handler about an object with the findings of that name.
func (a *agreement) compare(place, object string, got *admissionv1.AdmissionResponse, subject string, findings []validate.Finding) {
	a.t.Helper()
	var errs, warnings []string
	partial := false
	for _, f := range findings {
		p := problemOf(a.t, f)
		a.messages[p.Rule] = true
		severity := f.Severity
		if f.Severity == validate.SeverityNote {
			if severity = validate.SeverityWarning; p.Rule == "cannot be resolved: "+noRanges {
				partial = true // admission ends there, in files the rest is compiled, too
				severity = validate.SeverityError
			}
		}
		if severity == validate.SeverityError {
			errs = append(errs, problem.Clip(p.String(), maxProblem))
		} else {
			warnings = append(warnings, message{subject, p}.short())
		}
	}
	denied, shown := itemsOf(subject, got)
	a.same(place+" "+object, "errors", denied, errs, partial)
	a.same(place+" "+object, "warnings", shown, warnings, partial || len(denied) > 0 && slices.ContainsFunc(denied, func(s string) bool { return strings.HasPrefix(s, "and ") }))
}

// sourceOf is a key of a ConfigMap before a message.
var sourceOf = regexp.MustCompile(`^(key "[^"]*"|ConfigMap [^"]*, key "[^"]*")(:\d+)*: `)

// problemOf is a finding as the problem that it is of.
func problemOf(t *testing.T, f validate.Finding) problem.Problem {
	t.Helper()
	p := problem.Problem{Path: f.Path, Value: f.Value, Fix: f.Fix, Rule: f.Message}
	if source := sourceOf.FindString(f.Message); source != "" {
		p.Source, p.Rule = strings.TrimSuffix(source, ": "), strings.TrimPrefix(f.Message, source)
	}
	for _, part := range []string{problem.Printable(f.Path), problem.Printable(f.Value)} {
		if part != "" {
			p.Rule = strings.TrimPrefix(p.Rule, part+": ")
		}
	}
	if f.Fix != "" {
		p.Rule = strings.TrimSuffix(p.Rule, "; "+problem.Printable(f.Fix))
	}
	if p.String() != f.Message {
		t.Fatalf("%+v\nis not the message %q", p, f.Message)
	}
	return p
}

// itemsOf are the errors and the warnings of an answer.
func itemsOf(subject string, got *admissionv1.AdmissionResponse) (errs, warnings []string) {
	if !got.Allowed {
		text := strings.TrimPrefix(got.Result.Message, subject)
		number, rest, _ := strings.Cut(text, " problems")
		n, err := strconv.Atoi(number)
		switch {
		case err != nil:
			errs = []string{text}
		case strings.HasPrefix(rest, "\n- "):
			errs = strings.Split(strings.TrimPrefix(rest, "\n- "), "\n- ")
		default:
			rest = strings.TrimPrefix(rest, ": (1) ")
			for i := 2; i <= n; i++ {
				head, tail, ok := strings.Cut(rest, fmt.Sprintf(" (%d) ", i))
				if !ok {
					break
				}
				errs, rest = append(errs, head), tail
			}
			head, more, ok := strings.Cut(rest, " and ")
			if ok && strings.HasSuffix(more, " more") && len(errs)+1 < n {
				rest = head
				errs = append(errs, rest, "and "+more)
			} else {
				errs = append(errs, rest)
			}
		}
	}
	return errs, got.Warnings
}

// same compares two sets of messages; some of admission's may be omitted and counted.
func (a *agreement) same(place, what string, admission, files []string, partial bool) {
	a.t.Helper()
	left := slices.Clone(files)
	slices.Sort(left)
	left = slices.Compact(left)
	omitted := false
	for _, m := range slices.Compact(slices.Sorted(slices.Values(admission))) {
		if strings.HasPrefix(m, "and ") && (strings.HasSuffix(m, " more") || strings.Contains(m, " more warnings")) {
			omitted = true
			continue
		}
		i := slices.Index(left, m)
		if i < 0 {
			a.t.Errorf("%.300s\n%s of admission only: %q\nin files: %q", place, what, m, files)
			return
		}
		left = slices.Delete(left, i, i+1)
	}
	if len(left) > 0 && !omitted && !partial {
		a.t.Errorf("%.300s\n%s in files only: %q\nof admission: %q", place, what, left, admission)
	}
}

// meshObject compares about a ServiceEntry, a VirtualService or a Sidecar, among others.
func (a *agreement) meshObject(place, kind, object string, findings []validate.Finding) {
	a.t.Helper()
	namespace, name := gjson.Get(object, "metadata.namespace").String(), gjson.Get(object, "metadata.name").String()
	resource := map[string]string{egress.KindServiceEntry: "serviceentries", egress.KindVirtualService: "virtualservices", egress.KindSidecar: "sidecars"}[kind]
	got := answerOf(a.t, post(NewObjectHandler(a.b.options), reviewOf(object, about("networking.istio.io", "v1", resource), func(rv *admissionv1.AdmissionReview) {
		rv.Request.Namespace = namespace
	})))
	source := kind + " " + namespace + "/" + name
	a.compared[kind]++
	a.compare(place, object, got, source+": ", of(findings, source))
}

func of(findings []validate.Finding, object string) (out []validate.Finding) {
	for _, f := range findings {
		if f.Object == object {
			out = append(out, f)
		}
	}
	return out
}

// one compares about one object, as it is in a file.
func (a *agreement) one(place, kind, spec string) {
	a.t.Helper()
	object := fmt.Sprintf(`{"apiVersion":"networking.istio.io/v1","kind":%q,"metadata":{"name":"a","namespace":"shop"},"spec":%s}`, kind, spec)
	a.meshObject(place, kind, object, a.inFiles(object).Findings)
}

// configMap compares about one of the two ConfigMaps.
func (a *agreement) configMap(place, name string, content map[string]any) {
	a.t.Helper()
	content["apiVersion"], content["kind"], content["metadata"] = "v1", "ConfigMap", map[string]any{"name": name, "namespace": "istio-system"}
	object, err := json.Marshal(content)
	kit.Must(a.t, err)
	got := answerOf(a.t, post(NewConfigMapHandler(a.b.options), reviewOf(string(object), about("", "v1", "configmaps"), func(rv *admissionv1.AdmissionReview) {
		rv.Request.Namespace = "istio-system"
	})))
	subject := "ConfigMap istio-system/" + name
	a.compared["ConfigMap"]++
	a.compare(place, string(object), got, subject+": ", of(a.inFiles(string(object)).Findings, subject))
}

// workload compares about a pod or a workload.
func (a *agreement) workload(place, object string) {
	a.t.Helper()
	report := a.inFiles(object)
	if report.Summary.Objects != 1 {
		return // of no kind that is injected
	}
	handler, edit := NewWorkloadHandler(a.b.options), workload("apps", "Deployment", "deployments")
	kind := gjson.Get(object, "kind").String()
	if kind == "Pod" {
		handler, edit = NewPodHandler(a.b.options), func(*admissionv1.AdmissionReview) {}
	}
	namespace := gjson.Get(object, "metadata.namespace").String()
	if namespace == "" {
		namespace = "default"
	}
	got := answerOf(a.t, post(handler, reviewOf(object, edit, func(rv *admissionv1.AdmissionReview) { rv.Request.Namespace = namespace })))
	findings := report.Findings
	if kind != "Pod" { // whose errors are those of its pods, and warnings there
		for i := range findings {
			findings[i].Severity = validate.SeverityWarning
		}
	}
	a.compared["workload"]++
	a.compare(place, object, got, "", slices.DeleteFunc(findings, func(f validate.Finding) bool {
		return f.Object == "" || f.Path == "metadata.name" && f.RuleID == "required"
	}))
}

// TestAgreement: what admission answers about an object, and what is found in a file with
// it, are the same words. The inputs are those of the other tests.
func TestAgreement(t *testing.T) {
	a := newAgreement(t)
	for _, dir := range []string{"egress", "egress/envoy", "egress/decide", "egress/xds", "egress/kube", "webhook", "serve", "explain", "cmd/outrider", "test/scenarios", "inject", "manifest", "deploy"} {
		for _, text := range literals.Of(t, filepath.Join("..", dir)) {
			a.text(text.Place, text.Value)
		}
	}
	for _, row := range literals.Rows(t, filepath.Join("..", "serve"), "badConfigurations") {
		a.badConfiguration(row[0], row[1], row[2])
	}
	for _, spec := range []string{`null`, `{}`, `{"outboundTrafficPolicy":{"mode":"REGISTRY_ONLY"},"egress":[{"hosts":["./*"]}]}`, `{"outboundTrafficPolicy":{"mode":"ALLOW_ANY"}}`, `{"outboundTrafficPolicy":7}`, `[]`} {
		a.one("a Sidecar", egress.KindSidecar, spec)
	}
	a.scenarios()
	a.corpora()
	t.Logf("compared: %v; %d different problems", a.compared, len(a.messages))
	for kind, least := range map[string]int{egress.KindServiceEntry: 300, egress.KindVirtualService: 300, egress.KindSidecar: 1, "ConfigMap": 60, "workload": 200} {
		if a.compared[kind] < least {
			t.Errorf("%d inputs of kind %s, want at least %d", a.compared[kind], kind, least)
		}
	}
	if len(a.messages) < 250 {
		t.Errorf("only %d different problems: the inputs are no longer found", len(a.messages))
	}
}

// text compares about a text of a test, where it is a spec or objects.
func (a *agreement) text(place, text string) {
	if !strings.Contains(text, ":") || len(text) > 200_000 {
		return
	}
	for i, document := range strings.Split(text, "\n---\n") {
		data, err := yaml.YAMLToJSON([]byte(document))
		if err != nil || !bytes.HasPrefix(data, []byte("{")) {
			continue
		}
		a.object(place+"#"+strconv.Itoa(i), data)
	}
}

// object compares about an object, or a spec.
func (a *agreement) object(place string, data []byte) {
	o := gjson.ParseBytes(data)
	kind := o.Get("kind").String()
	switch {
	case kind == egress.KindServiceEntry || kind == egress.KindVirtualService || kind == egress.KindSidecar:
		a.one(place, kind, specOf(o))
	case kind == "ConfigMap" && o.Get("data").IsObject():
		name := "istio-sidecar-injector"
		if o.Get("data.mesh").Exists() {
			name = "istio"
		}
		a.configMap(place, name, map[string]any{"data": o.Get("data").Value()})
	case strings.HasSuffix(kind, "List"):
		for i, item := range o.Get("items").Array() {
			if item.IsObject() && item.Get("kind").Exists() {
				a.object(place+"/"+strconv.Itoa(i), []byte(item.Raw))
			}
		}
	case kind != "":
		a.workload(place, string(data))
	case o.Get("hosts").Exists() || o.Get("ports").Exists() || o.Get("http").Exists() || o.Get("tls").Exists():
		a.one(place, egress.KindServiceEntry, string(data))
		a.one(place, egress.KindVirtualService, string(data))
	}
}

func specOf(o gjson.Result) string {
	if spec := o.Get("spec").Raw; spec != "" {
		return spec
	}
	return "null"
}

// badConfiguration compares about an edit of one key.
func (a *agreement) badConfiguration(place, key, text string) {
	a.t.Helper()
	name, field := "istio-sidecar-injector", "data"
	key, binary := strings.CutPrefix(key, "binary ")
	if strings.HasPrefix(key, "mesh") {
		name = "istio"
	}
	if binary {
		field, text = "binaryData", base64.StdEncoding.EncodeToString([]byte(text))
	}
	a.configMap(place, name, map[string]any{field: map[string]any{key: text}})
}

// scenarios compares about the workloads and configurations of test/scenarios.
func (a *agreement) scenarios() {
	files, err := filepath.Glob(filepath.Join("..", "test", "scenarios", "testdata", "*.txtar"))
	kit.Must(a.t, err)
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		kit.Must(a.t, err)
		for _, section := range archive.Files {
			place, text := filepath.Base(file)+" "+section.Name, string(section.Data)
			switch key, _, _ := strings.Cut(strings.TrimPrefix(section.Name, "earlier-"), "."); key {
			case "input", "want":
				a.text(place, text)
			case "config", "values", "mesh":
				a.badConfiguration(place, key, text)
			}
		}
	}
}

// corpora compares about what fuzzing has found.
func (a *agreement) corpora() {
	files, err := filepath.Glob(filepath.Join("..", "*", "testdata", "fuzz", "*", "*"))
	kit.Must(a.t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		kit.Must(a.t, err)
		for line := range strings.Lines(string(text)) {
			quoted := line[strings.IndexByte(line, '(')+1 : max(strings.LastIndexByte(line, ')'), strings.IndexByte(line, '(')+1)]
			if value, err := strconv.Unquote(quoted); err == nil {
				a.text(filepath.Base(file), value)
			}
		}
	}
}

// TestAgreement_AmongOthers: the same for objects that conflict with one another.
func TestAgreement_AmongOthers(t *testing.T) {
	a := newAgreement(t)
	seed := uint64(17)
	r := rand.New(rand.NewPCG(seed, seed))
	for range 40 {
		var texts []string
		a.objects.ServiceEntries, a.objects.VirtualServices = nil, nil
		add := func(kind, namespace, name, created string, spec any) {
			text, err := json.Marshal(spec)
			kit.Must(t, err)
			object := fmt.Sprintf(`{"apiVersion":"networking.istio.io/v1","kind":%q,"metadata":{"name":%q,"namespace":%q,"creationTimestamp":%q},"spec":%s}`, kind, name, namespace, created, text)
			texts = append(texts, object)
			meta := egress.Meta{Namespace: namespace, Name: name}
			kit.Must(t, meta.Created.UnmarshalText([]byte(created)))
			decoded, _ := egress.Decode(kind, meta, text)
			a.objects.Add(meta, decoded, len(text))
		}
		for i := range 8 {
			e, v := objects.ServiceEntry(r, i), objects.VirtualService(r, i, false)
			add(egress.KindServiceEntry, e.Namespace, e.Name, e.Created.UTC().Format("2006-01-02T15:04:05Z"), e.Spec)
			add(egress.KindVirtualService, v.Namespace, v.Name, v.Created.UTC().Format("2006-01-02T15:04:05Z"), v.Spec)
		}
		findings := a.inFiles(texts...).Findings
		for _, object := range texts {
			a.meshObject(fmt.Sprintf("seed %d", seed), gjson.Get(object, "kind").String(), object, findings)
		}
	}
	t.Logf("compared: %v; %d different problems", a.compared, len(a.messages))
	if len(a.messages) < 20 {
		t.Errorf("only %d different problems", len(a.messages))
	}
}
