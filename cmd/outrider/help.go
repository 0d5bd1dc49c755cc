package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/outrider-mesh/outrider/internal/kubeconfig"
)

// addHelp changes cobra's help as kubectl does: the flags of kubectl that few commands need
// are listed by one command of their own.
func addHelp(root *cobra.Command) {
	cobra.AddTemplateFunc("ownFlags", ownFlags)
	cobra.AddTemplateFunc("hasRare", func(f *pflag.FlagSet) bool { return rareFlags(f).HasFlags() })
	text := strings.Replace(root.UsageTemplate(), ".LocalFlags.FlagUsages", "(ownFlags .LocalFlags).FlagUsages", 1)
	text = strings.TrimRight(text, "\n") + `{{if hasRare .LocalFlags}}

Use "{{.Root.DisplayName}} options" for other flags of kubectl that this command has.{{end}}
`
	root.SetUsageTemplate(text)
}

// ownFlags are those that the help of a command lists.
func ownFlags(all *pflag.FlagSet) *pflag.FlagSet { return flagsWhere(all, false) }

// rareFlags are those that "outrider options" lists.
func rareFlags(all *pflag.FlagSet) *pflag.FlagSet { return flagsWhere(all, true) }

func flagsWhere(all *pflag.FlagSet, isRare bool) *pflag.FlagSet {
	var out pflag.FlagSet
	all.VisitAll(func(flag *pflag.Flag) {
		if rare(flag) == isRare {
			out.AddFlag(flag)
		}
	})
	return &out
}

// optionsCommand lists the flags of kubectl that the help of commands omits.
func optionsCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:     "options",
		Short:   "List the flags of kubectl that commands have which read a cluster",
		Example: `  outrider options`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			var a kubeconfig.Access
			var all pflag.FlagSet
			addAccess(&all, &a)
			_, err := fmt.Fprintf(root.OutOrStdout(), "All commands that read a cluster have these flags, with the meaning that they have for kubectl:\n\n%s", all.FlagUsages())
			return err
		},
	}
}
