package check

import (
	"fmt"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/lifecycle"
	"github.com/outrider-mesh/outrider/ranges"
)

// Resource is the name of what was read, as a role has it.
type Resource string

// The resources that are read.
const (
	Mutating        Resource = "mutatingwebhookconfigurations.admissionregistration.k8s.io"
	Validating      Resource = "validatingwebhookconfigurations.admissionregistration.k8s.io"
	Policies        Resource = "validatingadmissionpolicies.admissionregistration.k8s.io"
	Definitions     Resource = "customresourcedefinitions.apiextensions.k8s.io"
	Nodes           Resource = "nodes"
	NamespaceList   Resource = "namespaces"
	NetworkPolicies Resource = "networkpolicies.networking.k8s.io"
	NodeLeases      Resource = "leases.coordination.k8s.io of namespace kube-node-lease"
	Own             Resource = "objects of the installation's namespace"
	System          Resource = "objects of namespace kube-system"
	RangeSources    Resource = "the sources of the cluster's ranges"
	Administration  Resource = "the administration interface of the sidecar (create on pods/portforward)"
	Logs            Resource = "the logs of the pod (get on pods/log)"
	Trusted         Resource = "the ConfigMap with the CA certificates"
	Comparison      Resource = "what the pod is compared with"
)

// Facts is what was read of a cluster. What was not read is in Unread.
type Facts struct {
	lifecycle.Installation
	// Before is set before an installation: what belongs to one is not expected.
	Before bool
	// Unread is why a resource was not read.
	Unread map[Resource]string

	// Now is the time of this machine, and ServerTime that of the API server at the same
	// moment; zero where it is unknown.
	Now, ServerTime time.Time
	// Unreachable is why the API server did not answer; empty where it did.
	Unreachable string
	Version     string // of the API server, such as v1.37.2
	APIGroups   []string

	Mutating        []admissionregistrationv1.MutatingWebhookConfiguration
	Validating      []admissionregistrationv1.ValidatingWebhookConfiguration
	Policies        []string // names
	Definitions     map[string]Definition
	Nodes           []corev1.Node
	NodeLeases      []coordinationv1.Lease
	Namespaces      []corev1.Namespace
	NetworkPolicies []networkingv1.NetworkPolicy
	SystemSets      []string // names of the DaemonSets of kube-system
	NameServers     []NameServer

	Services    map[string]Service // of the installation, by name
	Deployments map[string]Deployment
	Leases      []coordinationv1.Lease // of its replicas
	// Bundle is the CA bundle that sidecars have; empty where it is not known.
	Bundle string
	// InjectorLabels are those of ConfigMap istio-sidecar-injector.
	InjectorLabels map[string]string

	// Injector is of the ConfigMaps as they are now; nil with errors among Problems.
	Injector *inject.Injector
	Problems problem.List
	Missing  []string // ConfigMaps that do not exist

	Attempts []Attempt // pods in dry run, by namespace
	// More counts the namespaces in which no pod was tried.
	More int

	Data   *ranges.ClusterData
	Ranges ranges.Result

	// Sidecar is the pod whose sidecar is checked; nil where an installation is.
	Sidecar *Sidecar
	// Traffic is the trial of the ways out; nil where they are not tried.
	Traffic *Traffic
}

// Definition is a CustomResourceDefinition.
type Definition struct {
	Served      []string // versions
	Established bool
	Manager     string // label app.kubernetes.io/managed-by
}

// Service is a Service with its endpoints.
type Service struct {
	Ready map[string]int // endpoints, by the port's name
}

// NameServer is a Service of the cluster's DNS.
type NameServer struct {
	Name  string
	IPs   []string
	Ready int
}

// Deployment is one of the installation's Deployments.
type Deployment struct {
	Desired, Ready int32
	HostNetwork    bool
	Pods           []lifecycle.Pod // those not ready
}

// Attempt is a pod that was created in dry run.
type Attempt struct {
	lifecycle.Attempt
	lifecycle.Cluster
}

// unread reports, as a skipped result, the first of the resources that was not read.
func (f *Facts) unread(out *findings, of ...Resource) bool {
	for _, r := range of {
		if why, ok := f.Unread[r]; ok {
			out.skip(fmt.Sprintf("%s could not be read: %s", r, why))
			return true
		}
	}
	return false
}

// ours is the installation's configuration of mutating webhooks; nil without one.
func (f *Facts) ours() *admissionregistrationv1.MutatingWebhookConfiguration {
	for i := range f.Mutating {
		if f.Mutating[i].Name == f.Name(lifecycle.WebhookConfigurations) {
			return &f.Mutating[i]
		}
	}
	return nil
}

// selectsNamespace reports whether one of a configuration's webhooks can select a pod
// without labels in a namespace.
func selectsNamespace(c *admissionregistrationv1.MutatingWebhookConfiguration, n *corev1.Namespace) bool {
	if c == nil {
		return false
	}
	for i := range c.Webhooks {
		w := &c.Webhooks[i]
		if matches(w.NamespaceSelector, n.Labels) && matches(w.ObjectSelector, nil) {
			return true
		}
	}
	return false
}

// matches evaluates a selector as the API server does: none selects everything.
func matches(s *metav1.LabelSelector, set map[string]string) bool {
	if s == nil {
		return true
	}
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && selector.Matches(labels.Set(set))
}

// Injected are the namespaces whose pods the installation's webhook injects.
func (f *Facts) Injected() (out []*corev1.Namespace) {
	for i := range f.Namespaces {
		if selectsNamespace(f.ours(), &f.Namespaces[i]) {
			out = append(out, &f.Namespaces[i])
		}
	}
	return out
}
