package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// starter is a pod as people write it, whose application sends a request at once. It logs
// when it starts, the HTTP status and the seconds of the request.
const starter = `apiVersion: v1
kind: Pod
metadata:
  name: %s
  labels: {sidecar.istio.io/inject: "%v"}
  annotations: {%s}
spec:
  terminationGracePeriodSeconds: 0
  initContainers: [%s]
  containers:
  - name: sleep
    image: curlimages/curl
    imagePullPolicy: IfNotPresent
    command: [/bin/sh, -c]
    args:
    - |
      echo "$(date +%%s%%N) $(curl -o /dev/null -s -m 20 -w '%%{http_code} %%{time_total}' ` + server + `/get)"
      exec sleep infinity
`

// startKind is a kind of pods.
type startKind struct {
	inject         bool
	annotations    string
	initContainers string
}

// startKindOf are the kinds. Empty ones have no sidecar either, but containers in its place
// that do nothing: what the kubelet takes for them is what no sidecar can save.
var startKindOf = map[string]startKind{
	"plain":   {},
	"sidecar": {inject: true},
	"limited": {inject: true, annotations: `sidecar.istio.io/proxyCPU: 100m, sidecar.istio.io/proxyCPULimit: 100m`},
	"empty": {initContainers: `
    {name: empty-proxy, image: curlimages/curl, imagePullPolicy: IfNotPresent, restartPolicy: Always, command: [/bin/sleep, infinity]},
    {name: empty-init, image: curlimages/curl, imagePullPolicy: IfNotPresent, command: [/bin/sh, -c, "true"]}`},
}

// startSteps are the steps of a start, in order, as the watch shows them. Those without a
// condition are in the log of istio-init.
var startSteps = []struct {
	name string
	done func(*corev1.Pod) bool
}{
	{"created", func(*corev1.Pod) bool { return true }},
	{"scheduled", func(p *corev1.Pod) bool { return p.Spec.NodeName != "" }},
	{"sandbox", func(p *corev1.Pod) bool { return condition(p, corev1.PodReadyToStartContainers) }},
	{"istio-proxy runs", func(p *corev1.Pod) bool { return container(p, "proxy").State.Running != nil }},
	{"rules installed", nil},
	{"istio-proxy ready", nil},
	{"istio-init ended", func(p *corev1.Pod) bool { return container(p, "init").State.Terminated != nil }},
	{"application runs", func(p *corev1.Pod) bool { return container(p, "sleep").State.Running != nil }},
	{"ready", func(p *corev1.Pod) bool { return condition(p, corev1.PodReady) }},
}

func condition(p *corev1.Pod, kind corev1.PodConditionType) bool {
	return slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == kind && c.Status == corev1.ConditionTrue
	})
}

// container is the status of a container, by the last part of its name.
func container(p *corev1.Pod, name string) corev1.ContainerStatus {
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if s.Name[strings.LastIndexByte(s.Name, '-')+1:] == name {
			return s
		}
	}
	return corev1.ContainerStatus{}
}

// start is one start of a pod: when each step was seen, and what its application did.
type start struct {
	name    string
	steps   []time.Time // of startSteps; zero for what the pod does not have
	gone    bool
	app     time.Time // by the application's own clock
	code    int       // of its request
	request time.Duration
}

// watcher times the pods of a namespace by the events of a watch.
type watcher struct {
	mu   sync.Mutex
	pods map[string]*start
}

// watchStarts watches until the test ends.
func (n *Namespace) watchStarts() *watcher {
	n.t.Helper()
	w := &watcher{pods: map[string]*start{}}
	cmd := n.Bash(ended, "exec kubectl get pods --watch --output-watch-events -o json")
	out, err := cmd.StdoutPipe()
	if err := errors.Join(err, cmd.Start()); err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		_ = cmd.Cancel()
		_ = cmd.Wait()
	})
	go w.read(out)
	return w
}

func (w *watcher) read(events io.Reader) {
	decoder := json.NewDecoder(events)
	for {
		var e struct {
			Type   watch.EventType `json:"type"`
			Object corev1.Pod      `json:"object"`
		}
		if decoder.Decode(&e) != nil {
			return
		}
		w.see(&e.Object, e.Type == watch.Deleted, time.Now())
	}
}

