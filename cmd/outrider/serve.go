package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrllog "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/outrider-mesh/outrider/certs"
	"github.com/outrider-mesh/outrider/egress"
	reports "github.com/outrider-mesh/outrider/egress/report/live"
	"github.com/outrider-mesh/outrider/egress/xds"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/internal/revision"
	"github.com/outrider-mesh/outrider/serve"
	"github.com/outrider-mesh/outrider/webhook"
	"github.com/outrider-mesh/outrider/workloads/count"
)

// serveCommand is the command of the Deployments: the injection webhook, the xDS
// control plane, or both.
func serveCommand(stdio stdio) *cobra.Command {
	var kubeconfig, logLevel string
	var components, tags []string
	o := serve.Options{Version: version}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the injection webhook and the xDS control plane",
		Long: `Run the webhook, which handles the API server's admission requests. Its
configuration is in the ConfigMaps istio-sidecar-injector and istio; it reloads
them on change. An invalid one is ignored and the last valid configuration stays
active, as it does if one is deleted; it is stored in ConfigMap outrider-last-good,
for restarts and new replicas. Without any of them the built-in defaults apply.

Run the sidecars' xDS control plane: it serves the mesh configuration (key
"mesh"), the cluster's own CIDR ranges, ServiceEntries and VirtualServices, and
validates these objects. Sidecars authenticate with a service-account token and
receive the configuration visible to their namespace.

--components selects one of the two, so that separate Deployments have their own
memory and CPU.

Without --cert-dir the webhook component issues the serving certificate of both,
renews it, and publishes its CA bundle: in caBundle of the webhook configurations,
of which it changes no other field, and in ConfigMap outrider-ca of every namespace
with injected pods. The xds component alone reads the certificate from the Secret.`,
		Example: `  # Both, in a pod
  outrider serve

  # As the Deployment outrider-xds does
  outrider serve --components xds`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := serveLog(stdio.err, logLevel)
			if err != nil {
				return err
			}
			ctrllog.SetLogger(log)
			klog.SetLogger(log)
			o.Log = log
			limitMemory(log)
			collectSooner(&o)
			if o.Cluster, err = clusterConfig(kubeconfig); err != nil {
				return err
			}
			return serve.Run(cmd.Context(), o)
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&components, "components", []string{string(serve.Webhook), string(serve.XDS)}, "components to run: webhook, xds or both")
	f.StringVar(&kubeconfig, "kubeconfig", "", "path to a kubeconfig; defaults to the in-cluster config")
	f.StringVar(&o.Namespace, "namespace", "istio-system", "namespace of the ConfigMaps")
	f.StringVar((*string)(&o.Revision), "revision", "", "control-plane revision; if set (and not \"default\"), ConfigMaps are named istio-sidecar-injector-REVISION and istio-REVISION")
	f.StringSliceVar(&tags, "revision-tags", nil, "revision tags that may select this revision; their MutatingWebhookConfigurations, istio-revision-tag-TAG, get its CA bundle while their label istio.io/rev names it")
	f.StringVar(&o.CertDir, "cert-dir", "", "directory with an externally managed serving certificate (tls.crt, tls.key); if empty, Outrider issues one and stores it in Secret outrider-certs, with its CA key in outrider-ca-key")
	f.StringVar(&o.CAFile, "ca-file", "", "PEM CA bundle to publish in caBundle of the webhook configurations and in the outrider-ca ConfigMaps (requires --cert-dir); if empty, neither is modified")
	f.StringSliceVar(&o.CertHosts, "cert-host", nil, "additional DNS name or IP SAN for the issued certificate; may be repeated")
	f.DurationVar(&o.Lifetimes.Settle, "ca-settle", certs.DefaultLifetimes.Settle, "time from the publication of a new CA certificate until it signs the serving certificate; kubelets bring it into running pods within 2m")
	f.DurationVar(&o.Lifetimes.Overlap, "ca-overlap", certs.DefaultLifetimes.Overlap, "time that the previous CA certificate stays trusted after the last certificate that it signed was replaced")
	f.StringVar(&o.Service, "service", "", "name of the webhook's Service; defaults to outrider, or outrider-REVISION")
	f.StringVar(&o.XDSService, "xds-service", "", "name of the control plane's Service; defaults to outrider-xds, or outrider-xds-REVISION")
	f.StringVar(&o.Address, "port", ":9443", "bind address of the admission handlers and debug endpoints: PORT, :PORT or HOST:PORT")
	f.StringVar(&o.XDSAddress, "xds-address", ":15012", "xDS (gRPC over TLS) bind address")
	xdsLimitFlags(f, &o.XDSLimits)
	objectLimitFlags(f, &o.ObjectLimits)
	f.BoolVar(&o.Reports, "egress-reports", true, "have sidecars report the undeclared hosts that workloads connect to, and keep them in EgressReports")
	f.DurationVar(&o.ReportRetention, "egress-report-retention", reports.DefaultRetention, "time that an EgressReport keeps a host that is not connected to again")
	f.DurationVar(&o.ReportInterval, "egress-report-interval", reports.DefaultInterval, "least time between two writes of an EgressReport; writes that only change counts and times are ten times as rare")
	f.BoolVar(&o.BlockedBody, "blocked-response-body", true, "give responses to blocked HTTP requests a body with the host, the namespace, the reason and what to do")
	f.DurationVar(&o.PodCountInterval, "pod-count-interval", count.DefaultInterval, "time between two counts of the cluster's pods by whether the active settings inject them, for the metric sidecar_injection_pods; 0 disables them")
	f.StringVar(&o.MetricsAddress, "metrics-address", ":15014", "metrics (/metrics) bind address, plain HTTP; 0 disables it")
	f.StringVar(&o.HealthAddress, "health-address", ":8080", "health (/healthz, /readyz) bind address, plain HTTP; 0 disables it")
	f.DurationVar(&o.ShutdownDelay, "shutdown-delay", 5*time.Second, "time to keep serving after SIGTERM while endpoints are updated")
	f.BoolVar(&o.SkipCRDs, "skip-crds", false, "do not create the CRDs of ServiceEntry and VirtualService that the cluster lacks")
	webhookLimitFlags(f, &o)
	f.StringVar(&logLevel, "log-level", "info", "log level: debug, info, warn or error")
	cmd.PreRunE = func(*cobra.Command, []string) error { return completeServe(&o, components, tags) }
	return cmd
}

