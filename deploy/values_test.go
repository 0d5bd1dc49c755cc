package deploy

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/outrider-mesh/outrider/config"
)

// Types of values beside those of the ConfigMap's keys.
const (
	typeTexts    config.Type = "map of strings"
	typeObjects  config.Type = "list of objects"
	typeQuantity config.Type = "number or percentage"
	typeMessage  config.Type = "field of MeshConfig"
)

// value is a key of the chart's values.
type value struct {
	config.Key
	// builtin is the default where values.yaml has none.
	builtin string
	field   protoreflect.FieldDescriptor // of a field of MeshConfig
}

func row(path string, t config.Type, builtin, about string, oneOf ...string) value {
	effect := !strings.HasPrefix(about, "Only read") && !strings.HasPrefix(about, "Ignored")
	return value{Key: config.Key{Path: path, Type: t, OneOf: oneOf, About: about, Effect: effect}, builtin: builtin}
}

// podValues are of both Deployments. Below webhook and controlPlane each is of that
// Deployment alone, and takes precedence.
var podValues = []value{
	row("replicaCount", config.TypeNumber, "", "Number of replicas."),
	row("resources", config.TypeObject, "those in deploy/outrider.yaml", "Requests and limits of the container. Merged with the defaults; null removes one."),
	row("nodeSelector", typeTexts, "", "Labels of the nodes that the pods run on."),
	row("tolerations", typeObjects, "", "Taints that the pods tolerate."),
	row("affinity", config.TypeObject, "", "Affinity of the pods. Its podAntiAffinity replaces the chart's own."),
	row("podAntiAffinity", config.TypeText, "preferred", "Whether replicas run on different nodes.", "preferred", "required", "none"),
	row("topologySpreadConstraints", typeObjects, "over zones, ScheduleAnyway", "How replicas spread. A constraint without labelSelector gets the one of the Deployment."),
	row("deploymentAnnotations", typeTexts, "", "Annotations of the Deployment."),
	row("deploymentLabels", typeTexts, "", "Labels of the Deployment."),
	row("podAnnotations", typeTexts, "", "Annotations of the pods."),
	row("podLabels", typeTexts, "", "Labels of the pods."),
	row("serviceAccountAnnotations", typeTexts, "", "Annotations of the ServiceAccount."),
	row("serviceAnnotations", typeTexts, "", "Annotations of the Service."),
	row("podDisruptionBudget", config.TypeObject, "maxUnavailable: 1", "minAvailable or maxUnavailable of the PodDisruptionBudget, and its unhealthyPodEvictionPolicy."),
	row("rollingMaxSurge", typeQuantity, "1; 0 with hostNetwork", "Replicas over replicaCount during an update."),
	row("rollingMaxUnavailable", typeQuantity, "0; 1 with hostNetwork", "Replicas that may be unavailable during an update."),
	row("terminationGracePeriodSeconds", config.TypeNumber, "30", "Time of a replica to stop; it keeps serving for 5 s of it, and ends active requests in 10 s."),
	row("logLevel", config.TypeText, "info", "Log level of the program.", "debug", "info", "warn", "error"),
	row("extraContainerArgs", config.TypeStrings, "", "More flags of `outrider serve`."),
	row("env", typeTexts, "", "Environment variables of the container."),
	row("volumes", typeObjects, "", "More volumes of the pods, such as for --cert-dir or --client-ca-file."),
	row("volumeMounts", typeObjects, "", "More volume mounts of the container."),
	row("hostNetwork", config.TypeFlag, "false", "The pods use the network of their node, for API servers that do not reach pods."),
	row("runAsUser", config.TypeNumber, "65532; unset on OpenShift", "User id of the container. null: unset, the platform or the image sets it."),
	row("runAsGroup", config.TypeNumber, "65532; unset on OpenShift", "Group id of the container. null: unset."),
	row("seccompProfile", config.TypeObject, "type: RuntimeDefault", "Seccomp profile of the pods."),
}

