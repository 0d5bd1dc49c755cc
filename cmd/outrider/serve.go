package main

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/outrider-mesh/outrider/serve"
	"github.com/outrider-mesh/outrider/webhook"
)

// serveCommand is the Deployment's command: the webhook, and what configures the
// sidecars.
func serveCommand(stdio stdio) *cobra.Command {
	var kubeconfig, logLevel string
	var admits bool
	o := serve.Options{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the webhook that injects pods, and configure their sidecars",
		Long: `Run the webhook: it answers the API server's admission reviews by the
configuration in the ConfigMaps istio-sidecar-injector and istio, and takes up
their changes while it runs. Where a ConfigMap is missing the built-in defaults
hold in its place; while one is wrong, the last configuration that was right.

The sidecars get their configuration from the same program: what the key "mesh"
says, the cluster's own addresses, ServiceEntries and VirtualServices. A sidecar
shows its pod's token, and gets what its namespace may see.

Without --cert-dir it issues its own serving certificate, renews it in time,
and writes the authority behind it where clients look: into the webhook
configurations, of which it changes nothing else, and into ConfigMap
outrider-ca of every namespace whose pods are injected.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := serveLog(stdio.err, logLevel)
			if err != nil {
				return err
			}
			ctrllog.SetLogger(log)
			klog.SetLogger(log)
			o.Log = log
			if o.Cluster, err = clusterConfig(kubeconfig); err != nil {
				return err
			}
			return serve.Run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&kubeconfig, "kubeconfig", "", "file that says how to reach the API server; empty: as the pod's service account")
	f.StringVar(&o.Namespace, "namespace", "istio-system", "namespace of the ConfigMaps")
	f.StringVar(&o.Revision, "revision", "", "revision; other than empty or default, it is added to the ConfigMaps' names: istio-sidecar-injector-REVISION, istio-REVISION")
	f.StringVar(&o.CertDir, "cert-dir", "", "directory with a serving certificate that somebody else keeps, tls.crt and tls.key; empty: Outrider issues its own and keeps it in Secret outrider-certs")
	f.StringVar(&o.CAFile, "ca-file", "", "with --cert-dir: authorities, PEM, to write into caBundle of the webhook configurations and into ConfigMaps outrider-ca; empty: neither is touched")
	f.StringSliceVar(&o.CertHosts, "cert-host", nil, "name or address the issued certificate is for, beside the Service's names; may be repeated")
	f.StringVar(&o.Service, "service", "", "name of the Service in front of the webhook; empty: outrider, or outrider-REVISION")
	f.StringVar(&o.Address, "port", ":9443", "where the webhook listens: PORT, :PORT or HOST:PORT")
	f.BoolVar(&admits, "webhook", true, "serve the webhook; =false leaves it to another Deployment, and this one configures sidecars alone")
	f.StringVar(&o.XDSAddress, "xds-address", ":15012", "where sidecars get their configuration, gRPC over TLS; 0 turns that off")
	f.StringVar(&o.MetricsAddress, "metrics-address", ":15014", "where metrics are served, path /metrics, plain HTTP; 0 turns them off")
	f.StringVar(&o.HealthAddress, "health-address", ":8080", "where /healthz and /readyz are served, plain HTTP; 0 turns them off")
	f.DurationVar(&o.ShutdownDelay, "shutdown-delay", 5*time.Second, "how long requests are still taken after SIGTERM, until every node knows that this replica is leaving")
	f.IntVar(&o.MaxConcurrent, "max-concurrent", webhook.DefaultMaxConcurrent, "requests worked on at once; a review of more than 256 KiB counts as several")
	f.StringVar(&logLevel, "log-level", "info", "debug, info, warn or error")
	cmd.PreRunE = func(*cobra.Command, []string) error {
		if o.MaxConcurrent < 1 {
			return usagef("--max-concurrent %d: must be at least 1", o.MaxConcurrent)
		}
		if o.ShutdownDelay < 0 {
			return usagef("--shutdown-delay %s: must not be negative", o.ShutdownDelay)
		}
		if o.CAFile != "" && o.CertDir == "" {
			return usagef("--ca-file %s: goes with --cert-dir; certificates issued by Outrider bring their own authority", o.CAFile)
		}
		if o.CertDir != "" && len(o.CertHosts) > 0 {
			return usagef("--cert-host %s: goes without --cert-dir; a certificate from a directory names its own hosts", o.CertHosts[0])
		}
		if !admits && (o.XDSAddress == "" || o.XDSAddress == "0") {
			return usagef("--webhook=false and --xds-address %s: nothing is left to serve; leave one of them out", o.XDSAddress)
		}
		o.Address, o.NoWebhook = address(o.Address), !admits
		return nil
	}
	return cmd
}

// address lets a bare port stand for the port on all addresses.
func address(s string) string {
	for _, c := range s {
		if c < '0' || c > '9' {
			return s
		}
	}
	return ":" + s
}

// serveLog writes one JSON object a line.
func serveLog(w io.Writer, level string) (logr.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return logr.Logger{}, usagef("--log-level %q: not a level; use debug, info, warn or error", level)
	}
	return logr.FromSlogHandler(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: l})), nil
}

func clusterConfig(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		c, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("reach the API server as the pod's service account: %w; outside a cluster give --kubeconfig FILE", err)
		}
		return c, nil
	}
	c, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig %s: %w", kubeconfig, err)
	}
	return c, nil
}
