package inject

import (
	"slices"

	"k8s.io/apimachinery/pkg/types"

	"github.com/outrider-mesh/outrider/internal/jsontree"
	"github.com/outrider-mesh/outrider/internal/problem"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The containers of Istio's interface whose order matters.
const (
	initContainerName       = "istio-init"
	proxyContainerName      = "istio-proxy"
	validationContainerName = "istio-validation"
	coreDumpContainerName   = "enable-core-dump"
)

// mutation is one injection in progress.
type mutation struct {
	*Injector
	request  Request
	pod      *corev1.Pod    // the user's pod: base, decoded
	incoming *jsontree.Node // the pod of the request
	base     *jsontree.Node // the pod without an earlier injection
	tree     *jsontree.Node // the pod after the steps so far
	prior    *status        // what the earlier injection recorded, if any
	again    bool           // the earlier injection was with the same overlays
	resolved *resolved
	overlays []*overlay
	user     overrides // the user's versions of injected containers
	assigned bool      // OpenShift set the uid of the pod's own istio-proxy container

	exempt    *exemption   // of exemptsGroup; may be nil
	misplaced []string     // containers of the user's that cannot override the injected ones of their names
	problems  problem.List // of the pod with what is injected
}

// exemption is what exemptsGroup returned last: several checks ask for the same.
type exemption struct {
	args    *jsontree.Node
	gid     int64
	exempts bool
}

func (m *mutation) annotate(name, value string) {
	annotations := m.tree.At("metadata", "annotations")
	if old := annotations.Get(name); old != nil && old.Text() == value {
		return
	}
	m.tree = m.tree.Put(jsontree.NewString(value), "metadata", "annotations", name)
}

// injects reports whether the templates add an item of one of injectedLists.
func (m *mutation) injects(list, name string) bool {
	for _, o := range m.overlays {
		if slices.Contains(o.names[list], name) {
			return true
		}
	}
	return false
}

func (m *mutation) namespace() string {
	if m.request.Namespace != "" {
		return m.request.Namespace
	}
	return m.pod.Namespace
}

// templateData adds the pod to what templates see.
func (m *mutation) templateData() templateData {
	data := m.data(m.resolved.settings)
	owner := ownerOf(m.pod, m.request)
	data.TypeMeta = metav1.TypeMeta{APIVersion: owner.APIVersion, Kind: owner.Kind}
	data.DeploymentMeta = types.NamespacedName{Name: owner.Name, Namespace: m.namespace()}
	data.ObjectMeta, data.Spec = m.pod.ObjectMeta, m.pod.Spec
	data.ObjectMeta.Annotations = resolvedAnnotations(m.pod.Annotations, m.resolved.settings)
	return data
}