// completeServe validates the flags and completes the options.
func completeServe(o *serve.Options, components, tags []string) error {
	if bad := validation.IsDNS1123Label(o.Revision.String()); len(bad) > 0 {
		return usagef("--revision: %s: invalid name: %s", problem.Quote(string(o.Revision)), bad[0])
	}
	for _, t := range tags {
		if bad := validation.IsDNS1123Label(t); len(bad) > 0 {
			return usagef("--revision-tags: %s: invalid name: %s", problem.Quote(t), bad[0])
		}
		if !o.Revision.Matches(t) { // its own name selects a revision anyway
			o.Tags = append(o.Tags, revision.Tag(t))
		}
	}
	if err := checkWebhookLimits(*o); err != nil {
		return err
	}
	if least := o.XDSLimits.Least(); least < 1 {
		return usagef("--xds-max-*: %d: must be at least 1", least)
	}
	if least := o.ObjectLimits.Least(); least < 1 {
		return usagef("--egress-max-*: %d: must be at least 1", least)
	}
	if o.ReportRetention < time.Hour {
		return usagef("--egress-report-retention %s: must be at least 1h", o.ReportRetention)
	}
	if o.ReportInterval < time.Second {
		return usagef("--egress-report-interval %s: must be at least 1s", o.ReportInterval)
	}
	if i := o.PodCountInterval; i != 0 && i < time.Minute {
		return usagef("--pod-count-interval %s: must be at least 1m, or 0 to disable the counts", i)
	}
	if o.ShutdownDelay < 0 {
		return usagef("--shutdown-delay %s: must not be negative", o.ShutdownDelay)
	}
	if min(o.Lifetimes.Settle, o.Lifetimes.Overlap) <= 0 {
		return usagef("--ca-settle %s and --ca-overlap %s: must be positive", o.Lifetimes.Settle, o.Lifetimes.Overlap)
	}
	if o.CAFile != "" && o.CertDir == "" {
		return usagef("--ca-file %s: requires --cert-dir; Outrider-issued certificates use their own CA", o.CAFile)
	}
	if o.CertDir != "" && len(o.CertHosts) > 0 {
		return usagef("--cert-host %s: cannot be used with --cert-dir", o.CertHosts[0])
	}
	if o.XDSAddress == "" || o.XDSAddress == "0" {
		return usagef("--xds-address %q: bind address is required; to run only the webhook, use --components=webhook", o.XDSAddress)
	}
	var err error
	if o.Components, err = serve.ParseComponents(components); err != nil {
		return usagef("--components: %w", err)
	}
	o.Address, o.XDSAddress = address(o.Address), address(o.XDSAddress)
	return nil
}

