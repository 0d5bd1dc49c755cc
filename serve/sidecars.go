package serve

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"google.golang.org/grpc"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/outrider-mesh/outrider/certs"
	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/kube"
	"github.com/outrider-mesh/outrider/egress/xds"
	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/election"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/internal/revision"
)

// sidecars tells the sidecars what to do. It is a manager's runnable.
type sidecars struct {
	address string
	tls     *tls.Config
	server  *xds.Server
	watcher *kube.Watcher
	status  *kube.StatusWriter
	leading *election.Election // which writes the status
	client  kubernetes.Interface
	events  recorder
	log     logr.Logger
	said    []string // the problems that were logged last
	latest  atomic.Pointer[kube.Result]
}

// newSidecars is nil where the address turns them off.
func newSidecars(mgr manager.Manager, certificate certs.GetCertificate, o Options) (*sidecars, error) {
	if o.XDSAddress == "" || o.XDSAddress == "0" {
		return nil, nil
	}
	client, err := kubernetes.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("make a client for what the sidecars are told: %w", err)
	}
	objects, err := dynamic.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("make a client for what the sidecars are told: %w", err)
	}
	s := &sidecars{
		address: o.XDSAddress, tls: &tls.Config{GetCertificate: certificate}, client: client, events: mgr.GetEventRecorder("outrider"), log: o.Log.WithName("sidecars"),
	}
	s.server = xds.New(xds.NewTokens(client.AuthenticationV1().TokenReviews()), xds.Metrics(o.Registry, xds.Observer{
		Connected:      func(i xds.Identity) { s.log.V(1).Info("connected", "sidecar", i.String()) },
		Disconnected:   func(i xds.Identity) { s.log.V(1).Info("disconnected", "sidecar", i.String()) },
		StreamRejected: func(err error) { s.log.Info("xDS stream rejected", "reason", err.Error()) },
		Rejected:       s.rejected,
		Failed: func(namespace string, err error) {
			s.log.Error(err, "cannot make the configuration of a namespace; its sidecars keep what they have", "namespace", namespace)
		},
	}))
	if s.watcher, err = kube.New(kube.Options{Client: client, Dynamic: objects, Revision: revision.Revision(o.Revision), Log: s.log, Registry: o.Registry, Built: s.built}); err != nil {
		return nil, err
	}
	return s, s.writeStatus(o)
}

// writeStatus prepares the writer of the objects' status, on one replica.
func (s *sidecars) writeStatus(o Options) error {
	config := rest.CopyConfig(o.Cluster)
	config.QPS = -1 // the writer has a limit of its own
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make a client for the status of objects: %w", err)
	}
	log := s.log.WithName("status")
	if s.status, err = kube.NewStatusWriter(kube.StatusOptions{Dynamic: client, Revision: revision.Revision(o.Revision), Log: log, Registry: o.Registry}); err != nil {
		return err
	}
	hostname, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("name this replica: %w", err)
	}
	s.leading, err = newLeading(o, "outrider-status", identity(hostname, rand.Text()), s.status.Run, log)
	return err
}

// register adds what runs and what has to be so before the replica is ready.
func (s *sidecars) register(mgr manager.Manager) error {
	if s == nil {
		return nil
	}
	mgr.GetWebhookServer().Register(debugPath, s.debug())
	return errors.Join(mgr.Add(s.watcher), mgr.Add(s), mgr.Add(s.leading), mgr.AddReadyzCheck("sidecars", s.watcher.Ready))
}

// configure takes the configuration in force.
func (s *sidecars) configure(c *config.Config) {
	if s != nil {
		s.watcher.SetMesh(egress.CompileMesh(c.Mesh))
	}
}

// built leads the sidecars to a model.
func (s *sidecars) built(r kube.Result) {
	s.server.Publish(r.Model)
	s.latest.Store(&r)
	s.status.Offer(r)
	var now []string
	for _, p := range r.Problems {
		text := p.String()
		now = append(now, text)
		if !slices.Contains(s.said, text) {
			s.log.Info("what an object says has no effect, in part", "severity", p.Severity.String(), "problem", text)
		}
	}
	s.said = now
	s.log.V(1).Info("published", "objects", len(r.Objects), "problems", len(r.Problems))
}

// known are the objects in force, for who judges another one; false where this
// replica does not follow them, or not yet.
func (s *sidecars) known() (egress.Input, bool) {
	if s == nil {
		return egress.Input{}, false
	}
	if r := s.latest.Load(); r != nil {
		return r.Input, true
	}
	return egress.Input{}, false
}

// rejected says where people look that a sidecar does not do what it was told:
// in the log, in a metric, and in an event about its pod.
func (s *sidecars) rejected(r xds.Rejection) {
	s.log.Error(nil, "a sidecar does not take its configuration and keeps the last one", "sidecar", r.Identity.String(),
		"node", r.Node, "type", r.TypeURL, "resources", strings.Join(r.Resources, ","), "reason", r.Reason)
	if r.Identity.Pod == "" {
		return
	}
	go s.event(r) // an observer must not wait
}

func (s *sidecars) event(r xds.Rejection) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	pod, err := s.client.CoreV1().Pods(r.Identity.Namespace).Get(ctx, r.Identity.Pod, metav1.GetOptions{})
	if err != nil {
		return // it is gone; the log has it
	}
	pod.APIVersion, pod.Kind = "v1", "Pod" // a typed client leaves them out
	note := fmt.Sprintf("the sidecar keeps its last configuration and does not take %s: %s", strings.Join(r.Resources, ", "), r.Reason)
	s.events.Eventf(pod, nil, corev1.EventTypeWarning, "SidecarRejectedConfiguration", "Push", "%s", note[:min(len(note), maxNote)])
}

// NeedLeaderElection tells the manager that every replica serves sidecars.
func (s *sidecars) NeedLeaderElection() bool { return false }

// lastStreams is the time for what is being sent when the server ends. A stream
// itself has no end; its sidecar finds another replica.
const lastStreams = 500 * time.Millisecond

// Start serves until ctx ends.
func (s *sidecars) Start(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.address)
	if err != nil {
		return fmt.Errorf("listen for sidecars: %w", err)
	}
	g := s.server.GRPC(s.tls)
	failed := make(chan error, 1)
	go func() { failed <- g.Serve(l) }()
	s.log.Info("listening for sidecars", "address", l.Addr().String())
	select {
	case err := <-failed:
		return fmt.Errorf("serve the sidecars: %w", err)
	case <-ctx.Done():
	}
	stop(g)
	if err := <-failed; err != nil {
		return fmt.Errorf("serve the sidecars: %w", err)
	}
	return nil
}

// stop tells the sidecars to go elsewhere, and ends their streams soon after.
func stop(g *grpc.Server) {
	over := time.AfterFunc(lastStreams, g.Stop)
	defer over.Stop()
	g.GracefulStop()
}

// meshProblems are those of a mesh configuration that only those who make the
// sidecars' resources of it find. text is what it was read from.
func meshProblems(c *config.Config, text, where string) problem.List {
	problems := egress.CompileMesh(c.Mesh).Problems()
	if len(problems) == 0 {
		return nil
	}
	root, _ := document.Load(text, len(text)) // it has been read before
	var out problem.List
	for _, p := range problems {
		at := problem.Problem{Severity: p.Severity, Source: where, Path: p.Path, Rule: p.Rule, Fix: p.Fix}
		if n := root.GetProto(p.Path); n != nil {
			at.Line, at.Column, at.Value = n.Line, n.Column, n.Quoted()
		}
		out = append(out, at)
	}
	return out
}
