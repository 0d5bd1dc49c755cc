package inject

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/outrider-mesh/outrider/config"
)

var sprintf = fmt.Sprintf

func mustConfig(t testing.TB, texts config.Texts) *config.Config {
	t.Helper()
	cfg, problems := config.Parse(texts, config.Labels{})
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func mustCompile(t testing.TB, texts config.Texts, env Environment) *Injector {
	t.Helper()
	i, problems := Compile(mustConfig(t, texts), env)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return i
}

// injected is a result with the pod that came in.
type injected struct {
	*Result
	came []byte
}

// PodJSON is the injected pod: the bytes that came in when nothing changes.
func (r injected) PodJSON() []byte {
	if r.tree == nil {
		return r.came
	}
	return r.tree.AppendTo(nil)
}

// mustInject injects and checks what holds for every injection: the patch results
// in PodJSON, and a second injection changes nothing.
func mustInject(t testing.TB, i *Injector, r Request) injected {
	t.Helper()
	out, err := i.Inject(r)
	if err != nil {
		t.Fatalf("%s: %v", r.Pod, err)
	}
	result := injected{out, r.Pod}
	if got := applied(t, r.Pod, result.Patch); !jsonpatch.Equal(got, result.PodJSON()) {
		t.Fatalf("the patch gives\n%s\nand PodJSON is\n%s", got, result.PodJSON())
	}
	r.Pod = result.PodJSON()
	again, err := i.Inject(r)
	if err != nil {
		t.Fatalf("second injection: %v", err)
	}
	if len(again.Patch) > 0 {
		t.Fatalf("a second injection changes %s", AppendPatch(nil, again.Patch))
	}
	return result
}

func applied(t testing.TB, pod []byte, ops []Operation) []byte {
	t.Helper()
	patch, err := jsonpatch.DecodePatch(AppendPatch(nil, ops))
	if err != nil {
		t.Fatal(err)
	}
	out, err := patch.Apply(pod)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// rejection returns the error of a rejected pod.
func rejection(t testing.TB, i *Injector, r Request) *Error {
	t.Helper()
	result, err := i.Inject(r)
	if err == nil {
		t.Fatalf("accepted: %+v", result.Decision)
	}
	var rejected *Error
	if !errors.As(err, &rejected) {
		t.Fatalf("%T: %v", err, err)
	}
	return rejected
}

func podWith(annotations ...string) []byte {
	var pairs []string
	for n := 0; n+1 < len(annotations); n += 2 {
		pairs = append(pairs, fmt.Sprintf("%q:%q", annotations[n], annotations[n+1]))
	}
	return []byte(`{"metadata":{"name":"a","annotations":{` + strings.Join(pairs, ",") +
		`}},"spec":{"containers":[{"name":"app","image":"i"}]}}`)
}