// portValues are the ports of the Deployments.
var portValues = []value{
	row("webhook.ports.webhook", config.TypeNumber, "9443", "Port of the admission handlers. The firewall of a private GKE cluster allows 443 and 10250 from the control plane's network."),
	row("webhook.ports.monitoring", config.TypeNumber, "15014", "Port of metrics."),
	row("webhook.ports.health", config.TypeNumber, "8080", "Port of probes."),
	row("controlPlane.ports.validation", config.TypeNumber, "9443", "Port of the validation of ServiceEntries and VirtualServices, and of debug endpoints."),
	row("controlPlane.ports.xds", config.TypeNumber, "15012", "Port that sidecars connect to, by port 15012 of the Service."),
	row("controlPlane.ports.monitoring", config.TypeNumber, "15014", "Port of metrics."),
	row("controlPlane.ports.health", config.TypeNumber, "8080", "Port of probes."),
}

// chartValues are the other keys of the chart.
var chartValues = []value{
	row("hub", config.TypeText, "global.hub", "Registry of Outrider's own image, if it is not global.hub."),
	row("tag", config.TypeTag, "global.tag", "Tag of Outrider's own image, if it is not global.tag."),
	row("image", config.TypeText, "", "Outrider's own image: a name below the registry, or a full reference, which has a \"/\"."),
	row("revisionTags", config.TypeStrings, "", "Names besides the revision that namespaces and pods select it with."),
	row("defaultRevision", config.TypeText, "", "Revision of pods in namespaces with istio-injection=enabled, and of ServiceEntries and VirtualServices without a revision. The same in all installations of a cluster."),
	row("global.istioNamespace", config.TypeText, "the release's namespace", "Namespace of the installation. Only the release's namespace is accepted: use --namespace."),
	row("global.priorityClassName", config.TypeText, "", "PriorityClass of the pods."),
	row("global.ipFamilyPolicy", config.TypeText, "PreferDualStack", "Address families of the Services.", "", "SingleStack", "PreferDualStack", "RequireDualStack"),
	row("global.ipFamilies", config.TypeStrings, "", "Address families of the Services, in order."),
	row("global.defaultPodDisruptionBudget.enabled", config.TypeFlag, "", "Create PodDisruptionBudgets."),
	row("global.networkPolicy.enabled", config.TypeFlag, "", "Create NetworkPolicies for the ports of the pods."),
	row("priorityClass.create", config.TypeFlag, "", "Create a PriorityClass and use it, unless global.priorityClassName is set."),
	row("priorityClass.value", config.TypeNumber, "", "Priority of its pods."),
	row("sidecarInjectorWebhookAnnotations", typeTexts, "", "Annotations of the webhook configurations. With global.platform=aks they have admissions.enforcer/disabled."),
	row("sidecarInjectorWebhook.enableNamespacesByDefault", config.TypeFlag, "", "Inject pods of namespaces without an injection label."),
	row("sidecarInjectorWebhook.reinvocationPolicy", config.TypeText, "", "Whether pods that a later webhook changes are injected again.", "IfNeeded", "Never"),
	row("sidecarInjectorWebhook.rewriteAppHTTPProbe", config.TypeFlag, "", "Only read by templates: inbound traffic is never captured, so probes reach the application."),
	row("sidecarInjectorWebhook.policy", config.TypeText, "global.proxy.autoInject", "Injection policy.", "enabled", "disabled"),
	row("sidecarInjectorWebhook.alwaysInjectSelector", typeObjects, "", "Label selectors of pods that are injected without a pod label, whatever the policy."),
	row("sidecarInjectorWebhook.neverInjectSelector", typeObjects, "", "Label selectors of pods that are not injected."),
	row("sidecarInjectorWebhook.injectedAnnotations", typeTexts, "", "Annotations of injected pods."),
	row("sidecarInjectorWebhook.defaultTemplates", config.TypeStrings, "", "Templates of pods that select none."),
	row("sidecarInjectorWebhook.templates", typeTexts, "", "Templates by name; \"sidecar\" replaces the built-in one. A file: --set-file sidecarInjectorWebhook.templates.NAME=FILE."),
	row("sidecarInjectorWebhook.aliases", config.TypeObject, "", "Lists of templates, by name."),
	row("policy.enabled", config.TypeText, "", "Create the ValidatingAdmissionPolicy that limits what the service accounts write. auto: on Kubernetes 1.30 and later.", "auto", "true", "false"),
	row("crds.enabled", config.TypeText, "", "CRDs of ServiceEntry and VirtualService. auto: the program creates those that the cluster lacks. true: Helm creates and upgrades them, and keeps them on uninstall. false: neither.", "auto", "true", "false"),
	row("egressReports.enabled", config.TypeFlag, "", "Sidecars report the hosts without a ServiceEntry that workloads connect to; they are kept in an EgressReport of each namespace."),
	row("egressReports.retention", config.TypeText, "", "How long an EgressReport keeps a host that is not connected to again: a duration such as 360h."),
	row("blockedResponseBody", config.TypeFlag, "", "Responses to blocked HTTP requests have a body with the host, the namespace, the reason and what to do."),
	row("podCounts.enabled", config.TypeFlag, "", "One replica of the webhook counts the cluster's pods by whether the active settings inject them: the metric sidecar_injection_pods."),
	row("podCounts.interval", config.TypeText, "", "Time between two counts, each of which lists all pods: a duration such as 10m, at least 1m."),
	row("podMonitor.enabled", config.TypeFlag, "", "Create a PodMonitor for the Prometheus operator."),
	row("podMonitor.prometheusNamespace", config.TypeText, "", "Namespace of Prometheus: with the PodMonitor, the NetworkPolicies open the port of metrics to it. Empty: to the release's namespace alone."),
	row("podMonitor.interval", config.TypeText, "", "Time between scrapes; empty: Prometheus' own."),
	row("podMonitor.labels", typeTexts, "", "Labels that the Prometheus operator selects PodMonitors by."),
	row("prometheusRule.enabled", config.TypeFlag, "", "Create a PrometheusRule with alerts."),
	row("prometheusRule.labels", typeTexts, "", "Labels that the Prometheus operator selects PrometheusRules by."),
	row("grafanaDashboard.enabled", config.TypeFlag, "", "Create a ConfigMap with a Grafana dashboard."),
	row("grafanaDashboard.labels", typeTexts, "", "Labels that Grafana's sidecar selects ConfigMaps by."),
	row("hooks.preflight", config.TypeFlag, "", "Reject an installation that collides with Istio, with another revision or with an installation by kubectl."),
	row("hooks.adopt", config.TypeFlag, "", "Take over an installation by kubectl, with Helm's --take-ownership."),
	row("hooks.verify", config.TypeFlag, "", "After an installation or upgrade, create a pod in dry run and explain why it is not injected."),
	row("hooks.uninstall", config.TypeFlag, "", "Before the release is uninstalled, remove the webhook configurations and what the program created."),
	row("openshift.scc.enabled", config.TypeFlag, "", "On OpenShift, create a SecurityContextConstraints for injected pods, and a ClusterRole to use it."),
}

