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

// clusterOptions say which cluster's configuration kube-inject uses. Without
// any of the flags it uses none.
type clusterOptions struct {
	injector, mesh string
	namespace      string
	kubeconfig.Access
}

func (o *clusterOptions) addFlags(f *pflag.FlagSet) {
	f.StringVar(&o.injector, "injectConfigMapName", "", "read the injection configuration and values from this ConfigMap of the cluster; default istio-sidecar-injector, with -REVISION for a revision, where another flag asks for a cluster")
	f.StringVar(&o.mesh, "meshConfigMapName", "", "read the mesh configuration from this ConfigMap of the cluster; default istio, with -REVISION for a revision, where another flag asks for a cluster")
	f.StringVarP(&o.namespace, "istioNamespace", "i", "istio-system", "namespace of these ConfigMaps")
	f.StringVar(&o.Context, "context", "", "read the configuration from the cluster of this context of the kubeconfig")
	f.StringVar(&o.Kubeconfig, "kubeconfig", "", "read the configuration from the cluster of this kubeconfig; default $KUBECONFIG or ~/.kube/config where another flag asks for a cluster")
}

func (o *clusterOptions) asked() bool {
	return o.injector != "" || o.mesh != "" || o.Context != "" || o.Kubeconfig != ""
}

// names are the ConfigMaps to read. One that has been named must exist.
func (o *clusterOptions) names(rev string) kubeconfig.Names {
	usual := config.ConfigMapsOf(o.namespace, revision.Revision(rev))
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

// read reads the configuration and, unless it is known, the version of the
// kubeconfig.
func (o *clusterOptions) read(ctx context.Context, revision string, env *inject.Environment, w io.Writer) (t config.Texts, l config.Labels, err error) {
	access, err := o.Config()
	if err != nil {
		return t, l, err
	}
	client, err := kubernetes.NewForConfig(access)
	if err != nil {
		return t, l, fmt.Errorf("reach the cluster: %w", err)
	}
	t, l, missing, err := kubeconfig.Texts(ctx, client, o.names(revision))
	if err != nil {
		return t, l, err
	}
	for _, name := range missing {
		fmt.Fprintf(w, "note: the cluster has no ConfigMap %s/%s; the built-in defaults hold in its place\n", o.namespace, name)
	}
	if env.Kubernetes != (inject.Version{}) {
		return t, l, nil
	}
	version, err := kubeconfig.Version(ctx, client)
	if err != nil {
		return t, l, err
	}
	if env.Kubernetes, err = inject.ParseVersion(version); err != nil {
		return t, l, fmt.Errorf("the API server's version: %w; --kubernetes-version overrides it", err)
	}
	return t, l, nil
}
