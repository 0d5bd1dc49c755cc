package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/outrider-mesh/outrider/internal/kubeconfig"
	"github.com/outrider-mesh/outrider/status"
)

const statusLong = `Compare the running pods with the active settings: which workloads were injected
under others, in what they differ, since when, and the commands that apply the
active ones; which pods should have a sidecar and have none, and why; sidecars with
a problem; and the replicas of the webhook and of the control plane.

Pods are compared by injecting them again, so that a setting that no pod depends on
makes none differ. Nothing is changed.

-o wide also shows pods, hashes and sources; -o json prints an object of
docs/status.schema.json. With --watch the report is printed again when it changes.

Exit code: 0 reported, whatever the report is; 1 error; 2 invalid usage.`

const statusExample = `  # The pods of the current namespace
  outrider status

  # All pods of the cluster
  outrider status -A

  # Which Deployments must be restarted?
  outrider status -A -o json | jq -r '.workloads[].command'`

// pollInterval is how often --watch reads the pods. A reading of 5,000 pods is some 20
// requests.
const pollInterval = 10 * time.Second

// statusOptions are the flags of status, of which preview has most.
type statusOptions struct {
	all                          bool
	namespace, selector, format  string
	istioNamespace, revisionName string
	access                       kubeconfig.Access
	watch                        bool
	interval                     time.Duration
}

func (o *statusOptions) addFlags(f *pflag.FlagSet) {
	f.BoolVarP(&o.all, "all-namespaces", "A", false, "pods of all namespaces")
	f.StringVarP(&o.namespace, "namespace", "n", "", "namespace of the pods (default: that of the kubeconfig context)")
	f.StringVarP(&o.selector, "selector", "l", "", "pods with these labels, such as app=web, as kubectl's")
	addOutput(f, &o.format, reportFormats...)
	f.StringVarP(&o.revisionName, "revision", "r", "", "control-plane revision")
	f.StringVarP(&o.istioNamespace, "istioNamespace", "i", "istio-system", "namespace of the installation")
	addAccess(f, &o.access)
}

func statusCommand(stdio stdio) *cobra.Command {
	var o statusOptions
	cmd := &cobra.Command{
		Use:     "status [-A | -n NAMESPACE]",
		Short:   "Show which pods were not injected under the active settings",
		Long:    statusLong,
		Example: statusExample,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			if o.interval < time.Second {
				return usagef("--interval: %s: too short; use 1s or more", o.interval)
			}
			releaseInitMemory()
			return interruptible(cmd.Context(), func(ctx context.Context) error { return runStatus(ctx, o, stdio) })
		},
	}
	o.addFlags(cmd.Flags())
	cmd.Flags().BoolVarP(&o.watch, "watch", "w", false, "print the report again when it changes")
	cmd.Flags().DurationVar(&o.interval, "interval", pollInterval, "how often --watch reads the pods")
	return cmd
}

// reportFormats are the values of -o.
var reportFormats = []string{asText, asWide, asJSON, asYAML}

// machine reports whether the output is for a program.
func (o *statusOptions) machine() bool { return o.format == asJSON || o.format == asYAML }

// check rejects invalid usage.
func (o *statusOptions) check() error {
	if o.all && o.namespace != "" {
		return usagef("-A and -n are mutually exclusive")
	}
	if _, err := labels.Parse(o.selector); err != nil {
		return usagef("-l: %q: %v", o.selector, err)
	}
	return checkOutput(o.format, reportFormats...)
}

// scope is the namespace of the pods; empty for all.
func (o *statusOptions) scope() (string, error) {
	if o.all || o.namespace != "" {
		return o.namespace, nil
	}
	return o.access.Namespace()
}

func runStatus(ctx context.Context, o statusOptions, stdio stdio) error {
	var before string
	for {
		text, err := o.report(ctx, stdio)
		switch {
		case err != nil && (!o.watch || before == ""):
			return err
		case err != nil:
			fmt.Fprintf(stdio.err, "error: %v\n", err) // it may pass
		case text != before:
			if before != "" && !o.machine() {
				text = "\n" + time.Now().Format(time.RFC3339) + "\n" + text
			}
			if _, err := io.WriteString(stdio.out, text); err != nil {
				return fmt.Errorf("write the report: %w", cause(err))
			}
			before = text
		}
		if !o.watch {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(o.interval):
		}
	}
}

// report is one report as text.
func (o *statusOptions) report(ctx context.Context, stdio stdio) (string, error) {
	c, err := o.compare(ctx, stdio)
	if err != nil {
		return "", err
	}
	report := c.Report()
	if o.machine() {
		text, err := encode(o.format, report)
		return string(text), err
	}
	return report.Text(o.style(stdio.out)), nil
}

// style is how reports are rendered: with colors on a terminal, unless NO_COLOR is set.
func (o *statusOptions) style(out io.Writer) status.Style {
	return status.Style{Wide: o.format == asWide, Color: coloured(out), Now: time.Now()}
}
