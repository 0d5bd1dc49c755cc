package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/outrider-mesh/outrider/egress/rehearse"
	"github.com/outrider-mesh/outrider/egress/report"
)

const egressLong = `List what workloads connect to outside the cluster, propose the objects that
allow it, and find out what REGISTRY_ONLY would block.

Sidecars report connections and requests to hosts outside the cluster, whether a
ServiceEntry declares them or not. The control plane keeps them in the EgressReport
"egress" of each namespace. An entry is a claim of its workload.`

// egressOptions are the flags of the subcommands.
type egressOptions struct {
	explainOptions        // of the cluster and its configuration
	all, busiest, enforce bool
	selector, verdict     string
	since                 time.Duration
	wildcards             []string
}

func egressCommand(stdio stdio) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "egress",
		Short: "Show what workloads connect to, and propose what allows it",
		Long:  egressLong,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(egressHosts(stdio), egressPropose(stdio), egressVerify(stdio), egressAllow(stdio))
	for _, c := range cmd.Commands() {
		c.Args = asUsage(c.Args)
	}
	cmd.Args = knownCommand
	return cmd
}

// scopeFlags are the flags that select reports.
func (o *egressOptions) scopeFlags(f *pflag.FlagSet) {
	f.StringVarP(&o.namespace, "namespace", "n", "", "namespace (default: that of the kubeconfig context)")
	f.DurationVar(&o.since, "since", 0, "what was seen in this time, such as 24h (default: all that is kept)")
}

func (o *egressOptions) verdictFlag(f *pflag.FlagSet) {
	f.StringVar(&o.verdict, "verdict", "", "only what was passthrough (forwarded although it is not declared), blocked or allowed (declared)")
}

// checkVerdict validates the flag.
func (o *egressOptions) checkVerdict() error {
	if o.verdict != "" && !slices.Contains(report.Verdicts(), report.Verdict(o.verdict)) {
		return usagef("--verdict: %q: unknown verdict; use passthrough, blocked or allowed", o.verdict)
	}
	return nil
}

func egressHosts(stdio stdio) *cobra.Command {
	var o egressOptions
	cmd := &cobra.Command{
		Use:   "hosts [-A | -n NAMESPACE]",
		Short: "List the hosts that workloads connect to",
		Long: `List the hosts outside the cluster that workloads connect to, the newest first.

Exit code: 0 listed; 1 error; 2 invalid usage.`,
		Example: `  # What is blocked in the cluster
  outrider egress hosts -A --verdict blocked

  # What one workload reaches, and how often
  outrider egress hosts -n shop -l app=checkout --since 24h --busiest`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.checkHosts(); err != nil {
				return err
			}
			return interruptible(cmd.Context(), func(ctx context.Context) error { return o.runHosts(ctx, stdio) })
		},
	}
	f := cmd.Flags()
	o.scopeFlags(f)
	f.BoolVarP(&o.all, "all-namespaces", "A", false, "all namespaces")
	f.StringVarP(&o.selector, "selector", "l", "", "workloads whose pods have these labels, such as app=web")
	o.verdictFlag(f)
	f.BoolVar(&o.busiest, "busiest", false, "those with most connections and requests first")
	addOutput(f, &o.format, asText, asWide, asJSON, asYAML)
	addAccess(f, &o.cluster.Access)
	return cmd
}

func (o *egressOptions) checkHosts() error {
	if o.all && o.namespace != "" {
		return usagef("-A and -n are mutually exclusive")
	}
	if err := o.checkVerdict(); err != nil {
		return err
	}
	if _, err := labels.Parse(o.selector); err != nil {
		return usagef("-l: %q: %v", o.selector, err)
	}
	if o.since < 0 {
		return usagef("--since: %s: must not be negative", o.since)
	}
	return checkOutput(o.format, asText, asWide, asJSON, asYAML)
}

func (o *egressOptions) runHosts(ctx context.Context, stdio stdio) error {
	seen, err := o.read(ctx)
	if err != nil {
		return err
	}
	hosts, more := seen.hosts, seen.more
	report.Sort(hosts, o.busiest)
	if o.format == asJSON || o.format == asYAML {
		text, err := encode(o.format, newHostsReport(hosts, more))
		if err != nil {
			return err
		}
		return printText(stdio.out, string(text))
	}
	if !seen.any() {
		fmt.Fprintf(stdio.err, "no hosts are reported%s; %s\n", inScope(seen.namespace), o.whyNone(ctx, seen))
		return nil
	}
	return printText(stdio.out, hostsTable(hosts, more, o.all, o.format == asWide, time.Now()))
}

func inScope(namespace string) string {
	if namespace == "" {
		return ""
	}
	return " in namespace " + namespace
}

func printText(out io.Writer, text string) error {
	if _, err := io.WriteString(out, text); err != nil {
		return fmt.Errorf("write the answer: %w", cause(err))
	}
	return nil
}

