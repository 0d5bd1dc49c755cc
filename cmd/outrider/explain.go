package main

import (
	"context"
	"net/netip"
	"strings"

	"github.com/spf13/cobra"

	"github.com/outrider-mesh/outrider/explain"
)

const explainLong = `Explain a pod: whether the webhook is called for it and injects it, by which rule,
and what to change; each setting with its source; and, with --to, where its
connections to a destination go: redirected to the sidecar or not, by which rule of
which source, and then forwarded, answered or blocked by the sidecar, by which
object. A workload is explained by its pod template.

POD is a pod, or a workload as kubectl names it: deployment/web. A running pod is
explained by the redirect that it has, and by the objects as they are now.

With -f the object is read from a manifest, and a cluster only when --context or
--kubeconfig is set. The addresses of a host are those of the Service of that name,
of --address, or what this machine resolves it to.

-o json prints an object of docs/explain.schema.json.

Exit code: 0 explained, whatever the answer is; 1 error; 2 invalid usage.`

const explainExample = `  # Why is this pod not injected?
  outrider explain -n shop web-7d4b9c-x2x

  # Where do its requests to a host go, as HTTP and as TLS?
  outrider explain -n shop deployment/web --to www.google.com

  # Connections to an address and port
  outrider explain -n shop deployment/web --to 10.1.2.3:5432 --protocol tcp

  # A manifest, with the built-in configuration
  outrider explain -f deployment.yaml --to httpbin.org:80 --protocol http`

// explainOptions are the flags of explain.
type explainOptions struct {
	injectOptions
	to        []string
	protocol  string
	path      string
	addresses []string
	format    string
}

func explainCommand(stdio stdio) *cobra.Command {
	var o explainOptions
	cmd := &cobra.Command{
		Use:     "explain (POD | KIND/NAME | -f FILE) [--to DESTINATION]",
		Short:   "Explain why a pod is injected or not, and where its connections go",
		Long:    explainLong,
		Example: explainExample,
		Args:    cobra.MaximumNArgs(1),

		ValidArgsFunction: firstArgument(workloadNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			to, err := o.check(args)
			if err != nil {
				return err
			}
			return interruptible(cmd.Context(), func(ctx context.Context) error { return runExplain(ctx, o, args, to, stdio) })
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.files, "filename", "f", nil, "manifest with the pod or workload, and with ServiceEntries, VirtualServices, Sidecars and the Namespace; - is stdin; may be repeated")
	f.StringVarP(&o.namespace, "namespace", "n", "", "namespace of the pod (default: that of the kubeconfig context)")
	f.StringArrayVar(&o.to, "to", nil, "destination: HOST or ADDRESS, with :PORT or without; may be repeated")
	f.StringVar(&o.protocol, "protocol", "", "protocol of the destination: http, tls or tcp (default: http and tls)")
	f.StringVar(&o.path, "path", "/", "path of HTTP requests, which are GET")
	f.StringArrayVar(&o.addresses, "address", nil, "address that the host of --to resolves to in the pod; may be repeated (default: as this machine resolves it)")
	addOutput(f, &o.format, asText, asJSON, asYAML)
	setValues(f, "protocol", explain.Protocols()...)
	f.StringVar(&o.config, "injectConfigFile", "", "injection configuration: the value of key config of ConfigMap istio-sidecar-injector")
	f.StringVar(&o.values, "valuesFile", "", "injection values: the value of key values of ConfigMap istio-sidecar-injector")
	f.StringVar(&o.mesh, "meshConfigFile", "", "mesh configuration: the value of key mesh of ConfigMap istio")
	f.StringVarP(&o.revision, "revision", "r", "", "control-plane revision")
	o.cluster.addFlags(f)
	return cmd
}

// check rejects invalid usage, and reads the destinations.
func (o *explainOptions) check(args []string) ([]explain.Destination, error) {
	if err := checkOutput(o.format, asText, asJSON, asYAML); err != nil {
		return nil, err
	}
	switch {
	case len(args) == 0 && len(o.files) == 0:
		return nil, usagef("no pod: specify POD, KIND/NAME or -f FILE")
	case len(args) > 0 && len(o.files) > 0:
		return nil, usagef("%s and -f FILE are mutually exclusive", args[0])
	case len(o.to) == 0 && (o.protocol != "" || len(o.addresses) > 0):
		return nil, usagef("--protocol and --address require --to")
	}
	var given []netip.Addr
	for _, text := range o.addresses {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, usagef("--address: %q: not an IP address", text)
		}
		given = append(given, a.Unmap())
	}
	var out []explain.Destination
	for _, text := range o.to {
		d, err := explain.ParseDestination(text, o.protocol)
		if err != nil {
			return nil, &usageError{err}
		}
		if d.Path = o.path; !strings.HasPrefix(d.Path, "/") {
			return nil, usagef("--path: %q: must begin with /", o.path)
		}
		if d.Host != "" && len(given) > 0 {
			d.Addresses, d.From = given, "--address"
		}
		out = append(out, d)
	}
	return out, nil
}

// runExplain reads what the answer depends on, and prints it.
func runExplain(ctx context.Context, o explainOptions, args []string, to []explain.Destination, stdio stdio) error {
	if len(args) > 0 {
		o.cluster.always = true
	}
	defer smallHeap()()
	p := newProgress(stdio.err)
	defer p.stop()
	if o.cluster.enabled() {
		p.at("reading the cluster", 0)
	}
	o.storedRanges = true
	injector, texts, err := compileTexts(ctx, o.injectOptions, stdio.in, stdio.err)
	if err != nil {
		return err
	}
	in := explain.Input{Injector: injector, Texts: texts}
	var s explain.Subject
	if len(args) > 0 {
		s, err = o.fromCluster(ctx, args[0], &in)
	} else {
		s, err = o.fromFiles(ctx, &in, stdio)
	}
	if err != nil {
		return err
	}
	for i := range to {
		resolveDestination(ctx, &to[i], &in)
	}
	p.stop()
	answer := explain.Explain(s, in, to...)
	text := []byte(answer.Text())
	if o.format != asText {
		if text, err = encode(o.format, answer); err != nil {
			return err
		}
	}
	return printText(stdio.out, string(text))
}