func (w *watcher) see(p *corev1.Pod, gone bool, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.pods[p.Name]
	if s == nil {
		s = &start{name: p.Name, steps: make([]time.Time, len(startSteps))}
		w.pods[p.Name] = s
	}
	s.gone = gone
	for i := range startSteps {
		if done := startSteps[i].done; done != nil && s.steps[i].IsZero() && done(p) {
			s.steps[i] = now
		}
	}
}

// wait waits for a pod.
func (w *watcher) wait(t *testing.T, name, what string, done func(*start) bool) (found start) {
	t.Helper()
	eventually(t, name+" is "+what, func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		s := w.pods[name]
		if s == nil || !done(s) {
			return fmt.Errorf("not yet: %+v", s)
		}
		found = *s
		return nil
	})
	return found
}

// starts: a sidecar has its configuration by its first connection to the control plane, and
// no probe of an ordinary start fails but the kubelet's first of readiness, when istio-proxy
// cannot be ready. It prints what the sidecar adds to a start, and where the time goes.
func starts(t *testing.T, s *Suite) {
	n := s.Namespace(t, "starts", injected)
	w := n.watchStarts()
	kinds := strings.Split(*startKinds, ",")
	waits := startWaits(kinds, *startPods+1, *startSeed)
	all := map[string][]start{}
	for i := range *startPods + 1 {
		for _, kind := range kinds {
			time.Sleep(waits[kind][i])
			one, events := n.start(w, fmt.Sprintf("%s-%d", kind, i), startKindOf[kind])
			if i == 0 {
				continue // the first of each fills caches
			}
			all[kind] = append(all[kind], one)
			t.Log(one)
			for event := range strings.Lines(events) {
				if !strings.HasPrefix(event, "Readiness probe failed: ") || !strings.HasSuffix(event, ": connect: connection refused\n") {
					t.Errorf("%s: %s", one.name, event)
				}
			}
			if one.code != 200 {
				t.Errorf("%s: the first request of the application: HTTP status %d", one.name, one.code)
			}
		}
	}
	t.Logf("seed of the waits: %d%s", *startSeed, startTable(kinds, all))
}

// startWaits are the waits before the pods of each kind. The kubelet looks for containers that
// have ended once a second. That is how the end of a pod is seen, too: a pod that is created
// right then starts at the same point of the kubelet's second as all others, and the end of
// its istio-init takes always as long to be seen. People's pods are created at any point of
// that second. So a wait is up to a second, and those of a kind are spread evenly: each is at
// a random point of another equal part of the second, in random order. Without a seed there
// are none.
func startWaits(kinds []string, pods int, seed uint64) map[string][]time.Duration {
	random := rand.New(rand.NewPCG(seed, 0))
	waits := map[string][]time.Duration{}
	for _, kind := range kinds {
		waits[kind] = make([]time.Duration, pods)
		if seed == 0 {
			continue
		}
		for i, part := range random.Perm(pods) {
			waits[kind][i] = time.Duration((float64(part) + random.Float64()) / float64(pods) * float64(time.Second))
		}
	}
	return waits
}

// start starts one pod and removes it. It returns the events about failed probes, too.
func (n *Namespace) start(w *watcher, name string, kind startKind) (start, string) {
	t := n.t
	n.apply(fmt.Sprintf(starter, name, kind.inject, kind.annotations, kind.initContainers))
	one := w.wait(t, name, "ready", func(s *start) bool { return !s.steps[len(startSteps)-1].IsZero() })
	eventually(t, "the application logs its request", func() error {
		fields := strings.Fields(n.run("kubectl logs " + name + " -c sleep"))
		if len(fields) != 3 {
			return fmt.Errorf("%q", fields)
		}
		at, err1 := strconv.ParseInt(fields[0], 10, 64)
		code, err2 := strconv.Atoi(fields[1])
		seconds, err3 := strconv.ParseFloat(fields[2], 64)
		one.app, one.code, one.request = time.Unix(0, at), code, time.Duration(seconds*float64(time.Second))
		return errors.Join(err1, err2, err3)
	})
	events := n.run("kubectl get events --field-selector reason=Unhealthy,involvedObject.name=" + name + " -o jsonpath='{range .items[*]}{.message}{\"\\n\"}{end}'")
	if kind.inject {
		n.sidecarStart(&one)
	}
	n.run("kubectl delete pod " + name + " --wait=false")
	w.wait(t, name, "gone", func(s *start) bool { return s.gone })
	return one, events
}

