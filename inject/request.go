package inject

import (
	"github.com/outrider-mesh/outrider/internal/jsontree"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/internal/revision"
	"github.com/outrider-mesh/outrider/ranges"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Environment holds the facts about the cluster (for files, about the target
// cluster) that injection depends on.
type Environment struct {
	// Kubernetes is the API server's version; the zero value means unknown, and
	// then native sidecars are used, as every supported release has them.
	Kubernetes Version
	// Ranges are the ranges of names such as "cluster" in range lists, as RangeNames
	// returns them; nil where the cluster is unknown.
	Ranges *ranges.NamedRanges
	// Revision is the one that injects; empty means the one in the values.
	Revision revision.Revision
	// Tags are further values of the label istio.io/rev that select this revision.
	Tags []revision.Tag
	// Namespace is the one of the control plane; empty means global.istioNamespace of
	// the values.
	Namespace string
}

// Owner names the workload a pod belongs to, as templates see it in TypeMeta
// and DeploymentMeta. The zero value means: derive it from the pod's controller
// ownerReference, else the pod itself.
type Owner struct {
	APIVersion string // e.g. "apps/v1"
	Kind       string // e.g. "Deployment"
	Name       string
}

// Request is one pod.
type Request struct {
	// Pod is the pod's JSON exactly as it arrived. The patch is computed against
	// these bytes, so fields that the API types here do not have are preserved. For a
	// workload in a file it is {"metadata": template.metadata, "spec": template.spec}.
	Pod []byte
	// Decoded is what Pod decodes to, but for managedFields, and Tree what it is read as,
	// where the caller has done that; may be nil. Pod is not needed with both. The patch of
	// the result refers to Tree.
	Decoded *corev1.Pod
	Tree    *jsontree.Node
	// Namespace is the namespace of the request. An admission review for a pod
	// carries it outside the pod. Empty for a file without one.
	Namespace string
	// NamespaceAnnotations are the namespace's, where known: on OpenShift they
	// have the uid ranges. Nil means unknown.
	NamespaceAnnotations map[string]string
	// Owner is the workload, if the caller has it.
	Owner Owner
	// Claims are the volumes that the workload's controller adds to its pods.
	Claims []string
}

// Result is the outcome for one pod that was admitted: injected or skipped.
type Result struct {
	Decision Decision
	// Settings is nil when the pod was skipped.
	Settings *Settings
	// Patch turns the incoming pod into the injected one; empty when nothing
	// changes. Operations are in the order they must be applied.
	Patch []Operation
	// Metadata is that of the incoming pod, for the log; nil where it is unknown.
	Metadata *metav1.ObjectMeta
	// Warnings are for the user who applied the pod, the worst first.
	Warnings problem.List

	tree *jsontree.Node // the injected pod; nil when nothing changes
}

// Tree returns the injected pod for other packages of this module; nil when
// nothing changes. The parts that come from a template are shared between pods.
func (r *Result) Tree() *jsontree.Node { return r.tree }

// Operation is one RFC 6902 operation: add, remove or replace. Value is nil for
// remove. It is a tree, not text: the sidecar is most of a patch, and is copied once,
// into the response.
type Operation = jsontree.Op

// AppendPatch appends the operations as an RFC 6902 document.
func AppendPatch(dst []byte, ops []Operation) []byte {
	dst = append(dst, '[')
	for n, op := range ops {
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, `{"op":"`...), op.Op...)
		dst = jsontree.AppendString(append(dst, `","path":`...), op.Path)
		if op.Value != nil {
			dst = op.Value.AppendTo(append(dst, `,"value":`...))
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}