func egressPropose(stdio stdio) *cobra.Command {
	var o egressOptions
	cmd := &cobra.Command{
		Use:   "propose [-n NAMESPACE]",
		Short: "Print the ServiceEntries that allow what workloads connect to",
		Long: `Print the ServiceEntries that allow exactly what the workloads of a namespace were
seen to connect to and no ServiceEntry declares for it, with the workloads that need
each host. What was blocked is included; --verdict passthrough omits it. --enforce
adds a Sidecar, which blocks everything else in the namespace.

The same reports give the same text. Review it, and apply it:
  outrider egress propose -n shop > shop.yaml
  kubectl apply -f shop.yaml

Hosts that would be blocked with the proposal, too, are warnings with the reason.

Exit code: 0 printed, or nothing to propose; 1 error; 2 invalid usage.`,
		Example: `  # What is missing, and the policy
  outrider egress propose -n shop --enforce

  # One entry for all names of a domain
  outrider egress propose -n shop --wildcard '*.s3.amazonaws.com'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.checkVerdict(); err != nil {
				return err
			}
			for _, w := range o.wildcards {
				if len(w) < 4 || w[:2] != "*." || report.CleanHost(w[2:]) != w[2:] {
					return usagef("--wildcard: %q: not a wildcard; use one such as *.example.com", w)
				}
			}
			return interruptible(cmd.Context(), func(ctx context.Context) error { return o.runPropose(ctx, stdio) })
		},
	}
	f := cmd.Flags()
	o.scopeFlags(f)
	o.verdictFlag(f)
	f.BoolVar(&o.enforce, "enforce", false, "add the Sidecar with REGISTRY_ONLY")
	f.StringArrayVar(&o.wildcards, "wildcard", nil, "wildcard in place of the names that it matches, such as *.example.com; may be repeated")
	o.configurationFlags(f)
	return cmd
}

func (o *egressOptions) configurationFlags(f *pflag.FlagSet) {
	f.StringVarP(&o.revision, "revision", "r", "", "control-plane revision")
	o.cluster.addFlags(f)
}

func (o *egressOptions) runPropose(ctx context.Context, stdio stdio) error {
	seen, err := o.read(ctx)
	if err != nil {
		return err
	}
	if !seen.any() {
		hint := o.whyNone(ctx, seen)
		if o.enforce {
			return fmt.Errorf("--enforce: no hosts are reported in namespace %s, so the Sidecar would block all hosts outside the cluster; %s", seen.namespace, hint)
		}
		fmt.Fprintf(stdio.err, "nothing to propose: no hosts are reported in namespace %s; %s\n", seen.namespace, hint)
		return nil
	}
	objects, err := o.objects(ctx, stdio)
	if err != nil {
		return err
	}
	model := rehearse.Enforced(objects)
	pods, err := o.podsOf(ctx, model, seen.namespace)
	if err != nil {
		return err
	}
	p := rehearse.Propose(rehearse.Options{Namespace: seen.namespace, Wildcards: o.wildcards, Enforce: o.enforce, More: seen.more, Objects: objects, Pods: pods}, seen.hosts)
	for _, w := range p.Warnings {
		fmt.Fprintf(stdio.err, "warning: %s\n", w)
	}
	if p.Entries == 0 && !o.enforce {
		fmt.Fprintf(stdio.err, "nothing to propose: all %d reported hosts of namespace %s are declared\n", len(seen.hosts), seen.namespace)
		return nil
	}
	return printText(stdio.out, p.Text)
}

func egressVerify(stdio stdio) *cobra.Command {
	var o egressOptions
	cmd := &cobra.Command{
		Use:   "verify [-n NAMESPACE]",
		Short: "Show what REGISTRY_ONLY would block",
		Long: `Show which of the reported hosts of a namespace would be blocked if REGISTRY_ONLY
held there now, with the ServiceEntries and VirtualServices that there are.

Exit code: 0 nothing would be blocked; 1 something would be, or an error; 2 invalid
usage.`,
		Example: `  outrider egress verify -n shop --since 24h`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return interruptible(cmd.Context(), func(ctx context.Context) error { return o.runVerify(ctx, stdio) })
		},
	}
	f := cmd.Flags()
	o.scopeFlags(f)
	o.configurationFlags(f)
	return cmd
}

func (o *egressOptions) runVerify(ctx context.Context, stdio stdio) error {
	seen, err := o.read(ctx)
	if err != nil {
		return err
	}
	if !seen.any() {
		return printText(stdio.out, fmt.Sprintf("No hosts are reported in namespace %s; %s\n", seen.namespace, o.whyNone(ctx, seen)))
	}
	objects, err := o.objects(ctx, stdio)
	if err != nil {
		return err
	}
	model := rehearse.Enforced(objects)
	pods, err := o.podsOf(ctx, model, seen.namespace)
	if err != nil {
		return err
	}
	views := rehearse.NewViews(model, seen.namespace, pods)
	if unknown := views.Unknown(seen.hosts); unknown != "" {
		fmt.Fprintf(stdio.err, "warning: %s\n", unknown)
	}
	blocked := views.Blocked(seen.hosts)
	report.Sort(blocked, false)
	text := verifyText(seen.namespace, seen.hosts, blocked, seen.more, time.Now())
	if err := printText(stdio.out, text); err != nil {
		return err
	}
	if len(blocked) > 0 {
		return errors.New("REGISTRY_ONLY would block what workloads use")
	}
	return nil
}

func egressAllow(stdio stdio) *cobra.Command {
	var o egressOptions
	cmd := &cobra.Command{
		Use:   "allow HOST...",
		Short: "Print the smallest ServiceEntry that allows hosts",
		Long: `Print the smallest ServiceEntry that allows hosts for the pods of a namespace. A host
is HOST, HOST:PORT or SCHEME://HOST:PORT; the scheme is http, https, tls or tcp. Without
a scheme port 80 is HTTP and others are TLS; without a port it is 443.

Exit code: 0 printed; 2 invalid usage.`,
		Example: `  outrider egress allow api.example.com -n shop | kubectl apply -f -
  outrider egress allow http://mirror.example.com tcp://192.0.2.10:5432`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			namespace, err := o.inNamespace()
			if err != nil {
				return err
			}
			text, err := rehearse.Allow(namespace, args)
			if err != nil {
				return &usageError{err}
			}
			return printText(stdio.out, text)
		},
	}
	cmd.Flags().StringVarP(&o.namespace, "namespace", "n", "", "namespace (default: that of the kubeconfig context)")
	addAccess(cmd.Flags(), &o.cluster.Access)
	return cmd
}
