package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// version is set when a release is built.
var version = "dev"

func versionCommand(stdio stdio) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(stdio.out, "outrider %s\n", version)
			return err
		},
	}
}
