package lifecycle

import (
	"fmt"
	"regexp"
	"strings"
)

// Attempt is the API server's answer to the creation, in dry run, of a pod that the
// webhook must inject.
type Attempt struct {
	// Error is the API server's message, or empty.
	Error string
	// Injected reports whether the pod in the answer has a sidecar.
	Injected bool
}

// Cluster is what is read to explain an attempt.
type Cluster struct {
	Installation
	// TestNamespace is the namespace of the pod, and Label the label by which it is
	// selected.
	TestNamespace, Label string
	// Provider is the scheme of a node's providerID, such as "gce".
	Provider string
	// Port is the container port of the webhook, which firewalls must allow.
	Port int32
	// Registered reports whether the MutatingWebhookConfiguration exists; Published
	// whether each of its webhooks has a caBundle, and Current whether that is the
	// bundle in ConfigMap outrider-ca.
	Registered, Published, Current bool
	// Selected reports whether a webhook of the configuration selects the pod.
	Selected bool
	// Ignored reports failurePolicy Ignore: the API server admits a pod without a
	// sidecar if it cannot call the webhook.
	Ignored bool
	// Desired and Ready count the webhook's replicas; Pods are those not ready.
	Desired, Ready int32
	Pods           []Pod
	// Policy is the value of policy in ConfigMap istio-sidecar-injector.
	Policy string
}

// Pod is a replica that is not ready.
type Pod struct{ Name, Reason, Message string }

// Finding explains an attempt.
type Finding struct {
	// Injected: nothing to explain, or a restriction of the cluster that applies
	// after the injection.
	Injected bool
	// Final: waiting does not change it.
	Final       bool
	What        string // one sentence
	Details     []string
	Remedy      string
	ErrorOfCall string
}

// Text is the finding on lines of its own.
func (f Finding) Text() string {
	lines := []string{f.What}
	for _, d := range f.Details {
		lines = append(lines, "  "+d)
	}
	if f.Remedy != "" {
		lines = append(lines, "fix: "+f.Remedy)
	}
	if f.ErrorOfCall != "" {
		lines = append(lines, "the API server's message: "+f.ErrorOfCall)
	}
	return strings.Join(lines, "\n") + "\n"
}

// cause is one reason for an error of the API server, in the order of the list: the
// first that matches explains it.
type cause struct {
	pattern *regexp.Regexp
	explain func(c Cluster, match []string) Finding
}

// The API server's messages are those of k8s.io/apiserver's webhook client and of
// net/http and crypto/x509.
var causes = []cause{
	{regexp.MustCompile(`violates PodSecurity "([^"]+)"`), podSecurity},
	{regexp.MustCompile(`(?:exceeded|failed) quota: ([^,:]+)`), quota},
	{regexp.MustCompile(`admission webhook "([^"]+)" denied the request: (?s)(.*)`), denied},
	{regexp.MustCompile(`ValidatingAdmissionPolicy '([^']+)'`), policy},
	{regexp.MustCompile(`service "([^"]+)" not found`), noService},
	{regexp.MustCompile(`no endpoints available|connection refused`), notReady},
	{regexp.MustCompile(`x509: certificate is valid for ([^,]+)`), wrongName},
	{regexp.MustCompile(`x509: |tls: |certificate`), untrusted},
	{regexp.MustCompile(`proxyconnect|Proxy Authentication|Service Unavailable|Bad Gateway`), proxied},
	{regexp.MustCompile(`context deadline exceeded|i/o timeout|no route to host|network is unreachable|Client\.Timeout`), unreachable},
}

// Explain returns why the pod of the attempt has, or has not, a sidecar.
func Explain(a Attempt, c Cluster) Finding {
	if a.Error == "" {
		return explainAdmitted(a, c)
	}
	message := strings.TrimSpace(a.Error)
	for _, cause := range causes {
		if match := cause.pattern.FindStringSubmatch(message); match != nil {
			f := cause.explain(c, match)
			f.ErrorOfCall = message
			return f
		}
	}
	return Finding{What: "The API server rejected a pod in namespace " + c.TestNamespace + ".", Remedy: "see the API server's message", ErrorOfCall: message}
}