// sidecarStart adds the steps that istio-init logs, and checks the sidecar's first connection.
func (n *Namespace) sidecarStart(one *start) {
	log := n.run("kubectl logs --timestamps " + one.name + " -c istio-init")
	for text, step := range map[string]string{"test connections passed": "rules installed", "the proxy is ready": "istio-proxy ready"} {
		for l := range strings.Lines(log) {
			stamp, _, _ := strings.Cut(l, " ")
			at, err := time.Parse(time.RFC3339Nano, stamp)
			if i := stepOf(step); err == nil && strings.Contains(l, text) {
				one.steps[i] = at
			}
		}
		if one.steps[stepOf(step)].IsZero() {
			n.t.Errorf("%s: no line %q in the log of istio-init: %s", one.name, text, log)
		}
	}
	stats := n.run(fmt.Sprintf("kubectl get --raw /api/v1/namespaces/%s/pods/%s:15090/proxy/stats/prometheus", n.name, one.name))
	if metric := `envoy_cluster_upstream_cx_connect_fail{envoy_cluster_name="xds-grpc"} `; !strings.Contains(stats, metric+"0\n") {
		n.t.Errorf("%s: its first connection to the control plane failed: %s", one.name, line(stats, metric))
	}
}

func stepOf(name string) int {
	for i := range startSteps {
		if startSteps[i].name == name {
			return i
		}
	}
	panic("no step " + name)
}

// startTable is what the kinds' starts took: for each step the median of the time since
// the one before, and how much later the pods were ready than those of the first kind.
func startTable(kinds []string, all map[string][]start) string {
	var b strings.Builder
	ms := func(d []time.Duration, percent int) string {
		if len(d) == 0 {
			return "-"
		}
		d = slices.Sorted(slices.Values(d))
		return strconv.FormatInt(d[min(len(d)-1, len(d)*percent/100)].Milliseconds(), 10)
	}
	for _, kind := range kinds {
		fmt.Fprintf(&b, "\n%s, %d pods, milliseconds (p50, p99):\n", kind, len(all[kind]))
		for i, step := range startSteps {
			var took []time.Duration
			for _, s := range all[kind] {
				if i > 0 && !s.steps[i].IsZero() {
					took = append(took, s.steps[i].Sub(slices.MaxFunc(s.steps[:i], time.Time.Compare)))
				}
			}
			if len(took) > 0 {
				fmt.Fprintf(&b, "  %-20s %6s %6s after the step before\n", step.name, ms(took, 50), ms(took, 99))
			}
		}
		var ready, app, request, later []time.Duration
		for i, s := range all[kind] {
			ready = append(ready, s.ready())
			app = append(app, s.app.Sub(s.steps[0]))
			request = append(request, s.request)
			if first := all[kinds[0]]; i < len(first) {
				later = append(later, s.ready()-first[i].ready())
			}
		}
		fmt.Fprintf(&b, "  %-20s %6s %6s after created, by its own clock\n", "application starts", ms(app, 50), ms(app, 99))
		fmt.Fprintf(&b, "  %-20s %6s %6s\n", "its first request", ms(request, 50), ms(request, 99))
		fmt.Fprintf(&b, "  %-20s %6s %6s after created\n", "ready", ms(ready, 50), ms(ready, 99))
		if kind != kinds[0] {
			fmt.Fprintf(&b, "  %-20s %6s %6s\n", "later than "+kinds[0], ms(later, 50), ms(later, 99))
		}
	}
	return b.String()
}

// String is the milliseconds of each step since the creation, of those that the pod has.
func (s start) String() string {
	out := s.name
	for i, at := range s.steps {
		if !at.IsZero() {
			out += fmt.Sprintf(" %s=%d", strings.ReplaceAll(startSteps[i].name, " ", "-"), at.Sub(s.steps[0]).Milliseconds())
		}
	}
	return out
}

func (s start) ready() time.Duration { return s.steps[len(s.steps)-1].Sub(s.steps[0]) }

// line is the first line of a text that begins with a prefix.
func line(text, prefix string) string {
	for l := range strings.Lines(text) {
		if strings.HasPrefix(l, prefix) {
			return l
		}
	}
	return "no " + prefix
}
