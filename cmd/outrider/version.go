package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// outputVersion is the apiVersion of outputs.
const outputVersion = "outrider.dev/v1"

// versionReport is the output for programs.
type versionReport struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"` // Version
	Version    string `json:"version"`
	GoVersion  string `json:"goVersion"`
	Platform   string `json:"platform"`
}

// version is set when a release is built.
var version = "dev"

func versionCommand(stdio stdio) *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Example: `  outrider version
  outrider version -o json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if err := checkOutput(format, asText, asJSON, asYAML); err != nil {
				return err
			}
			text := []byte(fmt.Sprintf("outrider %s\n", version))
			if format != asText {
				var err error
				out := versionReport{outputVersion, "Version", version, runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
				if text, err = encode(format, out); err != nil {
					return err
				}
			}
			_, err := stdio.out.Write(text)
			return err
		},
	}
	addOutput(cmd.Flags(), &format, asText, asJSON, asYAML)
	return cmd
}
