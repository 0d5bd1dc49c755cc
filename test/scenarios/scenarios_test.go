package scenarios

import (
	"flag"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/problem"
)

var update = flag.Bool("update", false, "write want.yaml and want.txt anew")

// TestScenarios puts every scenario through both entry points.
func TestScenarios(t *testing.T) {
	all := loadAll(t)
	if len(all) < 140 {
		t.Errorf("%d scenarios; there were at least 140", len(all))
	}
	for _, s := range all {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			newTrial(t, s).run()
		})
	}
}

// trial is one scenario under way.
type trial struct {
	*testing.T
	*scenario
	injector *inject.Injector
	problems problem.List // of the configuration
	server   *webhookServer
	stream   string // the input, after an earlier injection
	objects  []object
	pods     []tree   // of each object, as created; nil where it has none
	answers  []answer // to pods
	reviews  [][]string
	cli      *run // nil where the scenario is for the webhook only
}

func newTrial(t *testing.T, s *scenario) *trial {
	tr := &trial{T: t, scenario: s}
	tr.injector, tr.problems = s.compiled(t, "")
	return tr
}

func (t *trial) run() {
	if t.injector == nil {
		t.rejectedConfiguration()
		return
	}
	t.server = newWebhookServer(t.T, t.scenario, t.injector)
	t.prepare()
	t.webhook()
	if t.options.WebhookOnly == "" {
		name, _ := t.input()
		t.cli = t.kubeInject(t.T, "", file{name, t.stream})
		t.compareConfiguration()
		t.compareObjects()
	}
	t.golden()
	t.takenBack()
	t.arguments()
	t.twice()
	t.served()
}

// rejectedConfiguration: the webhook would keep its last good configuration, so
// what it logs must be what kube-inject prints.
func (t *trial) rejectedConfiguration() {
	name, text := t.input()
	t.cli = t.kubeInject(t.T, "", file{name, text})
	if t.cli.code != 1 || t.cli.out != "" {
		t.Errorf("kube-inject with a rejected configuration: exit code %d, %d bytes written", t.cli.code, len(t.cli.out))
	}
	want := strings.Split(t.problems.Err().Error(), "\n")
	if d := cmp.Diff(want, t.cli.configProblems); d != "" {
		t.Errorf("problems of the configuration: the webhook's -, kube-inject's +\n%s", d)
	}
	t.writeOrCompare("want.yaml", "")
	t.writeOrCompare("want.txt", t.report())
}

// prepare makes the input: injected before where the scenario requires it.
func (t *trial) prepare() {
	name, original := t.input()
	t.stream = original
	if t.hasEarlier() || t.options.Served {
		r := t.kubeInject(t.T, "earlier-", file{name, original})
		if r.code != 0 {
			t.Fatalf("the earlier injection failed: %+v", r)
		}
		t.stream = r.out
	}
	t.objects = objectsOf(t.T, t.stream)
	if t.options.Served {
		var documents []string
		for _, o := range t.objects {
			text, err := yaml.Marshal(asServed(t.T, o.tree))
			if err != nil {
				t.Fatal(err)
			}
			documents = append(documents, string(text))
		}
		t.stream = strings.Join(documents, "---\n")
		t.objects = objectsOf(t.T, t.stream)
	}
}

// webhook sends the pods, and the workloads to the handler that warns.
func (t *trial) webhook() {
	t.pods = make([]tree, len(t.objects))
	t.answers = make([]answer, len(t.objects))
	t.reviews = make([][]string, len(t.objects))
	for i, o := range t.objects {
		if !o.hasPod() {
			continue
		}
		t.pods[i] = o.asCreated(t.T, t.scenario)
		t.answers[i] = t.server.admit(t.T, t.pods[i], o.namespace(t.scenario))
		if len(o.path) > 0 {
			t.reviews[i] = t.server.review(t.T, o, o.namespace(t.scenario))
		}
	}
}

func (t *trial) compareConfiguration() {
	var want []string
	for _, p := range t.problems.Warnings() {
		want = append(want, p.String())
	}
	if d := cmp.Diff(want, t.cli.configWarnings); d != "" {
		t.Errorf("warnings about the configuration: the webhook's -, kube-inject's +\n%s", d)
	}
}

