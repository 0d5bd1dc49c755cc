package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/manifest"
)

const uninjectLong = `Take the sidecar out of manifests again, by the record that every injection
leaves in annotation sidecar.istio.io/status. It needs no cluster and no
configuration.

Block-style files that kube-inject made from files that were not injected come
out as they were, byte for byte; others come out equal in meaning. Documents
that are not injected come out byte for byte. On any error nothing is written.`

const uninjectExample = `  # What the file was before
  outrider uninject -f injected.yaml

  # Take the injection of all manifests of a directory back
  outrider uninject -f manifests/ --in-place`

func uninjectCommand(stdio stdio) *cobra.Command {
	var o manifestOptions
	cmd := &cobra.Command{
		Use:     "uninject -f FILE",
		Short:   "Take the sidecar out of manifests",
		Long:    uninjectLong,
		Example: uninjectExample,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			paths, err := o.paths()
			if err != nil {
				return err
			}
			frugal()
			return interruptible(cmd.Context(), func(ctx context.Context) error {
				w := &work{
					manifestOptions: o, stdio: stdio, injector: inject.Uninjector{}, paths: paths, tell: tellTaken,
					nothing: "nothing to take back: no document holds a pod or a pod template of a known kind",
				}
				return w.run(ctx)
			})
		},
	}
	o.addFlags(cmd.Flags())
	return cmd
}

// tellTaken says why an object is left alone, and its warnings.
func tellTaken(w io.Writer, file string, object manifest.Object) {
	at := fmt.Sprintf("%s: document %d (%s)", file, object.Document, object)
	if !object.Decision.Inject {
		fmt.Fprintf(w, "%s: left alone: %s\n", at, object.Decision.Sentence)
	}
	for _, warning := range object.Warnings {
		fmt.Fprintf(w, "%s: warning: %s\n", at, warning)
	}
}
