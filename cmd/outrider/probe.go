package main

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/outrider-mesh/outrider/check"
	"github.com/outrider-mesh/outrider/check/probe"
)

// probeCommand is what the pods of "check --traffic" run.
func probeCommand(stdio stdio) *cobra.Command {
	cmd := &cobra.Command{Use: "probe", Short: "Run a part of outrider check --traffic in a pod", Hidden: true, Args: cobra.NoArgs}
	server := probe.ServerOptions{Out: stdio.out}
	serve := &cobra.Command{
		Use: "server", Short: "Respond with what has arrived", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return probe.Serve(cmd.Context(), server) },
	}
	serve.Flags().StringVar(&server.HTTP, "http", ":80", "address for HTTP")
	serve.Flags().StringVar(&server.TLS, "tls", ":443", "address for TLS")
	serve.Flags().StringVar(&server.Token, "token", "", "text of each response")

	client := probe.ClientOptions{Out: stdio.out}
	connect := &cobra.Command{
		Use: "client PROBES", Short: "Make connections, and print what is seen of them", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var probes []check.Probe
			if err := json.Unmarshal([]byte(args[0]), &probes); err != nil {
				return usagef("%q: not a list of connections: %w", args[0], err)
			}
			client.Probes = probes
			return probe.Connect(cmd.Context(), client)
		},
	}
	connect.Flags().StringVar(&client.Kernel, "kernel", "", "socket of the container that reads the kernel's counters")
	connect.Flags().StringVar(&client.Admin, "admin", fmt.Sprintf("127.0.0.1:%d", 15000), "address of the sidecar's administration interface")

	kernel := &cobra.Command{
		Use: "kernel", Short: "Serve the kernel's counters to the pod", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return probe.ReadKernel(cmd.Context()) },
	}
	for _, c := range []*cobra.Command{serve, connect, kernel} {
		cmd.AddCommand(c)
	}
	return cmd
}
