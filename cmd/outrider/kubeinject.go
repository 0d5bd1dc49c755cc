package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/manifest"
)

const kubeInjectLong = `Inject the sidecar into the pods and pod templates of manifests. The result is
the same as the webhook's with the same configuration. A cluster is read only
when --injectConfigMapName, --meshConfigMapName, --context or --kubeconfig is
set.

Documents that are not injected are copied byte for byte; in the others only the
injected parts change. Pod, Deployment, ReplicaSet, StatefulSet, DaemonSet,
ReplicationController, Job, CronJob, DeploymentConfig, Argo's Rollout, Lists of
them and the kinds of --pod-template-path are injected; all other documents are
copied unchanged. Skipped objects are reported on stderr. On any error nothing is
written.`

const kubeInjectExample = `  # Inject a manifest and apply it
  outrider kube-inject -f deployment.yaml | kubectl apply -f -

  # Preview the changes to all manifests of a directory, then apply them
  outrider kube-inject -f manifests/ --diff
  outrider kube-inject -f manifests/ --in-place

  # With the configuration of a cluster
  outrider kube-inject -f deployment.yaml --context production`

// injectOptions are the flags of kube-inject.
type injectOptions struct {
	manifestOptions
	config, values, mesh  string
	revision, kubeVersion string
	cluster               clusterOptions
	rangesFrom            []string
	storedRanges          bool // those that the webhook has stored do
}

func kubeInjectCommand(stdio stdio) *cobra.Command {
	var o injectOptions
	cmd := &cobra.Command{
		Use:     "kube-inject -f FILE",
		Short:   "Inject the sidecar into manifests",
		Long:    kubeInjectLong,
		Example: kubeInjectExample,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			if bad := validation.IsDNS1123Label(o.revision); o.revision != "" && len(bad) > 0 {
				return usagef("--revision: %s: invalid name: %s", problem.Quote(o.revision), bad[0])
			}
			if slices.Contains(o.files, "-") && slices.Contains(o.rangesFrom, "-") {
				return usagef("--ranges-from -: \"-\" (stdin) may be used only once")
			}
			releaseInitMemory()
			return interruptible(cmd.Context(), func(ctx context.Context) error { return kubeInject(ctx, o, stdio) })
		},
	}
	f := cmd.Flags()
	o.addFlags(f)
	f.StringVar(&o.config, "injectConfigFile", "", "injection configuration: the value of key config of ConfigMap istio-sidecar-injector (default: built-in)")
	f.StringVar(&o.values, "valuesFile", "", "injection values: the value of key values of ConfigMap istio-sidecar-injector (default: built-in)")
	f.StringVar(&o.mesh, "meshConfigFile", "", "mesh configuration: the value of key mesh of ConfigMap istio (default: built-in)")
	f.StringVar(&o.kubeVersion, "kubernetes-version", "", "target Kubernetes version, such as 1.37; defaults to the connected cluster's, otherwise assumes native sidecars")
	f.StringVarP(&o.revision, "revision", "r", "", "control-plane revision; defaults to the one in the values")
	f.StringArrayVar(&o.rangesFrom, "ranges-from", nil, "file to determine the cluster's CIDR ranges from, for the names cluster and kube-apiserver in range lists (same input as \"outrider ranges -f\"); - is stdin; may be repeated; defaults to the connected cluster")
	o.cluster.addFlags(f)
	return cmd
}

func kubeInject(ctx context.Context, o injectOptions, stdio stdio) error {
	paths, err := o.paths()
	if err != nil {
		return err
	}
	p := newProgress(stdio.err)
	defer p.stop()
	if o.cluster.enabled() {
		p.at("reading the settings of the cluster", 0)
	}
	injector, err := compile(ctx, o, stdio.in, p.above(stdio.err))
	p.stop()
	if err != nil {
		return err
	}
	w := &work{
		manifestOptions: o.manifestOptions, stdio: stdio, injector: injector, paths: paths, report: reportInjection,
		nothing: "nothing to inject: no Pods or supported workloads found", command: "kube-inject", whole: true, ignored: "not injected",
	}
	return w.run(ctx)
}

// reportInjection reports why an object is skipped or unchanged, and its warnings.
func reportInjection(w io.Writer, file string, object manifest.Object) {
	at := fmt.Sprintf("%s: document %d (%s)", file, object.Document, object)
	switch {
	case !object.Decision.Inject:
		fmt.Fprintf(w, "%s: skipped: %s\n", at, object.Decision.Sentence)
	case !object.Changed:
		fmt.Fprintf(w, "%s: unchanged: already injected with this configuration\n", at)
	}
	for _, warning := range object.Warnings {
		fmt.Fprintf(w, "%s: warning: %s\n", at, warning)
	}
}