// explainAdmitted explains a pod that the API server admits.
func explainAdmitted(a Attempt, c Cluster) Finding {
	configuration := c.Name(WebhookConfigurations)
	switch {
	case a.Injected:
		return Finding{Injected: true, Final: true, What: "A pod in a namespace with " + c.Label + " is injected."}
	case !c.Registered:
		return Finding{
			What:   fmt.Sprintf("MutatingWebhookConfiguration %s does not exist, so the API server does not call the webhook.", configuration),
			Remedy: "install it again: helm upgrade, or kubectl apply -f deploy/outrider.yaml",
		}
	case !c.Selected:
		return Finding{
			What:   fmt.Sprintf("No webhook of MutatingWebhookConfiguration %s selects a pod in a namespace with %s.", configuration, c.Label),
			Remedy: "restore its selectors: helm upgrade, or kubectl apply -f deploy/outrider.yaml; on AKS, the admissions enforcer edits them unless the configuration has the label admissions.enforcer/disabled=true",
		}
	case c.Policy == "disabled":
		return Finding{Injected: true, Final: true,
			What: fmt.Sprintf("The webhook is reached, and injects only pods with the label sidecar.istio.io/inject=true: ConfigMap %s/%s has policy: disabled.",
				c.Namespace, c.Name("istio-sidecar-injector"))}
	case c.Ready == 0:
		return notReady(c, nil)
	case c.Ignored:
		return unreachable(c, nil)
	}
	return Finding{
		What: fmt.Sprintf("The API server admitted a pod in a namespace with %s without a sidecar.", c.Label),
		Remedy: fmt.Sprintf("look for the reason in the webhook's log: kubectl -n %s logs deployment/%s; if the log has no request, the API server's admission plugin MutatingAdmissionWebhook is disabled",
			c.Namespace, c.Name(Deployment)),
	}
}

func podSecurity(c Cluster, match []string) Finding {
	return Finding{Injected: true, Final: true,
		What: fmt.Sprintf("The pod is injected, but Pod Security %q of namespace %s, by its label or as the cluster's default, rejects it.", match[1], c.TestNamespace),
		Details: []string{
			"The init container istio-init installs the redirect rules, which requires NET_ADMIN and NET_RAW.",
		},
		Remedy: "label the namespaces whose pods are injected: kubectl label namespace NAMESPACE pod-security.kubernetes.io/enforce=privileged; see docs/pod-security.md"}
}

func quota(c Cluster, match []string) Finding {
	return Finding{Injected: true, Final: true,
		What:   fmt.Sprintf("The pod is injected, but the ResourceQuota %s of namespace %s rejects it: sidecars count, and need requests and limits like other containers.", match[1], c.TestNamespace),
		Remedy: "raise the quotas of the namespaces whose pods are injected, or delete those that are not needed"}
}

func denied(c Cluster, match []string) Finding {
	name, message := match[1], strings.TrimSpace(match[2])
	if strings.HasSuffix(name, ".sidecar-injector.istio.io") {
		return Finding{
			What:   "The webhook is reached, but cannot inject the pod: " + message,
			Remedy: fmt.Sprintf("correct the ConfigMaps %s and %s in namespace %s", c.Name("istio-sidecar-injector"), c.Name("istio"), c.Namespace),
		}
	}
	return Finding{Final: true,
		What:   fmt.Sprintf("Another admission webhook, %s, rejects the pod: %s", name, message),
		Remedy: "exempt injected pods from its rule, or set what it requires in the ConfigMaps"}
}

func policy(_ Cluster, match []string) Finding {
	return Finding{Final: true,
		What:   fmt.Sprintf("ValidatingAdmissionPolicy %s rejects the pod.", match[1]),
		Remedy: "exempt injected pods from it"}
}

func noService(c Cluster, match []string) Finding {
	return Finding{
		What:   fmt.Sprintf("The API server cannot call the webhook: Service %s/%s does not exist.", c.Namespace, match[1]),
		Remedy: "install it again: helm upgrade, or kubectl apply -f deploy/outrider.yaml"}
}