func xdsLimitFlags(f *pflag.FlagSet, l *xds.Limits) {
	f.IntVar(&l.MessageBytes, "xds-max-message-bytes", xds.DefaultMessageBytes, "maximum size of a sidecar's request; a reconnect takes some 150 bytes per host in use")
	f.IntVar(&l.NamesPerStream, "xds-max-names", xds.DefaultNamesPerStream, "maximum names that a sidecar subscribes to")
	f.IntVar(&l.StreamsPerPod, "xds-max-streams-per-pod", xds.DefaultStreamsPerPod, "maximum streams of a pod; the oldest is closed")
	f.IntVar(&l.StreamsPerNamespace, "xds-max-streams-per-namespace", xds.DefaultStreamsPerNamespace, "maximum streams of the pods of a namespace")
	f.IntVar(&l.NamespaceBytes, "xds-max-namespace-bytes", xds.DefaultNamespaceBytes, "maximum memory for the subscriptions of a namespace's pods")
	f.IntVar(&l.StreamsPerMinute, "xds-max-streams-per-minute", xds.DefaultStreamsPerMinute, "maximum streams that a pod opens per minute")
	f.IntVar(&l.Streams, "xds-max-streams", xds.DefaultStreams, "maximum streams of all pods; the newest of the namespace with most is closed")
	f.IntVar(&l.Bytes, "xds-max-bytes", xds.DefaultBytes, "maximum memory for the subscriptions of all pods")
	f.IntVar(&l.ConnectionsPerSource, "xds-max-connections-per-source", xds.DefaultConnectionsPerSource, "maximum connections of a source address without an accepted stream")
	f.IntVar(&l.Connections, "xds-max-connections", xds.DefaultConnections, "maximum connections without an accepted stream")
}

func objectLimitFlags(f *pflag.FlagSet, l *egress.Limits) {
	f.IntVar(&l.ObjectBytes, "egress-max-object-bytes", egress.DefaultObjectBytes, "maximum size of the spec of a ServiceEntry or VirtualService")
	f.IntVar(&l.ObjectHosts, "egress-max-object-hosts", egress.DefaultObjectHosts, "maximum hosts of a ServiceEntry or VirtualService")
	f.IntVar(&l.ObjectPorts, "egress-max-object-ports", egress.DefaultObjectPorts, "maximum ports of a ServiceEntry; each takes some 62 KiB of all sidecars")
	f.IntVar(&l.NamespaceObjects, "egress-max-namespace-objects", egress.DefaultNamespaceObjects, "maximum ServiceEntries and VirtualServices of a namespace; the youngest over it are ignored")
	f.IntVar(&l.NamespaceBytes, "egress-max-namespace-bytes", egress.DefaultNamespaceBytes, "maximum size of their specs")
	f.IntVar(&l.NamespaceHosts, "egress-max-namespace-hosts", egress.DefaultNamespaceHosts, "maximum hosts of a namespace's ServiceEntries, once for each port")
	f.IntVar(&l.NamespacePorts, "egress-max-namespace-ports", egress.DefaultNamespacePorts, "maximum different ports of a namespace's ServiceEntries")
	f.IntVar(&l.NamespaceSidecars, "egress-max-namespace-sidecars", egress.DefaultNamespaceSidecars, "maximum Sidecars of a namespace")
	f.IntVar(&l.NamespaceAddresses, "egress-max-namespace-addresses", egress.DefaultNamespaceAddresses, "maximum endpoints of a namespace's headless Services that sidecars reach without a ServiceEntry")
	f.IntVar(&l.ViewPorts, "egress-max-ports", egress.DefaultViewPorts, "maximum ports that a sidecar has listeners for; beyond its own namespace's, each other namespace has an equal share")
}

