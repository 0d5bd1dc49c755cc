package check

import "slices"

// Check is one check. Cause and Fix are for the page; a result has them for the case at
// hand.
type Check struct {
	ID    string
	Group Group
	Title string
	Cause string
	Fix   string
	// When is what the check is about.
	When When

	run func(f *Facts, out *findings)
}

// When is what a report is about, one or several of those below.
type When int

// What reports are about.
const (
	Before    When = 1 << iota // a cluster before an installation
	After                      // an installation
	OfProxy                    // one sidecar
	OfTraffic                  // the ways out, as they are tried
)

// when is what the facts are of.
func (f *Facts) when() When {
	switch {
	case f.Traffic != nil:
		return OfTraffic
	case f.Sidecar != nil:
		return OfProxy
	case f.Before:
		return Before
	}
	return After
}

// Catalog is all checks, in the order of a report.
func Catalog() []Check { return slices.Clone(catalog) }

var catalog = []Check{
	{"api-reachable", Kubernetes, "The API server answers", "The kubeconfig names another cluster, or the network is down.", "Check the kubeconfig, the network and the VPN.", Before | After | OfProxy | OfTraffic, apiReachable},
	{"api-version", Kubernetes, "The version of Kubernetes is supported", "The cluster is older than Kubernetes 1.25.", "Upgrade the cluster.", Before | After, apiVersion},
	{"rights", Kubernetes, "Everything can be read", "The user of the kubeconfig may not read some resources; the checks that need them are skipped.", "Run the checks as an administrator of the cluster.", Before | After | OfProxy, rights},
	{"clocks", Kubernetes, "Clocks agree", "The clock of a node, or of this machine, is wrong. Certificates are valid for a time, and the pods of a node whose clock is wrong may not accept them.", "Synchronize the clocks, for example with chrony.", Before | After, clock},
	{"nodes-linux", Kubernetes, "There are nodes with Linux", "Injected pods require Linux.", "Add a node pool with Linux.", Before | After, linuxNodes},
	{"nodes-kernel", Kubernetes, "Kernels have what the redirect needs", "The redirect uses nf_tables with NAT, of Linux 5.2 or newer. Which modules are loaded does not show in the API; istio-init reports it in its log.", "Upgrade the operating system of the nodes, or keep injected pods off them.", Before | After, kernel},
	{"nodes-kubelet", Kubernetes, "Kubelets have native sidecars", "The API server accepts native sidecars, and an older kubelet does not start them.", "Upgrade the nodes, or set `pilot.env.ENABLE_NATIVE_SIDECARS` to `\"false\"`.", Before | After, kubelets},
	{"dns", Kubernetes, "DNS has endpoints", "The pods of the cluster's DNS are not ready. Sidecars resolve the control plane and external hosts with it.", "Start the pods of the DNS.", Before | After, nameServers},

	{"revision-free", Installation, "No other injector has the revision", "Istio, or another Helm release, has the same revision or the same ConfigMaps.", "Install another revision, or uninstall the other injector first.", Before, conflicts},
	{"deployments", Installation, "Replicas are ready", "The image cannot be pulled, a quota or a policy rejects the pods, or the replicas have no configuration or certificate.", "See the events and the log of the pods.", After, deployments},
	{"services", Installation, "The Services have endpoints", "No replica is ready, or the selector of the Service does not match the labels of the pods.", "See the replicas; restore the Service.", After, services},
	{"configuration-valid", Installation, "The ConfigMaps are valid", "A ConfigMap was edited while the validating webhook was not registered, or has settings without an effect.", "Correct it, or restore the last good configuration.", After, configuration},
	{"configuration-active", Installation, "Replicas have the configuration of the ConfigMaps", "The ConfigMaps have errors, or a replica cannot read them.", "Correct them, or see the log of the replica.", After, active},
	{"crds", Installation, "ServiceEntries and VirtualServices can be created", "A CustomResourceDefinition is missing, or serves other versions.", "Restart the control plane, which creates missing ones, or upgrade Istio's.", Before | After, crds},

	{"webhook-registered", Webhook, "The webhooks are registered", "A webhook configuration was deleted.", "Restore it: `helm upgrade`, or `kubectl apply -f deploy/outrider.yaml`.", After, registered},
	{"webhook-selectors", Webhook, "The webhooks have their selectors", "Something edits the webhook configuration: AKS's admissions enforcer, or a policy engine.", "Find the writer with `--show-managed-fields`, and exempt the configuration from it.", After, selectors},
	{"webhook-failure-policy", Webhook, "No pod starts without its sidecar", "`failurePolicy` was set to `Ignore`.", "Set it to `Fail`.", After, failurePolicy},
	{"webhook-ca-bundle", Webhook, "The webhooks have the right caBundle", "Something else writes `caBundle`, or the webhook's leader cannot.", "Find the writer, and restart the webhook's replicas, which write it again.", After, bundles},
	{"webhook-call", Webhook, "The API server calls the webhook", "A firewall, a NetworkPolicy, a proxy, a certificate, a quota: the API server's message names it.", "See the fix of the result. Each injected namespace is tried, up to 20, with a pod in dry run.", After, calls},
	{"other-injectors", Webhook, "No other injector selects the same pods", "Two injectors have the same labels.", "Give each namespace one injector.", Before | After, twice},

	{"namespace-labels", Namespaces, "Labels for injection have an effect", "A label has a value that selects nothing, or a namespace has two labels.", "Use one label, with a revision that exists.", After, labelling},
	{"pod-security", Namespaces, "Pod Security admits injected pods", "The namespace enforces the level baseline or restricted, which reject the capability NET_ADMIN of istio-init.", "Label it privileged, with the policy of [Pod Security](pod-security.md) in place of the level.", After, psa},
	{"network-policies", Namespaces, "Sidecars may reach the control plane", "A NetworkPolicy denies egress by default, and none allows the control plane.", "Allow port 15012 of the control plane, and DNS.", After, networkPolicies},
	{"other-meshes", Namespaces, "No injected namespace is in another mesh", "The namespace is in Istio's ambient mesh, or has Linkerd's annotation.", "Use one of the two.", After, ambient},

	{"ranges-known", Ranges, "The cluster's ranges are known", "The platform does not show its ranges in the API.", "See [Ranges](ranges.md).", Before | After, known},
	{"ranges-cover", Ranges, "The included ranges have all addresses of the cluster", "`includeIPRanges` is from another cluster, or nodes were added with other ranges.", "Set the value of `outrider ranges`, or the name `cluster`.", After, cover},
	{"ranges-excluded", Ranges, "The cluster's own addresses are not excluded", "`excludeIPRanges` holds all Services or all pods.", "Remove them.", After, exclusions},
	{"dns-node-local", Ranges, "Pods reach the DNS cache of their node", "The cache has an address that no Service has, and REGISTRY_ONLY blocks connections to it.", "Exclude the address.", After, nodeLocal},

	{"gke-firewall", Platform, "GKE: the firewall allows the webhook", "The control plane of a private cluster reaches pods on ports 443 and 10250 only.", "Allow port 9443 in the firewall.", Before | After, gkeFirewall},
	{"gke-autopilot", Platform, "GKE Autopilot: NET_ADMIN is allowed", "Autopilot rejects the capability unless the cluster allows it.", "Update the cluster with `--workload-policies=allow-net-admin`.", Before | After, autopilot},
	{"eks-fargate", Platform, "EKS: no pod runs on Fargate", "Fargate has no NET_ADMIN.", "Schedule injected pods on EC2 nodes.", Before | After, fargate},
	{"eks-network", Platform, "EKS: the API server reaches pods", "The network plugin is not the VPC CNI.", "Set `webhook.hostNetwork=true`.", Before | After, eksNetwork},
	{"openshift-scc", Platform, "OpenShift: an SCC admits injected pods", "The default SCCs reject user 0 and NET_ADMIN of istio-init.", "Install with `openshift.scc.enabled=true`, and bind its ClusterRole.", Before | After, openshift},
	{"aks-enforcer", Platform, "AKS: the admissions enforcer is disabled", "It edits the selectors of webhook configurations.", "Install with `global.platform=aks`.", Before | After, aks},

	{"proxy-injected", Proxy, "The pod has a sidecar", "The pod was created before its namespace had the label, while the webhook was not registered, or is not injected by its own settings.", "See the rule with `outrider explain`, and create the pod again.", OfProxy, proxyInjected},
	{"proxy-running", Proxy, "The sidecar runs", "Its image cannot be pulled, it has no memory left, or it is ended by its probe.", "See the events of the pod and the log of `istio-proxy`.", OfProxy, proxyRunning},
	{"proxy-ready", Proxy, "The sidecar is ready", "It has no configuration yet, or is about to end.", "See `proxy-xds`; the log of `istio-proxy`.", OfProxy, proxyReady},
	{"proxy-redirect", Proxy, "The kernel redirects the pod's connections to the sidecar", "`istio-init` has failed, its arguments capture nothing, or another program has changed its rules.", "See the log of `istio-init`, and the settings with `outrider explain`.", OfProxy, proxyRedirect},
	{"proxy-settings", Proxy, "The pod was injected under the active settings", "The ConfigMaps or annotations of the namespace were changed since the pod was created.", "Restart the workload.", OfProxy, proxySettings},
	{"proxy-dns", Proxy, "The sidecar resolves the control plane", "DNS does not answer the pod: a NetworkPolicy, or the cluster's DNS is down.", "Allow port 53 of the DNS, for UDP and TCP.", OfProxy, proxyDNS},
	{"proxy-xds", Proxy, "The sidecar is connected to the control plane", "A NetworkPolicy denies port 15012, no replica is ready, or the control plane rejects the token or the sidecar its certificate.", "Allow port 15012, and see the log of `istio-proxy`.", OfProxy, proxyXDS},
	{"proxy-configuration", Proxy, "The sidecar has the newest configuration", "The connection to the control plane is down, or the sidecar has no processor time.", "See `proxy-xds`, and the CPU limit of the sidecar.", OfProxy, proxyConfiguration},
	{"proxy-rejected", Proxy, "The sidecar accepts its configuration", "Its Envoy rejects something that is valid for the control plane: an object with a regular expression or a header that Envoy does not accept, or an image of another version of Envoy.", "Correct the object that the message is about; use an image of a supported version.", OfProxy, proxyRejected},
	{"proxy-certificate", Proxy, "The sidecar has the CA certificates of the control plane", "The kubelet has not brought ConfigMap `outrider-ca` into the pod, or a certificate has expired.", "Restart the pod; see the leader of the webhook's replicas, which renews certificates.", OfProxy, proxyCertificate},
	{"proxy-clock", Proxy, "The clock of the pod's node agrees", "The clock of the node is wrong. Certificates and tokens are valid for a time.", "Synchronize the clock of the node, for example with chrony.", OfProxy, proxyClock},

	{"traffic-pods", Traffics, "The pods of the trial run, and are injected", "The user may not create them, an image cannot be pulled, a policy or a quota rejects them, the webhook does not inject them, or a sidecar does not start.", "See the fix of the result.", OfTraffic, trafficPods},
	{"traffic-passthrough", Traffics, "An undeclared host is handled as outboundTrafficPolicy has it", "An excluded range or port, or an included list without the address: the connection bypasses the sidecar. Or something blocks it: REGISTRY_ONLY, a NetworkPolicy, a firewall.", "Correct the setting or object that the result names.", OfTraffic, trafficWay(Passthrough)},
	{"traffic-controlled", Traffics, "A declared host is reached through the sidecar", "An excluded range or port lets it bypass the sidecar, another object takes precedence over the ServiceEntry, a VirtualService aborts or redirects its requests, or a NetworkPolicy denies the connection.", "Correct the setting or object that the result names.", OfTraffic, trafficWay(Controlled)},
	{"traffic-bypass", Traffics, "An excluded address bypasses the sidecar", "The annotation of the pod is changed or ignored, or another program redirects its connections.", "See the annotation of the pod, and other webhooks.", OfTraffic, trafficWay(Bypass)},
	{"traffic-leftovers", Traffics, "Nothing is left of earlier runs", "A run was killed before it could remove its namespace.", "Delete what the result names.", OfTraffic, trafficLeftovers},
}

// Run runs the checks that make sense for the facts.
func Run(f *Facts) Report {
	r := Report{APIVersion: APIVersion, Kind: "CheckReport", Status: Passed, Results: []Result{}, Traffic: f.Traffic}
	for _, c := range catalog {
		if c.When&f.when() == 0 || f.Unreachable != "" && c.ID != "api-reachable" {
			continue
		}
		var out findings
		c.run(f, &out)
		for _, found := range out.results {
			found.Check, found.Group = c.ID, c.Group
			if found.Status.Compare(r.Status) > 0 {
				r.Status = found.Status
			}
			r.Results = append(r.Results, found)
		}
	}
	return r
}
