package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/pflag"
	"k8s.io/client-go/kubernetes"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/kubeconfig"
	"github.com/outrider-mesh/outrider/internal/revision"
)

// clusterOptions select the cluster whose configuration kube-inject uses. Without
// any of the flags no cluster is read.
type clusterOptions struct {
	injector, mesh string
	namespace      string
	kubeconfig.Access
	always bool // also without a flag: the cluster of the current context
}

func (o *clusterOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.injector, "injectConfigMapName", "", "read the injection configuration and values from this ConfigMap of the cluster; defaults to istio-sidecar-injector (istio-sidecar-injector-REVISION with a revision) when reading from a cluster")
	f.StringVar(&o.mesh, "meshConfigMapName", "", "read the mesh configuration from this ConfigMap of the cluster; defaults to istio (istio-REVISION with a revision) when reading from a cluster")
	f.StringVarP(&o.namespace, "istioNamespace", "i", "istio-system", "namespace of these ConfigMaps")
	addAccess(f, &o.Access)
}

func (o *clusterOptions) enabled() bool {
	return o.always || o.injector != "" || o.mesh != "" || o.Selected()
}

// names are the ConfigMaps to read. One set by a flag must exist.
func (o *clusterOptions) names(rev string) kubeconfig.Names {
	usual := config.LocationOf(o.namespace, revision.Revision(rev))
	n := kubeconfig.Names{Namespace: o.namespace, Injector: o.injector, Mesh: o.mesh}
	if n.Injector == "" {
		n.Injector = usual.Injector
	}
	if n.Mesh == "" {
		n.Mesh = usual.Mesh
		n.Optional = append(n.Optional, n.Mesh)
	}
	return n
}

// read reads the configuration and, unless a flag sets it, the version of the
// cluster.
func (o *clusterOptions) read(ctx context.Context, revision string, env *inject.Environment, w io.Writer) (t config.Texts, l config.Labels, err error) {
	access, err := o.Config()
	if err != nil {
		return t, l, err
	}
	client, err := kubernetes.NewForConfig(access)
	if err != nil {
		return t, l, fmt.Errorf("create Kubernetes client: %w", err)
	}
	env.Namespace = o.namespace
	t, l, missing, err := kubeconfig.Texts(ctx, client, o.names(revision))
	if err != nil {
		return t, l, err
	}
	for _, name := range missing {
		fmt.Fprintf(w, "note: ConfigMap %s/%s not found; using built-in defaults\n", o.namespace, name)
	}
	if env.Kubernetes != (inject.Version{}) {
		return t, l, nil
	}
	version, err := kubeconfig.Version(ctx, client)
	if err != nil {
		return t, l, err
	}
	if env.Kubernetes, err = inject.ParseVersion(version); err != nil {
		return t, l, fmt.Errorf("API server version: %w; set --kubernetes-version", err)
	}
	return t, l, nil
}
