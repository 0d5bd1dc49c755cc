package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/internal/kubeconfig"
	"github.com/outrider-mesh/outrider/ranges"
)

const rangesLong = `Find the address ranges of a cluster's Services and pods, for includeIPRanges:
with them, traffic to anything outside the cluster bypasses the sidecar.

Without -f they are read from the cluster that kubectl would use. With -f they
are read from documents: what the provider's command line prints about the
cluster, Kubernetes objects, installation files, flags. With -f and --live both
count, and the documents are checked against the cluster's addresses in use.

Each range is shown with its source and how far that can be trusted. A range
that cannot be determined is said to be missing, with the command whose output
would supply it; no value for includeIPRanges is given then, because what it
leaves out would bypass the sidecar.

--platform NAME without documents prints the platform's defaults, which are not
checked. With documents it says which platform they are of, and lets the
defaults fill in for what they do not hold.

Exit code: 0 both ranges are known, 3 a range is missing or known in part,
1 bad input, 2 wrong usage.`

const rangesExample = `  # The current cluster
  outrider ranges

  # From what a provider says
  gcloud container clusters describe CLUSTER --location LOCATION --format json | outrider ranges -f -
  az aks show -g GROUP -n CLUSTER -o json | outrider ranges -f - -o helm

  # Pods of EKS have addresses of the VPC
  aws eks describe-cluster --name CLUSTER > kubeconfig.json
  aws ec2 describe-vpcs --vpc-ids VPC > vpc.json
  outrider ranges -f kubeconfig.json -f vpc.json

  # The same, with all else from the cluster itself
  outrider ranges --live -f vpc.json

  # From a cluster's own objects
  kubectl cluster-info dump | outrider ranges -f -

  # A patch that keeps the other values
  kubectl -n istio-system get configmap istio-sidecar-injector -o yaml > injector.yaml
  outrider ranges -f kubeconfig.json -f vpc.json -f injector.yaml -o configmap-patch`

// exitIncomplete is the exit code when a range is missing or known in part.
const exitIncomplete = 3

// errIncomplete ends a command that said itself what is missing.
var errIncomplete = errors.New("a range is missing")

// rangesFormats are the values of -o.
var rangesFormats = []string{"table", "json", "helm", "configmap-patch", "annotation"}

type rangesOptions struct {
	files            []string
	platform, format string
	live             bool
	kubeconfig.Access
}

func rangesCommand(stdio stdio) *cobra.Command {
	var o rangesOptions
	cmd := &cobra.Command{
		Use:     "ranges [-f DOCUMENT]",
		Short:   "Find the cluster's own address ranges",
		Long:    rangesLong,
		Example: rangesExample,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return interruptible(cmd.Context(), func(ctx context.Context) error { return runRanges(ctx, o, stdio) })
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.files, "filename", "f", nil, "document to read; - is standard input; may be repeated")
	f.StringVar(&o.platform, "platform", "", "platform whose defaults may be used: "+strings.Join(ranges.Platforms(), ", "))
	f.BoolVar(&o.live, "live", false, "read the cluster too; without -f and --platform it is read anyway")
	f.StringVar(&o.Kubeconfig, "kubeconfig", "", "file that says how to reach the cluster; default as kubectl's")
	f.StringVar(&o.Context, "context", "", "context of the kubeconfig to use; default the current one")
	f.StringVarP(&o.format, "output", "o", "table", "output: "+strings.Join(rangesFormats, ", "))
	return cmd
}

// check refuses wrong usage, and makes the platform's name the table's.
func (o *rangesOptions) check() error {
	if !slices.Contains(rangesFormats, o.format) {
		return usagef("-o %q: not an output; use %s", o.format, strings.Join(rangesFormats, ", "))
	}
	if o.platform != "" {
		name, ok := ranges.Canonical(o.platform)
		if !ok {
			return usagef("--platform %q: not a known platform; use one of %s", o.platform, strings.Join(ranges.Platforms(), ", "))
		}
		o.platform = name
	}
	stdin := 0
	for _, f := range o.files {
		if f == "-" {
			stdin++
		}
	}
	if stdin > 1 {
		return usagef("-f -: standard input can be read once only")
	}
	return nil
}

