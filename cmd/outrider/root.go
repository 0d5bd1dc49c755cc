package main

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

const rootLong = `Outrider injects sidecars that control the outbound traffic of pods. It reads
Istio's annotations and ConfigMaps.`

// rootCommand is the program, under the name it was called by.
func rootCommand(name string, stdio stdio) *cobra.Command {
	root := &cobra.Command{
		Use:                        "outrider",
		Short:                      "Inject sidecars that control outbound traffic",
		Long:                       rootLong,
		SuggestionsMinimumDistance: 2,
		SilenceErrors:              true,
		SilenceUsage:               true,
		RunE:                       func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	if base := strings.TrimSuffix(filepath.Base(name), ".exe"); strings.HasPrefix(base, "kubectl-") {
		root.Annotations = map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl outrider"}
	}
	root.SetIn(stdio.in)
	root.SetOut(stdio.out)
	root.SetErr(stdio.err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.AddCommand(checkCommand(stdio), configCommand(stdio), egressCommand(stdio), explainCommand(stdio), kubeInjectCommand(stdio), previewCommand(stdio), probeCommand(stdio), rangesCommand(stdio), serveCommand(stdio),
		statusCommand(stdio), uninjectCommand(stdio), uninstallCommand(stdio), validateCommand(stdio), verifyInstallCommand(stdio), versionCommand(stdio))
	for _, cmd := range root.Commands() {
		cmd.Args = asUsage(cmd.Args)
	}
	root.AddCommand(optionsCommand(root))
	root.Args = knownCommand
	addCompletion(root)
	addHelp(root)
	return root
}

// knownCommand rejects unknown commands and suggests a similar one.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return usagef("unknown command %q; did you mean %s?", args[0], strings.Join(near, " or "))
	}
	return usagef("unknown command %q", args[0])
}

// asUsage turns an error of the check into a usage error.
func asUsage(check cobra.PositionalArgs) cobra.PositionalArgs {
	if check == nil {
		check = cobra.NoArgs
	}
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return &usageError{err}
		}
		return nil
	}
}
