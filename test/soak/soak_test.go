package soak

import (
	"context"
	"errors"
	"flag"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/klog/v2"

	"github.com/outrider-mesh/outrider/test/cluster"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/mesh"
)

var (
	enabled  = flag.Bool("soak", false, "run the soak, which takes some minutes")
	duration = flag.Duration("duration", 2*time.Minute, "of each part")
	rate     = flag.Int("rate", 50, "pods created per second")
)

// ended ends with an interrupt of the test binary.
var ended context.Context

func TestMain(m *testing.M) {
	klog.SetLogger(logr.Discard()) // a line for each request that ends with the API server
	var stop func()
	ended, stop = signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	signal.Ignore(syscall.SIGPIPE)
	code := m.Run()
	stop()
	os.Exit(code)
}

// appRef is the image of the application.
const appRef = "localhost/tenant:1"

func TestSoak(t *testing.T) {
	if !*enabled {
		t.Skip("takes some minutes; -soak, or make soak, runs it; make soak DURATION=30s RATE=20 is shorter")
	}
	cluster.Require(t, "soak")
	// Running pods get a new CA certificate within 15 s, in place of two minutes.
	m, err := mesh.Up(ended, mesh.Options{Name: "soak", Progress: os.Stderr, KubeletSync: 10 * time.Second})
	kit.Must(t, err)
	t.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	kit.Must(t, m.LoadProgram(ended, "./test/attack/cmd/tenant", appRef))
	kit.Must(t, m.Install(ended))
	kit.Must(t, Quicken(ended, m))
	for name, kill := range map[string]bool{"graceful": false, "killed": true} {
		t.Run(name, func(t *testing.T) {
			r, err := Run(ended, Options{
				Mesh: m, Duration: *duration, Rate: *rate, Kill: kill, Every: 10 * time.Second,
				Rotations: 2, Edits: 10, Rolls: 1, Restarts: 1, App: appRef, Log: t.Logf,
			})
			if r != nil {
				t.Logf("%s", r)
				err = errors.Join(err, r.Err())
			}
			if err != nil {
				t.Errorf("%v\n%s", err, logs(m))
			}
		})
	}
}

// logs are what the replicas and the API server have logged last.
func logs(m *mesh.Mesh) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, _ := m.Bash(ctx, "kubectl -n istio-system get pods -o wide; for p in $(kubectl -n istio-system get pods -o name); do echo \"== $p\"; kubectl -n istio-system logs $p --tail=400 | grep -v admission | tail -n 30; done").CombinedOutput()
	return string(out)
}

// A report fails for a pod without a sidecar and for one that is denied, and has what
// the API server itself answers apart.
func TestReport(t *testing.T) {
	webhook := apierrors.NewInternalError(errors.New(`failed calling webhook "namespace.sidecar-injector.istio.io": Post "https://outrider.istio-system.svc:443/inject?timeout=5s": EOF`))
	for name, c := range map[string]struct {
		outcomes []outcome
		kill     bool
		want     string // in the error; "" for none
	}{
		"all created":       {outcomes: []outcome{{}, {}}},
		"uninjected":        {outcomes: []outcome{{}, {uninjected: true}}, want: "1 pods were admitted without a sidecar"},
		"uninjected, kills": {outcomes: []outcome{{}, {uninjected: true}}, kill: true, want: "1 pods were admitted without a sidecar"},
		"denied":            {outcomes: []outcome{{}, {err: webhook}}, want: "1 pods were denied"},
		"denied, kills":     {outcomes: []outcome{{}, {err: webhook}}, kill: true},
		"quota":             {outcomes: []outcome{{}, {err: apierrors.NewForbidden(entries.GroupResource(), "a", errors.New("exceeded quota"))}}, want: "1 pods were denied"},
		"no API server":     {outcomes: []outcome{{}, {err: errors.New("connection refused")}}},
		"starting":          {outcomes: []outcome{{}, {err: apierrors.NewForbidden(entries.GroupResource(), "a", errors.New("not yet ready to handle request"))}}},
		"nothing":           {want: "no pod was created"},
	} {
		r := newReport(Options{Kill: c.kill})
		for _, o := range c.outcomes {
			r.add(o)
		}
		if err := r.Err(); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	idle := newReport(Options{Every: time.Second})
	idle.add(outcome{})
	if err := idle.Err(); err == nil || err.Error() != "no replica of the webhook was ended" {
		t.Error(err)
	}
	if idle.disturbed("webhook replica deleted"); idle.Err() != nil {
		t.Error(idle.Err())
	}
	r := newReport(Options{Kill: true})
	r.disturbed("webhook replica killed")
	for range 2 {
		r.add(outcome{at: r.ends[0].Add(time.Second), err: webhook})
	}
	for _, want := range []string{"pods denied: 2\n     2 x Internal error", "after 1 of 1 ends of a webhook replica; the last one of each (p50 1s"} {
		if got := r.String(); !strings.Contains(got, want) {
			t.Errorf("the report has no %q:\n%s", want, got)
		}
	}
}
