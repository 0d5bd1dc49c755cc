package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/internal/kubeconfig"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/ranges"
)

const rangesLong = `Find the address ranges of a cluster's Services and pods, for includeIPRanges:
with them, traffic to anything outside the cluster bypasses the sidecar.

Without -f they are read from the current cluster, as kubectl selects it. With
-f they are read from documents: what the provider's command line prints about
the cluster, Kubernetes objects, installation files, flags. With -f and --live
both are used, and the documents are checked against the cluster's addresses in
use.

Each range is shown with its source and confidence. An undetermined range is
reported with the command that would provide it; no value for includeIPRanges is
printed then, because traffic to the missing range would bypass the sidecar.

--platform NAME without documents prints the platform's defaults, which are not
verified. With documents it identifies the platform and allows its defaults to
fill gaps.

Exit code: 0 both ranges are complete, 3 a range is undetermined or incomplete,
1 invalid input, 2 invalid usage.`

const rangesExample = `  # The current cluster
  outrider ranges

  # From the output of a provider's command line
  gcloud container clusters describe CLUSTER --location LOCATION --format json | outrider ranges -f -
  az aks show -g GROUP -n CLUSTER -o json | outrider ranges -f - -o helm

  # Pods of EKS use addresses from the VPC
  aws eks describe-cluster --name CLUSTER > cluster.json
  aws ec2 describe-vpcs --vpc-ids VPC > vpc.json
  outrider ranges -f cluster.json -f vpc.json

  # The same, with everything else from the cluster itself
  outrider ranges --live -f vpc.json

  # From a cluster's own objects
  kubectl cluster-info dump | outrider ranges -f -

  # A patch that keeps the other values
  kubectl -n istio-system get configmap istio-sidecar-injector -o yaml > injector.yaml
  outrider ranges -f cluster.json -f vpc.json -f injector.yaml -o configmap-patch`

// exitIncomplete is the exit code when a range is missing or incomplete.
const exitIncomplete = 3

// errIncomplete ends a command that has reported what is missing.
var errIncomplete = errors.New("a range is missing")

// rangesFormats are the values of -o.
var rangesFormats = []string{"table", asJSON, asYAML, "helm", "configmap-patch", "annotation"}

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
	f.StringArrayVarP(&o.files, "filename", "f", nil, "document to read; - is stdin; may be repeated")
	f.StringVar(&o.platform, "platform", "", "platform whose defaults may be used: "+strings.Join(ranges.Platforms(), ", "))
	f.BoolVar(&o.live, "live", false, "also read the live cluster (default when neither -f nor --platform is set)")
	addAccess(f, &o.Access)
	addOutput(f, &o.format, rangesFormats...)
	setValues(f, "platform", ranges.Platforms()...)
	return cmd
}

// check rejects invalid usage and replaces an alias of a platform with its name.
func (o *rangesOptions) check() error {
	if err := checkOutput(o.format, rangesFormats...); err != nil {
		return err
	}
	if o.platform != "" {
		name, ok := ranges.Canonical(o.platform)
		if !ok {
			return usagef("--platform: %q: unknown platform; use one of %s", o.platform, strings.Join(ranges.Platforms(), ", "))
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
		return usagef(`-f: "-" (stdin) may be used only once`)
	}
	return nil
}

// runRanges prints the ranges by documents, the cluster, or the table of defaults.
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
	var data *ranges.ClusterData
	var forbidden []string
	if live {
		p := newProgress(stdio.err)
		p.at("reading the cluster", 0)
		data, forbidden, err = readCluster(ctx, o.Access, true, documents)
		p.stop()
	} else {
		data, err = ranges.Read(documents)
	}
	var problems problem.List
	switch {
	case errors.As(err, &problems):
		return fmt.Errorf("invalid documents:\n%w", err)
	case err != nil:
		return err
	}
	result := data.Resolve(ranges.Options{Platform: o.platform, Live: live})
	result.Warnings = append(result.Warnings, checkInclude(data)...)
	if len(forbidden) > 0 && !result.Known() {
		result.Warnings = append(result.Warnings, "not read (forbidden): "+strings.Join(forbidden, ", "))
	}
	return printRanges(o.format, &result, data.Values, stdio)
}

// checkInclude checks the include list of an injector's ConfigMap that is among
// the documents.
func checkInclude(data *ranges.ClusterData) []string {
	if data.Values == "" {
		return nil
	}
	cfg, _ := config.Parse(config.Texts{Values: data.Values}, config.Labels{})
	if cfg == nil {
		return nil // the patch still reports what is wrong with it
	}
	list := cfg.Values.Global.Proxy.IncludeIPRanges
	if len(list.Names()) > 0 {
		return nil
	}
	var out []string
	if have, missing, ok := list.MissingFamily(); ok && data.Uses(ranges.Family(missing)) {
		out = append(out, fmt.Sprintf("includeIPRanges %q of the ConfigMap has %s ranges only, although the cluster uses %s: all %s traffic bypasses the sidecar", list, have, missing, missing))
	}
	if w := data.Omitted(list); w != "" {
		out = append(out, fmt.Sprintf("includeIPRanges %q of the ConfigMap %s", list, w))
	}
	return out
}

// maxDocument exceeds the limit of Read, so that Read rejects what is truncated
// here.
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
	case format == asJSON || format == asYAML:
		text, err := encode(format, result.Report())
		if err != nil {
			return err
		}
		out = string(text)
	case format == "table":
		out = result.Table()
	case !ok: // reported below
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
			fmt.Fprintln(stdio.err, `warning: the patch replaces the whole "values" key; pass the current ConfigMap with -f to preserve other values`)
		}
	}
	if _, err := io.WriteString(stdio.out, out); err != nil {
		return fmt.Errorf("write the result: %w", cause(err))
	}
	if format != asJSON && format != asYAML {
		for _, w := range result.Warnings {
			fmt.Fprintf(stdio.err, "warning: %s\n", w)
		}
	}
	if result.Known() {
		return nil
	}
	if format != asJSON && format != asYAML && format != "table" {
		for _, m := range result.Missing {
			fmt.Fprintf(stdio.err, "missing: %s ranges: %s\n", m.Kind, m.Why)
			if m.Command != "" {
				fmt.Fprintf(stdio.err, "  provide the output of: %s\n", m.Command)
			}
		}
	}
	return errIncomplete
}
