package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/internal/revision"
	"github.com/outrider-mesh/outrider/manifest"
	"github.com/outrider-mesh/outrider/ranges"
	"github.com/outrider-mesh/outrider/validate"
)

const validateLong = `Validate the manifests of ServiceEntries, VirtualServices and Sidecars, of the ConfigMaps
istio-sidecar-injector and istio, and of pods and workloads, without a cluster: each
alone and against the others, by the functions and in the words of the admission
webhooks, with file, line and column. All other objects are skipped and counted.

Workloads are validated as if they were injected, with the ConfigMaps in the files, or
else those of the flags, or else the built-in configuration. What refers to a host, a
namespace or a range that is in none of the files is reported as a note.

-o json prints an object of docs/validate.schema.json; -o sarif a SARIF 2.1.0 log, which
code hosts show on pull requests.

Exit code: 0 no finding of the failure threshold; 1 one or more, or a file that cannot
be read; 2 invalid usage.`

const validateExample = `  # All manifests of a directory
  outrider validate -f manifests/ -R

  # What Helm or kustomize renders
  helm template CHART | outrider validate -f -
  kustomize build . | outrider validate -f -

  # In CI: warnings fail, too, and a code host shows the findings
  outrider validate -f manifests/ -R --failure-threshold warning -o sarif > outrider.sarif

  # With ranges of the cluster, to which the ConfigMap refers by name
  outrider validate -f manifests/ --ranges-from nodes.json`

// validateOptions are the flags of validate.
type validateOptions struct {
	injectOptions
	format, threshold string
}

func validateCommand(stdio stdio) *cobra.Command {
	var o validateOptions
	cmd := &cobra.Command{
		Use:     "validate -f FILE [FILE...]",
		Short:   "Validate manifests as the admission webhooks do",
		Long:    validateLong,
		Example: validateExample,
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.files = append(o.files, args...)
			if err := o.check(); err != nil {
				return err
			}
			return interruptible(cmd.Context(), func(ctx context.Context) error { return runValidate(ctx, o, stdio) })
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.files, "filename", "f", nil, "YAML or JSON manifest, or directory of manifests (*.yaml, *.yml, *.json); - is stdin; may be repeated")
	f.BoolVarP(&o.recursive, "recursive", "R", false, "read directories recursively")
	f.StringVarP(&o.namespace, "namespace", "n", "", "namespace of objects without metadata.namespace (default: default; for the two ConfigMaps, --istioNamespace)")
	addOutput(f, &o.format, validateFormats...)
	f.StringVar(&o.threshold, "failure-threshold", validate.SeverityError, "least severity of a finding for which the exit code is 1: error, warning, note")
	setValues(f, "failure-threshold", validate.Severities()...)
	f.StringVarP(&o.cluster.namespace, "istioNamespace", "i", "istio-system", "namespace of the two ConfigMaps")
	f.StringVarP(&o.revision, "revision", "r", "", "control-plane revision")
	f.StringVar(&o.config, "injectConfigFile", "", "injection configuration where the files have none: the value of key config of ConfigMap istio-sidecar-injector")
	f.StringVar(&o.values, "valuesFile", "", "injection values where the files have none: the value of key values of ConfigMap istio-sidecar-injector")
	f.StringVar(&o.mesh, "meshConfigFile", "", "mesh configuration where the files have none: the value of key mesh of ConfigMap istio")
	f.StringVar(&o.kubeVersion, "kubernetes-version", "", "target Kubernetes version, such as 1.37 (default: one with native sidecars)")
	f.StringArrayVar(&o.rangesFrom, "ranges-from", nil, "file to determine the cluster's CIDR ranges from, for the names cluster and kube-apiserver in range lists (same input as \"outrider ranges -f\"); - is stdin; may be repeated")
	return cmd
}

// asSARIF is the format that code hosts show on pull requests.
const asSARIF = "sarif"

