package live

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/check"
	"github.com/outrider-mesh/outrider/check/probe"
	"github.com/outrider-mesh/outrider/explain"
	"github.com/outrider-mesh/outrider/lifecycle"
)

// TrafficOptions configure a trial of the ways out.
type TrafficOptions struct {
	lifecycle.Installation
	// In is a namespace that exists; empty: one is created.
	In string
	// Image is that of the pods; empty: that of the installation's Deployment, or Fallback.
	Image, Fallback string
	// External are hosts outside the cluster to which connections are made, too.
	External []string
	// Timeout bounds the run.
	Timeout time.Duration
	// NoKernel omits the containers that read the kernel's counters.
	NoKernel bool
	// Progress is called with each step.
	Progress func(step string)
	// Explain explains a pod's connections by the configuration, and returns the mode of
	// outboundTrafficPolicy.
	Explain func(ctx context.Context, pod *corev1.Pod, to []explain.Destination) (explain.Answer, string, error)
}

// The longest times of steps: images may have to be pulled.
const (
	podTimeout = 90 * time.Second
	// cleanupTimeout bounds the removal, after an interrupt, too.
	cleanupTimeout = 20 * time.Second
	pollEvery      = 300 * time.Millisecond
)

// run is one trial.
type run struct {
	TrafficOptions
	client  kubernetes.Interface
	dynamic dynamic.Interface
	facts   *check.Traffic

	id, token string
	until     time.Time
	created   created
	server    *corev1.Pod
	addresses []netip.Addr // of the server
}

// Traffic tries the three ways out with pods of its own, and removes everything that it has
// created, after an interrupt, too. What keeps the pods from running is a fact; an error is
// one of the client, or an interrupt.
func Traffic(ctx context.Context, access *rest.Config, o TrafficOptions) (*check.Facts, error) {
	access = rest.CopyConfig(access)
	access.QPS, access.Burst = 50, 100
	access.WarningHandlerWithContext = rest.NoWarnings{} // about what is tried, and meant so
	r := &run{TrafficOptions: o, id: rand.String(5), token: rand.String(20), facts: &check.Traffic{Trials: []check.Trial{}}}
	var err error
	if r.client, err = kubernetes.NewForConfig(access); err != nil {
		return nil, fmt.Errorf("create Kubernetes client: %w", err)
	}
	if r.dynamic, err = dynamic.NewForConfig(access); err != nil {
		return nil, fmt.Errorf("create Kubernetes client: %w", err)
	}
	g := &gathering{Options: Options{Installation: o.Installation}, access: access, client: r.client}
	g.facts = check.Facts{Installation: o.Installation, Unread: map[check.Resource]string{}, Traffic: r.facts}
	if err := g.server(ctx); err != nil {
		g.facts.Unreachable = err.Error()
		return &g.facts, nil
	}
	now := time.Now()
	if !g.facts.ServerTime.IsZero() {
		now = g.facts.ServerTime
	}
	r.until = now.Add(o.Timeout + cleanupTimeout).Truncate(time.Second).UTC()
	limited, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	err = r.all(limited, now)
	r.cleanUp(context.WithoutCancel(ctx))
	switch stop := (*check.Stop)(nil); {
	case ctx.Err() != nil:
		return nil, errors.New("interrupted")
	case errors.As(err, &stop):
		r.facts.Stopped = stop
	case err != nil:
		return nil, err
	}
	return &g.facts, nil
}

// all is the run, without the removal.
func (r *run) all(ctx context.Context, now time.Time) error {
	if err := r.rights(ctx); err != nil {
		return err
	}
	r.chooseImage(ctx)
	r.removeLeftovers(ctx, now)
	if err := r.namespace(ctx); err != nil {
		return err
	}
	r.Progress("starting the server")
	if err := r.startServer(ctx); err != nil {
		return err
	}
	declared := r.declare(ctx)
	r.Progress("starting the clients")
	clients := r.clients(declared)
	for _, c := range clients {
		if err := r.start(ctx, c); err != nil {
			return err
		}
	}
	for _, c := range clients {
		r.explain(ctx, c)
	}
	for _, c := range clients {
		r.Progress("waiting for pod " + c.pod.Name)
		if err := r.finish(ctx, c); err != nil {
			return err
		}
	}
	r.Progress("reading the logs")
	return r.conclude(ctx, clients)
}

// client is a pod that makes connections.
type client struct {
	name        string
	annotations map[string]string
	probes      []check.Probe

	pod      *corev1.Pod
	answer   *explain.Answer // nil where the configuration may not be read
	observed []probe.Observation
}

// undeclared and declared are the names that are tried. They are in a domain that no one has,
// and of this run alone, so that they are declared by nothing else, unless by a wildcard.
func (r *run) undeclared() string { return "undeclared-" + r.id + ".outrider-check.example" }
func (r *run) declared() string   { return "declared-" + r.id + ".outrider-check.example" }