// all are the keys of the chart, by path, without the same ones below "values".
func all() []value {
	out := map[string]value{}
	known := map[string]bool{}
	for _, v := range slices.Concat(chartValues, portValues) {
		out[v.Path] = v
	}
	// Istio's chart has had those of its Deployment below pilot, too.
	for _, v := range slices.Concat(podValues, chartValues[:3]) {
		for _, below := range []string{"", "webhook.", "controlPlane.", "pilot."} {
			if v.Path == "env" && below == "pilot." { // of the ConfigMap
				continue
			}
			k := v
			k.Path = below + v.Path
			if below != "" {
				k.builtin = ""
			}
			out[k.Path] = k
		}
	}
	for _, f := range config.MeshFields() {
		path := "meshConfig." + f.Descriptor.JSONName()
		out[path] = value{Key: config.Key{Path: path, Type: typeMessage, About: f.About, Effect: f.Effect, Quiet: f.Quiet}, field: f.Descriptor}
	}
	for path := range out { // parents have no keys of the ConfigMap's own
		for i := range path {
			if path[i] == '.' {
				known[path[:i]] = true
			}
		}
	}
	for _, k := range config.Keys() {
		if _, ok := out[k.Path]; !ok && !known[k.Path] {
			out[k.Path] = value{Key: k}
		}
	}
	return slices.SortedFunc(maps.Values(out), func(a, b value) int {
		return cmp.Or(strings.Count(a.Path, ".")-strings.Count(b.Path, "."), cmp.Compare(a.Path, b.Path))
	})
}