// compareObjects compares the entry points.
func (t *trial) compareObjects() {
	rejected := slices.ContainsFunc(t.answers, func(a answer) bool { return len(a.problems) > 0 })
	if rejected != (t.cli.code != 0) || rejected && t.cli.out != "" {
		t.Errorf("the webhook denies: %v; kube-inject: exit code %d, %d bytes written: %+v", rejected, t.cli.code, len(t.cli.out), t.cli.problems)
	}
	var results []object
	if !rejected {
		results = objectsOf(t.T, t.cli.out)
		if len(results) != len(t.objects) {
			t.Fatalf("%d objects went into kube-inject, %d came out", len(t.objects), len(results))
		}
	}
	for i, o := range t.objects {
		if o.hasPod() {
			t.compareMessages(o, t.answers[i], t.reviews[i])
		}
		if rejected {
			continue
		}
		if d := cmp.Diff(o.withoutPod(t.T), results[i].withoutPod(t.T)); d != "" {
			t.Errorf("%s %s: kube-inject changed more than the pod template\n%s", o.kind(), o.name(), d)
		}
		if !o.hasPod() {
			continue
		}
		webhook, cli := comparable(t.T, t.answers[i].object), comparable(t.T, results[i].template())
		if d := cmp.Diff(webhook, cli); d != "" {
			t.Errorf("%s %s: the webhook's pod -, kube-inject's +\n%s", o.kind(), o.name(), d)
		}
	}
}

// compareMessages compares the messages about one object.
func (t *trial) compareMessages(o object, a answer, review []string) {
	label := o.label(t.scenario)
	var problems []string
	for _, p := range t.cli.problems[label] {
		// A path in the file begins with that of the pod template.
		problems = append(problems, strings.TrimPrefix(p.text, strings.Join(o.path, ".")+"."))
	}
	if d := cmp.Diff(a.problems, problems); d != "" {
		t.Errorf("%s: the webhook's problems -, kube-inject's +\n%s", label, d)
	}
	if len(o.path) > 0 {
		t.compareReview(label, a, review)
	}
	if !a.allowed {
		return
	}
	decision := t.decision(o)
	if a.reason != string(decision.Reason) {
		t.Errorf("%s: the webhook's reason is %s, the pod template's %s", label, a.reason, decision.Reason)
	}
	skipped, want := t.cli.skipped[label], ""
	if !decision.Inject {
		want = decision.Sentence
	}
	if skipped != want {
		t.Errorf("%s: kube-inject says it skips because %q, want %q", label, skipped, want)
	}
	for _, w := range a.warnings {
		if !slices.Contains(t.cli.warnings[label], w) {
			t.Errorf("%s: only the webhook warns: %s", label, w)
		}
	}
	for _, w := range t.cli.warnings[label] {
		if !slices.Contains(a.warnings, w) && !slices.Contains(review, w) {
			t.Errorf("%s: only kube-inject warns: %s", label, w)
		}
	}
}

// compareReview: a workload's warnings are, in the same words, those of its
// pods.
func (t *trial) compareReview(label string, a answer, review []string) {
	want := slices.Clone(a.warnings)
	for _, p := range a.problems {
		want = append(want, "pods will be denied: "+p)
	}
	for _, w := range want {
		if !slices.ContainsFunc(review, func(got string) bool { return sameWarning(got, w) }) {
			t.Errorf("%s: the user gets no warning: %s\nbut: %q", label, w, review)
		}
	}
}

// sameWarning reports whether a warning is the text, or what the API server forwards
// of a longer one: without the fix, or cut.
func sameWarning(got, text string) bool {
	head, cut := strings.CutSuffix(got, "…")
	long := utf8.RuneCountInString(text) > maxWarning
	return got == text || long && strings.HasPrefix(text, got+"; ") || cut && strings.HasPrefix(text, head)
}

// decision is the library's own about the template as it stands in the input.
func (t *trial) decision(o object) inject.Decision {
	result, err := t.injector.Inject(inject.Request{
		Pod: encode(t.T, o.template()), Namespace: o.namespace(t.scenario),
		NamespaceAnnotations: t.options.NamespaceAnnotations,
	})
	if err != nil {
		t.Fatalf("%s: %v", o.name(), err)
	}
	return result.Decision
}