// clients are the pod with the settings of the mesh, and the one that excludes the server.
func (r *run) clients(declared bool) []*client {
	usual := &client{name: "client"}
	var excluded []string
	excluding := &client{name: "excluded"}
	for _, a := range r.addresses {
		excluded = append(excluded, netip.PrefixFrom(a, a.BitLen()).String())
		for _, p := range []struct {
			protocol string
			port     uint16
		}{{"http", httpPort}, {"tls", tlsPort}} {
			to := netip.AddrPortFrom(a, p.port).String()
			usual.probes = append(usual.probes, check.Probe{Way: check.Passthrough, Protocol: p.protocol, Name: r.undeclared(), Address: to, Token: r.token})
			if declared {
				usual.probes = append(usual.probes, check.Probe{Way: check.Controlled, Protocol: p.protocol, Name: r.declared(), Address: to, Token: r.token})
			}
			excluding.probes = append(excluding.probes, check.Probe{Way: check.Bypass, Protocol: p.protocol, Name: r.undeclared(), Address: to, Token: r.token})
		}
	}
	for _, host := range r.External {
		for protocol, port := range map[string]int{"http": httpPort, "tls": tlsPort} {
			usual.probes = append(usual.probes, check.Probe{Way: check.Passthrough, Protocol: protocol, Name: host, Address: net.JoinHostPort(host, strconv.Itoa(port))})
		}
	}
	excluding.annotations = map[string]string{annotation.ExcludeOutboundIPRanges: strings.Join(excluded, ",")}
	return []*client{usual, excluding}
}

// explain explains the connections of a client by the configuration.
func (r *run) explain(ctx context.Context, c *client) {
	var to []explain.Destination
	for _, p := range c.probes {
		host, port, err := net.SplitHostPort(p.Address)
		if err != nil {
			continue
		}
		number, _ := strconv.ParseUint(port, 10, 16)
		d := explain.Destination{To: p.Name + " " + p.Protocol + " " + p.Address, Host: p.Name, Port: uint16(number), Protocol: p.Protocol}
		if a, err := netip.ParseAddr(host); err == nil {
			d.Addresses = []netip.Addr{a}
		}
		to = append(to, d)
	}
	answer, mode, err := r.Explain(ctx, c.pod, to)
	if mode != "" {
		r.facts.Mode = mode
	}
	if err != nil {
		r.note(fmt.Sprintf("what the configuration has for pod %s is unknown: %v", c.pod.Name, err))
		return
	}
	c.answer = &answer
}

// note adds a note, once.
func (r *run) note(text string) {
	for _, n := range r.facts.Notes {
		if n == text {
			return
		}
	}
	r.facts.Notes = append(r.facts.Notes, text)
}

// logWait is how long the sidecar may take to write its access log: it does so each second.
const logWait = 3 * time.Second

// conclude puts what was seen together.
func (r *run) conclude(ctx context.Context, clients []*client) error {
	arrivals, err := r.log(ctx, r.server, serverContainer)
	if err != nil {
		r.note("the log of the server was not read: " + err.Error())
	}
	for _, c := range clients {
		log := r.accessLog(ctx, c)
		for _, o := range c.observed {
			r.facts.Trials = append(r.facts.Trials, r.trial(c, o, probe.ReadArrivals(arrivals), log))
		}
	}
	return nil
}

// trial is a connection with everything about it.
func (r *run) trial(c *client, o probe.Observation, arrivals []probe.Arrived, log string) check.Trial {
	p := o.Probe
	t := check.Trial{
		Way: p.Way, Protocol: p.Protocol, Family: "IPv4", External: p.Token == "", Name: p.Name, Address: p.Address,
		Want: check.Wanted(p.Way, r.facts.Mode), Seen: o.Seen, Arrival: o.Arrival,
	}
	if to, err := netip.ParseAddrPort(p.Address); err == nil && to.Addr().Is6() {
		t.Family = "IPv6"
	}
	for i := range arrivals { // one whose response was lost
		if t.Arrival == nil && arrivals[i].From == o.Seen.Local {
			t.Arrival = &arrivals[i].Arrival
		}
	}
	for line := range strings.Lines(log) {
		if o.Seen.Local != "" && strings.Contains(line, " "+o.Seen.Local+" ") {
			t.Log = append(t.Log, strings.TrimSpace(line))
		}
	}
	if c.answer != nil {
		for _, d := range c.answer.Destinations {
			if d.To == p.Name+" "+p.Protocol+" "+p.Address && len(d.Paths) > 0 {
				t.Explain(d.Paths[0])
			}
		}
	}
	t.Judge()
	return t
}

// accessLog is the log of a client's sidecar, once it has the connections that were
// redirected, or is late.
func (r *run) accessLog(ctx context.Context, c *client) string {
	for began := time.Now(); ; {
		log, err := r.log(ctx, c.pod, check.ProxyContainer)
		if err != nil {
			r.note("the log of the sidecar was not read: " + err.Error())
			return ""
		}
		missing := false
		for _, o := range c.observed {
			missing = missing || o.Seen.Kernel["proxy"] > 0 && o.Seen.Local != "" && !strings.Contains(log, " "+o.Seen.Local+" ")
		}
		if !missing || time.Since(began) > logWait || ctx.Err() != nil {
			if missing {
				r.note("connections are missing in the sidecar's access log: it is disabled, has another format, or is late")
			}
			return log
		}
		sleep(ctx, pollEvery)
	}
}

// log is the log of a container.
func (r *run) log(ctx context.Context, pod *corev1.Pod, container string) (string, error) {
	text, err := r.client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{Container: container, LimitBytes: new(int64(maxLog))}).DoRaw(ctx)
	return string(text), err
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// owned is the metadata of what the run creates.
func (r *run) owned(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: name, Labels: labelsOf(r.id), Annotations: map[string]string{untilAnnotation: r.until.Format(time.RFC3339)}}
}
