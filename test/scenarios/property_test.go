package scenarios

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
)

// elsewhere is a configuration unlike the default one in everything that leaves
// traces in a pod.
var elsewhere = config.Texts{
	Values: `
revision: elsewhere
global:
  hub: registry.example.com/elsewhere
  imagePullSecrets: [elsewhere]
  proxy:
    excludeIPRanges: 198.51.100.0/24
    resources: {requests: {cpu: 1m}}
pilot: {env: {ENABLE_NATIVE_SIDECARS: "false"}}
`,
	Config: `
injectedAnnotations: {example.com/elsewhere: "yes"}
defaultTemplates: [sidecar, elsewhere]
templates:
  elsewhere: |
    metadata:
      labels: {example.com/elsewhere: "yes"}
    spec:
      priorityClassName: elsewhere
      tolerations:
      - {key: elsewhere, operator: Exists}
      initContainers:
      - {name: elsewhere-init, image: example.com/elsewhere:1}
      containers:
      - {name: elsewhere, image: example.com/elsewhere:1}
      {{- range .Spec.Containers }}
      - name: {{ .Name }}
        env: [{name: ELSEWHERE, value: "yes"}]
      {{- end }}
      volumes:
      - {name: elsewhere, emptyDir: {}}
`,
}

// TestAnotherConfiguration: a pod that was injected by one configuration and
// comes to another gets what it would have got from the other in the first
// place. Every scenario goes from the defaults to its configuration, back, and
// to and from a third one.
func TestAnotherConfiguration(t *testing.T) {
	compared := 0
	for _, s := range loadAll(t) {
		own, _ := s.compiled(t, "")
		if own == nil {
			continue
		}
		injectors := map[string]*inject.Injector{"its own": own}
		for name, texts := range map[string]config.Texts{"the default": {}, "elsewhere": elsewhere} {
			cfg, problems := config.Parse(texts, config.Labels{})
			if cfg == nil {
				t.Fatal(problems.Err())
			}
			if injectors[name], problems = inject.Compile(cfg, s.environment(t)); injectors[name] == nil {
				t.Fatal(problems.Err())
			}
		}
		_, input := s.input()
		for _, o := range objectsOf(t, input) {
			if !o.hasPod() {
				continue
			}
			for from, a := range injectors {
				for to, b := range injectors {
					if reinject(t, fmt.Sprintf("%s: %s: from %s to %s", s.name, o.name(), from, to), s, o, a, b) {
						compared++
					}
				}
			}
		}
	}
	if compared < 500 {
		t.Errorf("only %d comparisons; there were at least 500", compared)
	}
}

func reinject(t *testing.T, what string, s *scenario, o object, a, b *inject.Injector) bool {
	t.Helper()
	request := inject.Request{
		Pod: encode(t, o.asCreated(t, s)), Namespace: admissionNamespace(o.namespace(s)), NamespaceAnnotations: s.options.NamespaceAnnotations,
	}
	first, err := a.Inject(request)
	if err != nil || !first.Decision.Inject {
		return false
	}
	want, wantErr := b.Inject(request)
	request.Pod = first.PodJSON()
	got, gotErr := b.Inject(request)
	var refusal, same *inject.Error
	switch {
	case errors.As(wantErr, &refusal):
		if !errors.As(gotErr, &same) {
			t.Errorf("%s: want refused: %v", what, wantErr)
		} else if d := cmp.Diff(refusal, same); d != "" {
			t.Errorf("%s: refused otherwise: want -, got +\n%s", what, d)
		}
		return true
	case gotErr != nil:
		t.Errorf("%s: refused: %v", what, gotErr)
		return true
	case !want.Decision.Inject:
		if got.Decision != want.Decision || len(got.Patch) > 0 {
			t.Errorf("%s: want it skipped and left alone, got %+v with %d changes", what, got.Decision, len(got.Patch))
		}
		return true
	}
	wantPod := comparable(t, decode(t, want.PodJSON()).(tree))
	gotPod := comparable(t, decode(t, got.PodJSON()).(tree))
	if d := cmp.Diff(wantPod, gotPod); d != "" {
		t.Errorf("%s: want -, got +\n%s", what, d)
	}
	return true
}
