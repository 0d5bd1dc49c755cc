package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/outrider-mesh/outrider/check"
	"github.com/outrider-mesh/outrider/check/live"
	"github.com/outrider-mesh/outrider/internal/kubeconfig"
)

const checkLong = `Check an installation, and the cluster around it: the API server and the nodes, the
Deployments, Services and ConfigMaps of the installation, the webhooks, whether the
API server reaches them (with a pod in dry run in each injected namespace, up to 20),
labels, Pod Security and NetworkPolicies of namespaces, other meshes, the cluster's
ranges against those that are included, and what is special on the platform.

With --pre, only what can keep an installation from working is checked. With --proxy,
one sidecar is checked: the settings that it was injected with, its redirect, its
connection to the control plane, its configuration, certificates and clock. Its
administration interface is read through the API server, as "kubectl port-forward"
does.

With --traffic, the three ways out of a pod are tried with pods in a namespace of their
own, which is removed afterwards, also on Ctrl-C: an undeclared host, a host that a
ServiceEntry declares, and an address that is excluded from the redirect. A pod
without a sidecar plays the external service, so that nothing is sent to the
internet. For each connection the report has what arrived, and what the kernel and
the sidecar have counted. With -n, the pods are created in a namespace that exists.

Each check has an ID, under which docs/checks.md has its cause and its fix. Nothing is
changed, but by --traffic. What cannot be read is reported, and the checks that need it are skipped.

-o json prints an object of docs/check.schema.json.

Exit code: 0 no check failed; 1 a check failed, or an error; 2 invalid usage.`

const checkExample = `  # Before an installation
  outrider check --pre

  # After it
  outrider check

  # One sidecar
  outrider check --proxy web-7d4b9c-x2x -n shop

  # The ways out of a pod, tried
  outrider check --traffic

  # The same in a namespace that exists, without permissions for the whole cluster
  outrider check --traffic -n shop

  # Only what is wrong
  outrider check -o json | jq '.results[] | select(.status == "failed")'`

// errChecksFailed is the error of a report with a failed check. The report has been
// written.
var errChecksFailed = errors.New("checks failed")

func checkCommand(stdio stdio) *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:     "check",
		Short:   "Check an installation and its cluster, with causes and fixes",
		Long:    checkLong,
		Example: checkExample,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			if o.traffic.enabled { // it removes what it has created, after an interrupt, too
				return runCheck(cmd.Context(), o, stdio)
			}
			return interruptible(cmd.Context(), func(ctx context.Context) error { return runCheck(ctx, o, stdio) })
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.Before, "pre", false, "check the cluster before an installation")
	f.StringVar(&o.proxy, "proxy", "", "check the sidecar of this pod")
	f.StringVarP(&o.namespace, "namespace", "n", "", "namespace of the pod of --proxy (default: that of the kubeconfig context); with --traffic, a namespace that exists, in place of one of its own")
	addOutput(f, &o.format, asText, asJSON, asYAML)
	f.StringVar(&o.Image, "image", "", "image of the pods in dry run, which is not pulled (default: registry.k8s.io/pause:3.10); with --traffic, image of outrider for its pods (default: that of the installation)")
	o.traffic.addFlags(f)
	installationFlags(f, &o.Installation, &o.access)
	return cmd
}

// checkOptions are the flags of check.
type checkOptions struct {
	live.Options
	proxy, namespace, format string
	access                   kubeconfig.Access
	traffic                  trafficOptions
}

// check rejects invalid usage, and completes the options.
func (o *checkOptions) check() (err error) {
	if err := checkOutput(o.format, asText, asJSON, asYAML); err != nil {
		return err
	}
	switch {
	case o.proxy != "" && o.Before:
		return usagef("--proxy and --pre are mutually exclusive")
	case o.traffic.enabled && (o.Before || o.proxy != ""):
		return usagef("--traffic is mutually exclusive with --pre and --proxy")
	case !o.traffic.enabled && len(o.traffic.external) > 0:
		return usagef("--external requires --traffic")
	case o.traffic.enabled && o.traffic.timeout < minTraffic:
		return usagef("--timeout: %s: too short; use %s or more", o.traffic.timeout, minTraffic)
	case o.proxy == "" && !o.traffic.enabled && o.namespace != "":
		return usagef("-n requires --proxy or --traffic")
	case o.Image == "" && !o.traffic.enabled:
		o.Image = "registry.k8s.io/pause:3.10"
	}
	if o.proxy != "" {
		o.Proxy, err = proxyOf(o.proxy, o.namespace, o.access, o.Installation)
	}
	return err
}

// minTraffic is the shortest time in which pods can start.
const minTraffic = 5 * time.Second

// facts are what the checks are about.
func (o *checkOptions) facts(ctx context.Context, stdio stdio) (*check.Facts, error) {
	if o.traffic.enabled {
		return o.try(ctx, stdio)
	}
	client, err := o.access.Config()
	if err != nil {
		return nil, err
	}
	p := newProgress(stdio.err)
	defer p.stop()
	p.at("reading the cluster", 0)
	return live.Gather(ctx, client, o.Options)
}

func runCheck(ctx context.Context, o checkOptions, stdio stdio) error {
	facts, err := o.facts(ctx, stdio)
	if err != nil {
		return err
	}
	report := check.Run(facts)
	text := []byte(report.Text(coloured(stdio.out)))
	if o.format != asText {
		if text, err = encode(o.format, report); err != nil {
			return err
		}
	}
	if _, err := stdio.out.Write(text); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if report.Status == check.Failed {
		return errChecksFailed
	}
	return nil
}
