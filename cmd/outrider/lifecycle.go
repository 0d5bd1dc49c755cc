package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/outrider-mesh/outrider/internal/kubeconfig"
	"github.com/outrider-mesh/outrider/lifecycle"
	"github.com/outrider-mesh/outrider/lifecycle/live"
)

// installationFlags select an installation and its cluster.
func installationFlags(f *pflag.FlagSet, i *lifecycle.Installation, access *kubeconfig.Access) {
	f.StringVarP(&i.Namespace, "istioNamespace", "i", "istio-system", "namespace of the installation")
	f.StringVarP((*string)(&i.Revision), "revision", "r", "", "control-plane revision of the installation; empty is the default revision")
	addAccess(f, access)
}

const verifyLong = `Verify that pods are injected: create one in dry run in a namespace with the
label of the revision, through the API server. If it has no sidecar, the reason is
printed: a webhook that the API server cannot reach, with the firewall rule of the
platform, a caBundle that does not verify its certificate, replicas that are not
ready, selectors, quotas, Pod Security.

The Helm chart runs this after an installation and after an upgrade.`

func verifyInstallCommand(stdio stdio) *cobra.Command {
	var access kubeconfig.Access
	o := live.VerifyOptions{}
	cmd := &cobra.Command{
		Use:   "verify-install [-n NAMESPACE]",
		Short: "Verify that pods are injected, and explain why not",
		Long:  verifyLong,
		Example: `  kubectl label namespace shop istio-injection=enabled
  outrider verify-install --namespace shop`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := access.Config()
			if err != nil {
				return err
			}
			if o.TestNamespace == "" {
				if o.TestNamespace, err = access.Namespace(); err != nil {
					return err
				}
			}
			client, err := kubernetes.NewForConfig(config)
			if err != nil {
				return fmt.Errorf("create Kubernetes client: %w", err)
			}
			p := newProgress(stdio.err)
			defer p.stop()
			p.at("waiting for the webhook to inject a pod in dry run", 0)
			return live.Verify(cmd.Context(), client, o, p.above(stdio.out))
		},
	}
	f := cmd.Flags()
	installationFlags(f, &o.Installation, &access)
	f.StringVarP(&o.TestNamespace, "namespace", "n", "", "namespace in which the pod is created in dry run, whose pods are injected (default: that of the kubeconfig context)")
	f.StringVar(&o.Image, "image", "registry.k8s.io/pause:3.10", "image of the pod, which is not pulled")
	f.DurationVar(&o.Timeout, "timeout", 30*time.Second, "how long to wait for the webhook")
	return cmd
}

const uninstallLong = `Stop an installation, and remove what its manifests or chart do not remove: the
certificate, the Leases, ConfigMap outrider-ca in every namespace, and the
CustomResourceDefinitions that Outrider created and that have no objects. The webhook
configurations are removed first, so that no pod waits for a webhook that is gone.
Another revision, or Istio, is not affected.

Without --yes it prints what it would remove.

"helm uninstall" runs this by itself. For an installation by manifests, run it before
"kubectl delete -f deploy/". With --purge it also removes what the manifests or the
chart created, in all namespaces: for an installation whose namespace was deleted.`

func uninstallCommand(stdio stdio) *cobra.Command {
	var access kubeconfig.Access
	var yes bool
	o := live.UninstallOptions{}
	cmd := &cobra.Command{
		Use:   "uninstall",
		Short: "Stop an installation and remove what it created",
		Long:  uninstallLong,
		Example: `  # What would be removed
  outrider uninstall

  # Remove it, and then what kubectl created
  outrider uninstall --yes
  kubectl delete --ignore-not-found -f deploy/

  # A revision
  outrider uninstall --revision canary --yes`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			config, err := access.Config()
			if err != nil {
				return err
			}
			client, err := dynamic.NewForConfig(config)
			if err != nil {
				return fmt.Errorf("create Kubernetes client: %w", err)
			}
			o.DryRun = !yes
			p := newProgress(stdio.err)
			defer p.stop()
			p.at("reading what is installed", 0)
			if yes {
				p.at("removing the installation", 0)
			}
			return uninstall(cmd.Context(), client, o, p.above(stdio.out))
		},
	}
	f := cmd.Flags()
	installationFlags(f, &o.Installation, &access)
	f.BoolVar(&o.Purge, "purge", false, "also remove what the manifests or the chart created")
	f.BoolVarP(&yes, "yes", "y", false, "remove, in place of printing what would be removed")
	return cmd
}

func uninstall(ctx context.Context, client dynamic.Interface, o live.UninstallOptions, out io.Writer) error {
	err := live.Uninstall(ctx, client, o, out)
	if o.DryRun {
		_, printed := fmt.Fprintln(out, "nothing was removed; add --yes to remove it")
		err = errors.Join(err, printed)
	}
	return err
}
