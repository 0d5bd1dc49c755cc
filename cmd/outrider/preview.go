package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/explain"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/revision"
	"github.com/outrider-mesh/outrider/ranges"
	"github.com/outrider-mesh/outrider/status"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

const previewLong = `Preview an edit of the ConfigMaps istio-sidecar-injector and istio, before it is made:
which workloads change, in what, which Services newly bypass their sidecars, and
which pods would be denied. Workloads are those with running pods, or those in the
files of -f. Nothing is changed.

-f reads ConfigMaps, of which those that are absent stay as they are, and workloads.
--set changes one key: of the injection values, or with the prefix meshConfig. of the
mesh configuration.

After the edit, "outrider status" reports the workloads that the preview reports.

Exit code: 0 nothing changes, 1 something changes, 2 error or invalid usage.`

const previewExample = `  # What does this edit change?
  outrider preview -A -f configmap.yaml

  # What if only these ranges are captured?
  outrider preview -A --set global.proxy.includeIPRanges=10.0.0.0/8

  # The workloads of files, in CI
  outrider preview --base configmap.yaml -f edited.yaml -f manifests.yaml`

// previewOptions are the flags of preview.
type previewOptions struct {
	statusOptions
	files, base, set []string
}

func previewCommand(stdio stdio) *cobra.Command {
	var o previewOptions
	cmd := &cobra.Command{
		Use:     "preview (-f FILE | --set KEY=VALUE) [-A | -n NAMESPACE]",
		Short:   "Show what an edit of the settings changes, before it is made",
		Long:    previewLong,
		Example: previewExample,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			releaseInitMemory()
			err := interruptible(cmd.Context(), func(ctx context.Context) error { return runPreview(ctx, o, stdio) })
			if err == nil || errors.Is(err, errDiffers) {
				return err
			}
			return &codedError{err, exitUsage}
		},
	}
	f := cmd.Flags()
	o.addFlags(f)
	f.StringArrayVarP(&o.files, "filename", "f", nil, "file with the edited ConfigMaps, or with workloads and their namespaces; - is stdin; may be repeated")
	f.StringArrayVar(&o.base, "base", nil, "file with the ConfigMaps before the edit (default: the active ones of the cluster; for workloads of files without --context, the built-in configuration)")
	f.StringArrayVar(&o.set, "set", nil, "KEY=VALUE of the injection values, such as global.proxy.includeIPRanges=10.0.0.0/8, or of meshConfig.; may be repeated")
	return cmd
}

func (o *previewOptions) check() error {
	if len(o.files)+len(o.set) == 0 {
		return usagef("no edit: specify -f FILE or --set KEY=VALUE")
	}
	for _, text := range o.set {
		if _, err := parseAssignment(text); err != nil {
			return &usageError{err}
		}
	}
	return o.statusOptions.check()
}

// codedError is an error with the exit code of its command.
type codedError struct {
	error
	code int
}

// errDiffers ends a preview that has found a change.
var errDiffers = errors.New("the edit changes something")

func runPreview(ctx context.Context, o previewOptions, stdio stdio) error {
	r := revision.Revision(o.revisionName)
	at := config.LocationOf(o.istioNamespace, r)
	edited, err := readPreviewFiles(o.files, at, stdio)
	if err != nil {
		return err
	}
	if len(edited.maps)+len(o.set) == 0 {
		return fmt.Errorf("%s: no ConfigMap %s or %s, which is the edit; add one, or use --set", o.files[0], at.Injector, at.Mesh)
	}
	base, err := readPreviewFiles(o.base, at, stdio)
	if err != nil {
		return err
	}
	e := edits{base: base.maps, edited: edited.maps, set: o.set, at: at}
	p, err := o.preview(ctx, e, edited, stdio)
	if err != nil {
		return err
	}
	text := p.Text(o.style(stdio.out))
	if o.machine() {
		out, err := encode(o.format, p)
		if err != nil {
			return err
		}
		text = string(out)
	}
	if _, err := io.WriteString(stdio.out, text); err != nil {
		return fmt.Errorf("write the preview: %w", cause(err))
	}
	if p.Changes {
		return errDiffers
	}
	return nil
}

// preview compares the workloads of the files, or those of the cluster.
func (o *previewOptions) preview(ctx context.Context, e edits, files *previewFiles, stdio stdio) (status.Preview, error) {
	offline := len(files.workloads) > 0 && !o.access.Selected()
	c := &comparison{options: &o.statusOptions, progress: newProgress(stdio.err)}
	defer c.progress.stop()
	var err error
	if offline {
		err = c.offline(e, files)
	} else if c, err = o.prepare(ctx, &e, c.progress); err == nil {
		err = c.services(ctx)
	}
	if err != nil {
		return status.Preview{}, err
	}
	collector := status.NewCollector(c.input, time.Now())
	if len(files.workloads) > 0 {
		for _, w := range files.workloads {
			if w.Object.Namespace == "" {
				w.Object.Namespace = "default"
			}
			collector.AddTemplate(w)
		}
		return collector.Preview(), nil
	}
	if err := c.pods(ctx, collector); err != nil {
		return status.Preview{}, err
	}
	return collector.Preview(), nil
}

// services reads those whose connections may bypass the sidecars.
func (c *comparison) services(ctx context.Context) error {
	var err error
	c.progress.at("reading Services", 0)
	c.input.Services, err = c.reader.Services(ctx)
	return c.missing(err, "Services whose connections bypass sidecars are not found")
}

// offline prepares a comparison without a cluster.
func (c *comparison) offline(e edits, files *previewFiles) error {
	o := c.options
	r := revision.Revision(o.revisionName)
	c.input = status.Input{
		Revision: r, Namespaces: files.namespaces,
		Registered: explain.Registered{Service: o.istioNamespace + "/" + r.Name("outrider"), Name: r.Name("outrider-sidecar-injector")},
	}
	c.input.Registered.Configurations = append(c.input.Registered.Configurations, *registration.Options{
		Revision: r, Namespace: o.istioNamespace, Service: r.Name("outrider"),
	}.Mutating())
	c.env = inject.Environment{Revision: revision.Revision(r.String()), Namespace: o.istioNamespace, Ranges: ranges.NoCluster("no cluster is read; pass --context")}
	c.labels = e.at.Labels()
	c.chosen.Texts, c.labels = e.replace(e.base, config.Texts{}, c.labels)
	return c.compile(&e)
}
