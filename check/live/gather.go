package live

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/outrider-mesh/outrider/check"
	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/kubeconfig"
	"github.com/outrider-mesh/outrider/lifecycle"
	lifecyclelive "github.com/outrider-mesh/outrider/lifecycle/live"
	"github.com/outrider-mesh/outrider/ranges"
	rangeslive "github.com/outrider-mesh/outrider/ranges/live"
	"github.com/outrider-mesh/outrider/status"
	"github.com/outrider-mesh/outrider/validate"
)

// Options of Gather.
type Options struct {
	lifecycle.Installation
	Before bool // an installation
	// Image is the image of the pods in dry run, which is not pulled.
	Image string
	// Proxy is the pod whose sidecar is checked; empty for an installation.
	Proxy Proxy
}

// Proxy is a pod whose sidecar is checked.
type Proxy struct {
	Namespace, Name string
	// Compare compares it with the active settings.
	Compare func(context.Context, *corev1.Pod) (*status.Report, error)
}

// maxAttempts bounds the namespaces in which a pod is created in dry run.
const maxAttempts = 20

// gathering is one reading.
type gathering struct {
	Options
	access  *rest.Config
	client  kubernetes.Interface
	dynamic dynamic.Interface

	mu    sync.Mutex
	facts check.Facts
}

// Gather reads a cluster. An error is one of the configuration of the client; that the
// cluster does not answer is a fact.
func Gather(ctx context.Context, access *rest.Config, o Options) (*check.Facts, error) {
	access = rest.CopyConfig(access)
	if access.QPS == 0 {
		access.QPS, access.Burst = 50, 100
	}
	g := &gathering{Options: o, access: access}
	var err error
	if g.client, err = kubernetes.NewForConfig(access); err != nil {
		return nil, fmt.Errorf("create Kubernetes client: %w", err)
	}
	if g.dynamic, err = dynamic.NewForConfig(access); err != nil {
		return nil, fmt.Errorf("create Kubernetes client: %w", err)
	}
	g.facts = check.Facts{
		Installation: o.Installation, Before: o.Before, Unread: map[check.Resource]string{},
		Definitions: map[string]check.Definition{}, Services: map[string]check.Service{}, Deployments: map[string]check.Deployment{},
	}
	if err := g.server(ctx); err != nil {
		g.facts.Unreachable = err.Error()
		return &g.facts, nil
	}
	if o.Proxy.Name != "" {
		return &g.facts, g.sidecar(ctx)
	}
	g.all(ctx, g.webhooks, g.definitions, g.nodes, g.namespaces, g.policies, g.system, g.own, g.ranges)
	g.bundle(ctx)
	g.attempts(ctx)
	return &g.facts, nil
}

// all reads everything at once.
func (g *gathering) all(ctx context.Context, reads ...func(context.Context)) {
	var reading sync.WaitGroup
	for _, read := range reads {
		reading.Go(func() { read(ctx) })
	}
	reading.Wait()
}

// set changes the facts.
func (g *gathering) set(change func(*check.Facts)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change(&g.facts)
}

// unread notes that a resource was not read.
func (g *gathering) unread(r check.Resource, err error) {
	g.set(func(f *check.Facts) { f.Unread[r] = err.Error() })
}

// server reads the version and the time of the API server.
func (g *gathering) server(ctx context.Context) error {
	client, err := rest.HTTPClientFor(g.access)
	if err != nil {
		return err
	}
	address, _, err := rest.DefaultServerUrlFor(g.access)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.JoinPath("version").String(), nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	_ = response.Body.Close()
	g.facts.Now = time.Now()
	if t, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		g.facts.ServerTime = t
	}
	if g.facts.Version, err = kubeconfig.Version(ctx, g.client); err != nil {
		return err
	}
	groups, err := g.client.Discovery().ServerGroups()
	if err != nil {
		return err
	}
	for _, group := range groups.Groups {
		g.facts.APIGroups = append(g.facts.APIGroups, group.Name)
	}
	return nil
}

// pages lists a resource by pages of 500.
func pages[T any, L metav1.ListInterface](ctx context.Context, list func(context.Context, metav1.ListOptions) (L, error), items func(L) []T) ([]T, error) {
	var out []T
	options := metav1.ListOptions{Limit: 500}
	for {
		page, err := list(ctx, options)
		if err != nil {
			return nil, err
		}
		out = append(out, items(page)...)
		if options.Continue = page.GetContinue(); options.Continue == "" {
			return out, nil
		}
	}
}

// attempts creates a pod in dry run in injected namespaces.
func (g *gathering) attempts(ctx context.Context) {
	if g.Before {
		return
	}
	injected := g.facts.Injected()
	g.facts.More = max(0, len(injected)-maxAttempts)
	for _, n := range injected[:min(len(injected), maxAttempts)] {
		attempt, cluster := lifecyclelive.Try(ctx, g.client, lifecyclelive.VerifyOptions{Installation: g.Installation, TestNamespace: n.Name, Image: g.Image})
		g.facts.Attempts = append(g.facts.Attempts, check.Attempt{Attempt: attempt, Cluster: cluster})
	}
}

// ranges reads the sources of the cluster's ranges, and then the configuration, whose lists
// can have their names.
func (g *gathering) ranges(ctx context.Context) {
	reader, err := rangeslive.New(g.access, rangeslive.Options{})
	var snapshot *rangeslive.Snapshot
	if err == nil {
		snapshot, err = reader.Gather(ctx)
	}
	if err != nil {
		g.unread(check.RangeSources, err)
		g.configuration(ctx, nil)
		return
	}
	result := snapshot.Data.Resolve(ranges.Options{Live: true})
	g.set(func(f *check.Facts) { f.Data, f.Ranges = snapshot.Data, result })
	g.configuration(ctx, snapshot.Data)
}

// configuration compiles the ConfigMaps as the replicas do.
func (g *gathering) configuration(ctx context.Context, data *ranges.ClusterData) {
	location := config.LocationOf(g.Namespace, g.Revision)
	texts, labels, missing, err := kubeconfig.Texts(ctx, g.client, kubeconfig.Names{
		Namespace: location.Namespace, Injector: location.Injector, Mesh: location.Mesh, Optional: []string{location.Injector, location.Mesh},
	})
	if err != nil {
		g.unread(check.Own, err)
		return
	}
	c := validate.ReadConfiguration(texts, nil, labels, egress.CompileMesh)
	env := inject.Environment{Revision: g.Revision, Namespace: g.Namespace, Ranges: ranges.NoCluster("the sources of the cluster's ranges could not be read")}
	if data != nil && c.Config != nil {
		env.Ranges = inject.RangeNames(c.Config, data, true)
	}
	if env.Kubernetes, err = inject.ParseVersion(g.facts.Version); err != nil {
		env.Kubernetes = inject.Version{}
	}
	injector, problems := c.Compile(env)
	g.set(func(f *check.Facts) { f.Injector, f.Problems, f.Missing = injector, problems, missing })
}