// notReady explains a webhook without a ready replica by its pods.
func notReady(c Cluster, _ []string) Finding {
	f := Finding{
		What:   fmt.Sprintf("The API server cannot call the webhook: %d of %d replicas of Deployment %s/%s are ready.", c.Ready, c.Desired, c.Namespace, c.Name(Deployment)),
		Remedy: fmt.Sprintf("see kubectl -n %[1]s describe pods -l app=%[2]s and kubectl -n %[1]s logs -l app=%[2]s", c.Namespace, c.Name(Deployment)),
	}
	if c.Ready > 0 { // ready, and not reached: the nodes follow in a moment
		f.What += " The Service's endpoints may not have reached the API server's node yet."
	}
	if c.Desired == 0 {
		f.Remedy = fmt.Sprintf("kubectl -n %s scale deployment/%s --replicas=2", c.Namespace, c.Name(Deployment))
	}
	for _, p := range c.Pods {
		f.Details = append(f.Details, strings.TrimSuffix(fmt.Sprintf("pod %s: %s: %s", p.Name, p.Reason, p.Message), ": "))
	}
	return f
}

func wrongName(c Cluster, match []string) Finding {
	return Finding{
		What:   fmt.Sprintf("The API server does not accept the webhook's certificate: it is valid for %s, not for %s.%s.svc.", match[1], c.Name(Deployment), c.Namespace),
		Remedy: "issue the certificate for this name; without --cert-dir, Outrider does, and --cert-host adds names"}
}

// untrusted explains a certificate that caBundle does not verify.
func untrusted(c Cluster, _ []string) Finding {
	f := Finding{What: "The API server does not accept the webhook's certificate."}
	configuration := "MutatingWebhookConfiguration " + c.Name(WebhookConfigurations)
	switch {
	case !c.Published:
		f.Details = []string{configuration + " has no caBundle."}
		f.Remedy = fmt.Sprintf("the webhook's leader sets it within seconds; see kubectl -n %s logs deployment/%s", c.Namespace, c.Name(Deployment))
	case !c.Current:
		f.Details = []string{"caBundle of " + configuration + " is not the CA bundle in ConfigMap " + c.TestNamespace + "/" + c.Name(CABundle) + ": something else writes it."}
		f.Remedy = "find the other writer: kubectl get mutatingwebhookconfiguration " + c.Name(WebhookConfigurations) + " -o yaml --show-managed-fields"
	default:
		f.Details = []string{"A proxy between the API server and the webhook may have another certificate."}
		f.Remedy = "exempt .svc and the Service range from the API server's proxy (NO_PROXY)"
	}
	return f
}

func proxied(c Cluster, _ []string) Finding {
	return Finding{
		What:   "The API server sends its calls of the webhook to an HTTP proxy, which cannot reach it.",
		Remedy: "exempt .svc, .cluster.local and the Service range from the API server's proxy (NO_PROXY), and restart it"}
}

// platforms are the reasons why the API server of a platform does not reach pods.
var platforms = map[string]string{
	"gce":       "on a private GKE cluster, allow the port in the firewall: gcloud compute firewall-rules create outrider-webhook --network NETWORK --source-ranges CONTROL_PLANE_CIDR --allow tcp:%d --target-tags NODE_TAG",
	"aws":       "on EKS, allow TCP port %d from the cluster's security group to the nodes'; with a CNI other than the VPC CNI the API server reaches no pod address: set webhook.hostNetwork=true",
	"azure":     "on AKS, allow TCP port %d from the API server's subnet to the nodes in the network security group",
	"openstack": "allow TCP port %d from the control plane's nodes to the others in the security group",
}

// unreachable explains a call without an answer.
func unreachable(c Cluster, _ []string) Finding {
	if c.Ready == 0 {
		return notReady(c, nil)
	}
	f := Finding{
		What: fmt.Sprintf("The API server cannot reach the webhook: %d of %d replicas are ready, and the call of Service %s/%s had no answer.", c.Ready, c.Desired, c.Namespace, c.Name(Deployment)),
		Remedy: fmt.Sprintf("allow TCP port %d from the API server to the webhook's pods: in firewalls between the control plane and the nodes, and in NetworkPolicies of namespace %s; "+
			"if the API server is outside the pod network, set webhook.hostNetwork=true", c.Port, c.Namespace),
	}
	if remedy, ok := platforms[c.Provider]; ok {
		f.Remedy = fmt.Sprintf(remedy, c.Port)
	}
	return f
}
