// Package inject decides whether a pod gets a sidecar, resolves every setting
// to a value and its source, renders the templates, merges them into the pod
// and says what changed as a JSON patch.
//
// It is pure: an Injector is compiled once from one configuration, never
// changes afterwards, and may be used by any number of goroutines. The webhook,
// kube-inject, the previews and the playground all call Injector.Inject; there
// is no second way to assemble the same answer.
package inject

import (
	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/internal/jsontree"
	"github.com/outrider-mesh/outrider/ranges"
)

// Environment holds the facts about the cluster (or, for files, about the
// cluster the file is meant for) that injection depends on.
type Environment struct {
	// Kubernetes is the API server's version; the zero value means unknown, and
	// then native sidecars are used, as every supported release has them.
	Kubernetes Version
	// Ranges is what names such as "cluster" stand for in range lists, as
	// RangeNames has it; nil where nothing is known of the cluster.
	Ranges *ranges.NamedRanges
}

// Owner names the workload a pod belongs to, as templates see it in TypeMeta
// and DeploymentMeta. The zero value means: derive it from the pod's controller
// ownerReference, else the pod itself.
type Owner struct {
	APIVersion string // e.g. "apps/v1"
	Kind       string // e.g. "Deployment"
	Name       string
}

// Request is one pod to look at.
type Request struct {
	// Pod is the pod's JSON exactly as it arrived. The patch is computed against
	// these bytes, so fields that the API types here do not know survive. For a
	// workload in a file it is {"metadata": template.metadata, "spec": template.spec}.
	Pod []byte
	// Namespace is the namespace of the request. An admission review for a pod
	// carries it outside the pod. Empty for a file that names none.
	Namespace string
	// NamespaceAnnotations are the namespace's, where known: on OpenShift they
	// carry the uid ranges. Nil means unknown.
	NamespaceAnnotations map[string]string
	// Owner is the workload, where the caller knows it better than the pod does.
	Owner Owner
}

// Result is the answer for one pod that was admitted: injected or skipped.
type Result struct {
	Decision Decision
	// Settings is nil when the pod was skipped.
	Settings *Settings
	// Patch turns the pod that came in into the injected one; empty when nothing
	// changes. Operations are in the order they must be applied.
	Patch []Operation
	// Warnings are sentences for the person who applied the pod, sorted, each
	// at most 256 bytes.
	Warnings []string

	came []byte         // the pod as it came
	tree *jsontree.Node // the injected pod; nil when nothing changes
}

// PodJSON returns the injected pod: the bytes that came in when nothing changes.
func (r *Result) PodJSON() []byte {
	if r.tree == nil {
		return r.came
	}
	return r.tree.AppendTo(nil)
}

// Tree returns the injected pod for the packages below this one; nil when
// nothing changes. The parts that come from a template are shared between pods.
func (r *Result) Tree() *jsontree.Node { return r.tree }

// Operation is one RFC 6902 operation: add, remove or replace. Value is JSON
// text, empty for remove.
type Operation struct {
	Op    string
	Path  string
	Value string
}

// Injector injects pods by one compiled configuration.
type Injector struct {
	cfg       *config.Config
	env       Environment
	names     rangeNames
	include   rangeList // of the values
	exclude   rangeList // of the values
	values    map[string]any
	hash      string
	templates map[string]*compiledTemplate
	schema    *schema
	cache     *resolvedCache
}

// Config returns the configuration the injector was compiled from.
func (i *Injector) Config() *config.Config { return i.cfg }

// RangeNames returns what names in range lists stand for.
func (i *Injector) RangeNames() *ranges.NamedRanges { return i.env.Ranges }

// Hash identifies the configuration, what the names in its range lists stand for,
// and the built-in templates in force. It is
// what the status annotation of a pod carries as configHash.
func (i *Injector) Hash() string { return i.hash }

// AppendPatch appends the operations as an RFC 6902 document.
func AppendPatch(dst []byte, ops []Operation) []byte {
	dst = append(dst, '[')
	for n, op := range ops {
		if n > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(dst, `{"op":"`...), op.Op...)
		dst = jsontree.AppendString(append(dst, `","path":`...), op.Path)
		if op.Value != "" {
			dst = append(append(dst, `,"value":`...), op.Value...)
		}
		dst = append(dst, '}')
	}
	return append(dst, ']')
}