// minReviewMemory is enough for a review of 1 MiB at once.
const minReviewMemory = 16 << 20

func webhookLimitFlags(f *pflag.FlagSet, o *serve.Options) {
	l := &o.WebhookLimits
	f.IntVar(&l.MaxConcurrent, "max-concurrent", webhook.DefaultMaxConcurrent, "maximum concurrent admission requests")
	f.IntVar(&l.Connections, "max-connections", webhook.DefaultMaxConnections, "maximum connections to the webhook; one needs up to 80 KiB")
	f.IntVar(&l.ConnectionsPerSource, "max-connections-per-source", webhook.DefaultMaxConnectionsPerSource, "maximum connections to the webhook from an address")
	f.IntVar(&l.ConnectionRate, "max-connection-rate", webhook.DefaultMaxConnectionRate, "maximum new connections to the webhook per second from an address, after --max-connections-per-source at once")
	f.Int64Var(&l.ReviewMemory, "max-review-memory-bytes", webhook.DefaultMaxReviewMemory, "maximum memory for large admission reviews; one takes at most half of it")
	f.IntVar(&l.Containers, "max-containers", webhook.DefaultMaxContainers, "maximum containers of a pod")
	f.StringVar(&o.ClientCAFile, "client-ca-file", "", "PEM CA bundle of the API server's client certificate; if set, the webhook answers only clients with a certificate of it")
	f.StringSliceVar(&o.ClientNames, "client-name", nil, "common name or DNS name of the API server's client certificate (requires --client-ca-file); may be repeated; if empty, any name is accepted")
}

func checkWebhookLimits(o serve.Options) error {
	l := o.WebhookLimits
	if l.MaxConcurrent < 1 {
		return usagef("--max-concurrent %d: must be at least 1", l.MaxConcurrent)
	}
	if min(l.Connections, l.ConnectionsPerSource, l.ConnectionRate, l.Containers) < 1 {
		return usagef("--max-connections %d, --max-connections-per-source %d, --max-connection-rate %d and --max-containers %d: must be at least 1",
			l.Connections, l.ConnectionsPerSource, l.ConnectionRate, l.Containers)
	}
	if l.ReviewMemory < minReviewMemory {
		return usagef("--max-review-memory-bytes %d: must be at least %d", l.ReviewMemory, minReviewMemory)
	}
	if len(o.ClientNames) > 0 && o.ClientCAFile == "" {
		return usagef("--client-name %s: requires --client-ca-file", o.ClientNames[0])
	}
	return nil
}

// address expands a bare port to the port on all addresses.
func address(s string) string {
	for _, c := range s {
		if c < '0' || c > '9' {
			return s
		}
	}
	return ":" + s
}

// memoryRatio is the part of the container's memory limit that Go uses. The rest is for
// what Go does not count, such as the binary's pages.
const memoryRatio = 0.9

// limitMemory sets Go's memory limit by the cgroup's, so that garbage is collected
// before the kernel kills the process. GOMEMLIMIT takes precedence.
func limitMemory(log logr.Logger) {
	limit, err := memlimit.Set(memlimit.WithRatio(memoryRatio), memlimit.WithProvider(memlimit.FromCgroup))
	if err != nil {
		log.V(1).Info("no memory limit", "reason", err.Error())
		return
	}
	log.Info("memory limit", "bytes", limit)
}

// collectSooner sets GOGC of a control plane alone, unless it is set.
func collectSooner(o *serve.Options) {
	if os.Getenv("GOGC") == "" && slices.Equal(o.Components, []serve.Component{serve.XDS}) {
		debug.SetGCPercent(xds.MostGarbage)
		o.AdaptGC = true
	}
}

// serveLog writes one JSON object a line.
func serveLog(w io.Writer, level string) (logr.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return logr.Logger{}, usagef("--log-level %q: invalid log level; use debug, info, warn or error", level)
	}
	return logr.FromSlogHandler(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: l})), nil
}

func clusterConfig(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		c, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("load in-cluster config: %w; outside a cluster set --kubeconfig", err)
		}
		return c, nil
	}
	c, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("--kubeconfig %s: %w", kubeconfig, err)
	}
	return c, nil
}