// runRanges answers from documents, from the cluster, or from the table of defaults.
func runRanges(ctx context.Context, o rangesOptions, stdio stdio) error {
	if o.platform != "" && len(o.files) == 0 && !o.live {
		result, _ := ranges.Default(o.platform) // check has looked the name up
		return printRanges(o.format, &result, "", stdio)
	}
	documents, err := readDocuments("-f", o.files, stdio.in)
	if err != nil {
		return err
	}
	live := o.live || len(o.files) == 0
	var facts *ranges.Facts
	var forbidden []string
	if live {
		facts, forbidden, err = readCluster(ctx, o.Access, true, documents)
	} else {
		facts, err = ranges.Read(documents)
	}
	var faults *ranges.Error
	switch {
	case errors.As(err, &faults):
		return fmt.Errorf("the documents are refused:\n%w", err)
	case err != nil:
		return err
	}
	result := facts.Resolve(ranges.Options{Platform: o.platform, Live: live})
	result.Warnings = append(result.Warnings, checkInclude(facts)...)
	if len(forbidden) > 0 && !result.Known() {
		result.Warnings = append(result.Warnings, "not read, for want of rights: "+strings.Join(forbidden, ", "))
	}
	return printRanges(o.format, &result, facts.Values, stdio)
}

// checkInclude checks the include list of an injector's ConfigMap that is among
// the documents.
func checkInclude(facts *ranges.Facts) []string {
	if facts.Values == "" {
		return nil
	}
	cfg, _ := config.Parse(config.Texts{Values: facts.Values}, config.Labels{})
	if cfg == nil {
		return nil // not what was asked; the patch still says what is wrong with it
	}
	list := cfg.Values.Global.Proxy.IncludeIPRanges
	if len(list.Names()) > 0 {
		return nil
	}
	var out []string
	for _, w := range facts.LeftOut(list) {
		out = append(out, fmt.Sprintf("includeIPRanges %q of the given ConfigMap %s", list, w))
	}
	return out
}

// maxDocument is more than Read takes, so that Read refuses what is cut off here.
const maxDocument = 64<<20 + 1

func readDocuments(flag string, files []string, in io.Reader) ([]ranges.Document, error) {
	var documents []ranges.Document
	var failed []error
	for _, file := range files {
		r, name, err := openInput(flag, file, in)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		data, err := io.ReadAll(io.LimitReader(r, maxDocument))
		_ = r.Close() // it was only read
		if err != nil {
			failed = append(failed, fmt.Errorf("read %s: %w", name, cause(err)))
			continue
		}
		documents = append(documents, ranges.Document{Name: name, Text: string(data)})
	}
	return documents, errors.Join(failed...)
}

// printRanges prints the result in the format, and what is wrong with it on
// standard error unless the format has it.
func printRanges(format string, result *ranges.Result, values string, stdio stdio) error {
	out := ""
	value, ok := result.IncludeIPRanges()
	switch {
	case format == "json":
		out = string(result.JSON())
	case format == "table":
		out = result.Table()
	case !ok: // said below
	case format == "helm":
		out = ranges.Helm(value)
	case format == "annotation":
		out = ranges.Annotation(value)
	default:
		var err error
		if out, err = ranges.ConfigMapPatch(values, value); err != nil {
			return err
		}
		if values == "" {
			fmt.Fprintln(stdio.err, "warning: the patch replaces all values of the injector; give its ConfigMap with -f as well to keep the others")
		}
	}
	if _, err := io.WriteString(stdio.out, out); err != nil {
		return fmt.Errorf("write the result: %w", cause(err))
	}
	if format != "json" {
		for _, w := range result.Warnings {
			fmt.Fprintf(stdio.err, "warning: %s\n", w)
		}
	}
	if result.Known() {
		return nil
	}
	if format != "json" && format != "table" {
		for _, m := range result.Missing {
			fmt.Fprintf(stdio.err, "missing: %s ranges: %s\n", m.Kind, m.Why)
			if m.Command != "" {
				fmt.Fprintf(stdio.err, "  give the output of: %s\n", m.Command)
			}
		}
	}
	return errIncomplete
}
