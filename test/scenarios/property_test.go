package scenarios

import (
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
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

// TestReinjectionWithAnotherConfiguration: a pod that was injected with one
// configuration is reinjected with another as if it had not been injected. Every scenario goes from the defaults to its configuration, back, and
// to and from a third one.
func TestReinjectionWithAnotherConfiguration(t *testing.T) {
	var compared atomic.Int64
	t.Cleanup(func() {
		if n := compared.Load(); n < 500 {
			t.Errorf("only %d comparisons; there were at least 500", n)
		}
	})
	for _, s := range loadAll(t) {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			injectors := s.injectors(t)
			_, input := s.input()
			for _, o := range objectsOf(t, input) {
				if o.hasPod() && len(injectors) > 0 {
					compared.Add(reinjectAll(t, s, o, injectors))
				}
			}
		})
	}
}

type named struct {
	name string
	*inject.Injector
}

// injectors are the scenario's own and two others; none where its own is
// denied.
func (s *scenario) injectors(t *testing.T) []named {
	own, _ := s.compiled(t, "")
	if own == nil {
		return nil
	}
	out := []named{{"its own", own}}
	for _, other := range []struct {
		name  string
		texts config.Texts
	}{{"the default", config.Texts{}}, {"elsewhere", elsewhere}} {
		key := other.name + " for " + s.options.KubernetesVersion
		made, ok := others.Load(key)
		if !ok {
			cfg, problems := config.Parse(other.texts, config.Labels{})
			if cfg == nil {
				t.Fatal(problems.Err())
			}
			injector, problems := inject.Compile(cfg, s.environment(t))
			if injector == nil {
				t.Fatal(problems.Err())
			}
			made, _ = others.LoadOrStore(key, injector)
		}
		out = append(out, named{other.name, made.(*inject.Injector)})
	}
	return out
}

// others keeps the injectors that scenarios share.
var others sync.Map

// reinjectAll takes the pod of one object through all pairs of configurations
// and returns how many there were to compare.
func reinjectAll(t *testing.T, s *scenario, o object, injectors []named) (compared int64) {
	t.Helper()
	request := inject.Request{
		Pod: encode(t, o.asCreated(t, s)), Namespace: admissionNamespace(o.namespace(s)), NamespaceAnnotations: s.options.NamespaceAnnotations,
	}
	results, errs := make([]*inject.Result, len(injectors)), make([]error, len(injectors))
	for i, injector := range injectors {
		results[i], errs[i] = injector.Inject(request)
	}
	for i, from := range injectors {
		if errs[i] != nil || !results[i].Decision.Inject {
			continue
		}
		again := request
		again.Pod = podJSON(request, results[i])
		for j, to := range injectors {
			got, err := to.Inject(again)
			what := fmt.Sprintf("%s: from %s to %s", o.name(), from.name, to.name)
			compareInjections(t, what, injection{request, results[j], errs[j]}, injection{again, got, err})
			compared++
		}
	}
	return compared
}

// injection is a request with its result or error.
type injection struct {
	inject.Request
	*inject.Result
	err error
}

// podJSON is the injected pod: that of the request when nothing changes.
func podJSON(r inject.Request, result *inject.Result) []byte {
	if result.Tree() == nil {
		return r.Pod
	}
	return result.Tree().AppendTo(nil)
}

func compareInjections(t *testing.T, what string, want, got injection) {
	t.Helper()
	switch {
	case want.err != nil || got.err != nil:
		if d := cmp.Diff(want.err, got.err); d != "" {
			t.Errorf("%s: rejected otherwise: want -, got +\n%s", what, d)
		}
	case !want.Decision.Inject:
		if got.Decision != want.Decision || len(got.Patch) > 0 {
			t.Errorf("%s: want it skipped and unchanged, got %+v with %d changes", what, got.Decision, len(got.Patch))
		}
	default:
		wantPod := comparable(t, decode(t, podJSON(want.Request, want.Result)).(tree))
		gotPod := comparable(t, decode(t, podJSON(got.Request, got.Result)).(tree))
		if !reflect.DeepEqual(wantPod, gotPod) {
			t.Errorf("%s: want -, got +\n%s", what, cmp.Diff(wantPod, gotPod))
		}
	}
}