// validateFormats are the values of -o.
var validateFormats = []string{asText, asJSON, asYAML, asSARIF}

// check rejects invalid usage.
func (o *validateOptions) check() error {
	o.threshold = strings.ToLower(o.threshold)
	standard := 0
	for _, file := range slices.Concat(o.files, o.rangesFrom) {
		if file == "-" {
			standard++
		}
	}
	switch {
	case len(o.files) == 0:
		return usagef("no input: specify -f FILE (or -f - for stdin)")
	case standard > 1:
		return usagef("\"-\" (stdin) may be used only once")
	case !slices.Contains(validate.Severities(), o.threshold):
		return usagef("--failure-threshold: %q: unknown severity; use %s", o.threshold, strings.Join(validate.Severities(), ", "))
	}
	if bad := validation.IsDNS1123Label(o.revision); o.revision != "" && len(bad) > 0 {
		return usagef("--revision: %s: invalid name: %s", problem.Quote(o.revision), bad[0])
	}
	return checkOutput(o.format, validateFormats...)
}

// options reads what the objects are validated with.
func (o *validateOptions) options(stdio stdio) (validate.Options, error) {
	out := validate.Options{
		Namespace: o.namespace, Command: "validate",
		Location:    config.LocationOf(o.cluster.namespace, revision.Revision(o.revision)),
		Environment: inject.Environment{Revision: revision.Revision(o.revision), Namespace: o.cluster.namespace},
	}
	if o.kubeVersion != "" {
		v, err := inject.ParseVersion(o.kubeVersion)
		if err != nil {
			return out, &usageError{fmt.Errorf("--kubernetes-version: %w", err)}
		}
		out.Environment.Kubernetes = v
	}
	if err := o.readTexts(&out.Texts, &out.Labels, stdio.err); err != nil || len(o.rangesFrom) == 0 {
		return out, err
	}
	documents, err := readDocuments("--ranges-from", o.rangesFrom, stdio.in)
	if err != nil {
		return out, err
	}
	data, err := ranges.Read(documents)
	if err != nil {
		return out, fmt.Errorf("--ranges-from: invalid documents:\n%w", err)
	}
	out.Ranges = func(c *config.Config) *ranges.NamedRanges { return inject.RangeNames(c, data, false) }
	return out, nil
}

// errFindings is the error where the report has what is wrong.
var errFindings = errors.New("there are findings")

// runValidate validates the files, and prints the report.
func runValidate(ctx context.Context, o validateOptions, stdio stdio) error {
	options, err := o.options(stdio)
	if err != nil {
		return err
	}
	all := validate.New(options)
	configuration, notes := all.Configuration()
	for _, p := range configuration.Warnings() {
		fmt.Fprintf(stdio.err, "warning: %s\n", p)
	}
	for _, p := range notes {
		fmt.Fprintf(stdio.err, "note: %s\n", p)
	}
	if errs := configuration.Errors(); len(errs) > 0 {
		return fmt.Errorf("invalid configuration:\n%s", strings.Join(errs.Strings(), "\n"))
	}
	files, err := inputs("validate", o.files, o.recursive)
	if err != nil {
		return err
	}
	for _, file := range files {
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		name := nameOf(file)
		all.File(name)
		if _, err := readManifest(file, stdio.in, func(name string, d manifest.Document) { all.Add(validate.Document{File: name, Document: d}) }); err != nil {
			all.Unreadable(name, err)
		}
	}
	report := all.Report()
	text, err := o.encode(report)
	if err != nil {
		return err
	}
	if _, err := stdio.out.Write(text); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if report.Reaches(o.threshold) {
		return errFindings
	}
	return nil
}

// encode is the report in the format.
func (o *validateOptions) encode(report *validate.Report) ([]byte, error) {
	switch o.format {
	case asText:
		return []byte(report.Text()), nil
	case asSARIF:
		return encode(asJSON, report.SARIF(version))
	default:
		return encode(o.format, report)
	}
}
