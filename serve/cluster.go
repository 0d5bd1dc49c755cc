package serve

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/revision"
)

// openShiftGroup is served by OpenShift alone. There, namespaces carry the UID
// ranges that their pods must use.
const openShiftGroup = "security.openshift.io"

// cluster reads what injection depends on: the API server's version, and on
// OpenShift the annotations of namespaces.
type cluster struct {
	discovery discovery.DiscoveryInterface
	cache     cache.Cache
	own       inject.Environment // what of it the options set
	injects   bool               // otherwise nothing reads namespaces
	openShift atomic.Bool        // and namespaces are watched
}

func newCluster(mgr manager.Manager, o Options) (*cluster, error) {
	d, err := discovery.NewDiscoveryClientForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("create discovery client: %w", err)
	}
	own := inject.Environment{Revision: revision.Revision(o.Revision.String()), Tags: o.Tags, Namespace: o.Namespace}
	return &cluster{discovery: d, cache: mgr.GetCache(), injects: o.runs(Webhook), own: own}, nil
}

// environment reads the API server's version, when namespaces are watched where
// they need to be.
func (c *cluster) environment(ctx context.Context) (inject.Environment, error) {
	if err := c.watchNamespaces(ctx); err != nil {
		return inject.Environment{}, err
	}
	info, err := c.discovery.ServerVersion()
	if err != nil {
		return inject.Environment{}, fmt.Errorf("get the API server's version: %w", err)
	}
	version, err := inject.ParseVersion(info.GitVersion)
	if err != nil {
		return inject.Environment{}, fmt.Errorf("parse the API server's version: %w", err)
	}
	env := c.own
	env.Kubernetes = version
	return env, nil
}

// watchNamespaces watches the metadata of namespaces on OpenShift, and does
// nothing elsewhere: a large cluster has many.
func (c *cluster) watchNamespaces(ctx context.Context) error {
	if !c.injects {
		return nil
	}
	groups, err := c.discovery.ServerGroups()
	if err != nil {
		return fmt.Errorf("list API groups: %w", err)
	}
	for _, g := range groups.Groups {
		if !strings.EqualFold(g.Name, openShiftGroup) {
			continue
		}
		// The first call starts the watch and waits for the initial list.
		if _, err := c.cache.GetInformer(ctx, namespaceMetadata()); err != nil {
			return fmt.Errorf("watch namespaces: %w", err)
		}
		c.openShift.Store(true)
	}
	return nil
}

// namespaceAnnotations is nil where they are unknown. A cache that lags behind
// returns nil, too; injection then reports what is missing.
func (c *cluster) namespaceAnnotations(namespace string) map[string]string {
	if !c.openShift.Load() {
		return nil
	}
	object := namespaceMetadata()
	if err := c.cache.Get(context.Background(), types.NamespacedName{Name: namespace}, object); err != nil {
		return nil
	}
	return object.Annotations
}

func namespaceMetadata() *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}}
}
