package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/manifest"
)

const uninjectLong = `Remove the sidecar from manifests, using the record in annotation
sidecar.istio.io/status. Neither a cluster nor a configuration is needed.

Block-style files injected by kube-inject are restored byte for byte; other files
become equivalent to the original. Documents that are not injected are copied
byte for byte. On any error nothing is written.`

const uninjectExample = `  # Print the original file
  outrider uninject -f injected.yaml

  # Uninject every manifest in a directory
  outrider uninject -f manifests/ --in-place`

func uninjectCommand(stdio stdio) *cobra.Command {
	var o manifestOptions
	cmd := &cobra.Command{
		Use:     "uninject -f FILE",
		Short:   "Remove the sidecar from manifests",
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
			releaseInitMemory()
			return interruptible(cmd.Context(), func(ctx context.Context) error {
				w := &work{
					manifestOptions: o, stdio: stdio, injector: inject.Uninjector{}, paths: paths, report: reportUninjection,
					nothing: "nothing to uninject: no Pods or supported workloads found", command: "uninject", ignored: "unchanged",
				}
				return w.run(ctx)
			})
		},
	}
	o.addFlags(cmd.Flags())
	return cmd
}

// reportUninjection reports why an object is unchanged, and its warnings.
func reportUninjection(w io.Writer, file string, object manifest.Object) {
	at := fmt.Sprintf("%s: document %d (%s)", file, object.Document, object)
	if !object.Decision.Inject {
		fmt.Fprintf(w, "%s: unchanged: %s\n", at, object.Decision.Sentence)
	}
	for _, warning := range object.Warnings {
		fmt.Fprintf(w, "%s: warning: %s\n", at, warning)
	}
}
