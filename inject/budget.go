package inject

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/outrider-mesh/outrider/internal/jsontree"

	corev1 "k8s.io/api/core/v1"
)

// growBudget adds what is injected to the pod's own resources, spec.resources: the API
// server rejects a pod whose containers request more than the pod, and the applications
// keep what they had. Where the earlier injection is kept, so is what it added.
func (m *mutation) growBudget() error {
	if m.again || m.pod.Spec.Resources == nil {
		return nil
	}
	pod, err := decodePod([]byte(m.tree.JSON()))
	if err != nil || pod.Spec.Resources == nil {
		return err
	}
	before, after := usageOf(&m.pod.Spec), usageOf(&pod.Spec)
	own := pod.Spec.Resources
	requests := requestsOf(m.pod.Spec.Resources, own, before)
	for _, name := range slices.Sorted(maps.Keys(requests)) {
		old := requests[name]
		grown := added(old, before.requests[name], after.requests[name])
		if most := after.most[name]; before.atMost(name, old) && most.Cmp(grown) > 0 {
			grown = most // of the init container, before anything else runs
		}
		m.setBudget("requests", name, own.Requests, grown)
		requests[name] = grown
	}
	for _, name := range slices.Sorted(maps.Keys(m.pod.Spec.Resources.Limits)) {
		grown := added(own.Limits[name], before.limits[name], after.limits[name])
		if request := requests[name]; request.Cmp(grown) > 0 && own.Limits != nil {
			grown = request
		}
		m.setBudget("limits", name, own.Limits, grown)
	}
	return nil
}

// requestsOf are the pod's requests, with those that the API server sets: a limit without
// a request is the request too, unless containers request the resource. Then the server
// adds up those of the injected pod.
func requestsOf(user, own *corev1.ResourceRequirements, before usage) corev1.ResourceList {
	out := corev1.ResourceList{}
	for name := range user.Requests {
		out[name] = own.Requests[name]
	}
	for name := range user.Limits {
		if _, ok := out[name]; ok {
			continue
		}
		if _, ok := before.most[name]; !ok {
			out[name] = own.Limits[name]
		}
	}
	return out
}

// added is a quantity with what the containers use more than before.
func added(old, before, after resource.Quantity) resource.Quantity {
	after.Sub(before)
	if after.Sign() <= 0 {
		return old
	}
	sum := old.DeepCopy()
	sum.Add(after)
	return sum
}

func (m *mutation) setBudget(list string, name corev1.ResourceName, had corev1.ResourceList, want resource.Quantity) {
	if old, ok := had[name]; ok && old.Cmp(want) == 0 {
		return
	}
	m.tree = m.tree.Put(jsontree.NewString(want.String()), "spec", "resources", list, string(name))
}

// usage is what the containers of a pod use.
type usage struct {
	requests corev1.ResourceList // of the containers that run as long as the pod, together
	limits   corev1.ResourceList // of the same; of one without a limit its request
	most     corev1.ResourceList // requested at any time, as the API server adds it up
}

// atMost reports whether the containers request no more than a quantity.
func (u usage) atMost(name corev1.ResourceName, of resource.Quantity) bool {
	most := u.most[name]
	return most.Cmp(of) <= 0
}

func usageOf(spec *corev1.PodSpec) usage {
	u := usage{corev1.ResourceList{}, corev1.ResourceList{}, corev1.ResourceList{}}
	for i := range spec.Containers {
		u.runs(&spec.Containers[i].Resources)
	}
	inits, sidecars := corev1.ResourceList{}, corev1.ResourceList{}
	for i := range spec.InitContainers {
		c := container{&spec.InitContainers[i], "initContainers", i}
		requests := requestsOfContainer(&c.Resources)
		if c.lasts() {
			u.runs(&c.Resources)
			addTo(sidecars, requests)
			requests = sidecars
		} else {
			addTo(requests, sidecars) // those that run already
		}
		raise(inits, requests)
	}
	raise(u.most, u.requests)
	raise(u.most, inits)
	return u
}

// runs adds a container that runs as long as the pod.
func (u usage) runs(r *corev1.ResourceRequirements) {
	requests := requestsOfContainer(r)
	addTo(u.requests, requests)
	limits := maps.Clone(requests)
	maps.Copy(limits, r.Limits)
	addTo(u.limits, limits)
}

// requestsOfContainer: the API server uses a limit as the request where there is none.
func requestsOfContainer(r *corev1.ResourceRequirements) corev1.ResourceList {
	out := corev1.ResourceList{}
	maps.Copy(out, r.Limits)
	maps.Copy(out, r.Requests)
	return out
}

func addTo(sum, list corev1.ResourceList) {
	for name, q := range list {
		total := sum[name].DeepCopy()
		total.Add(q)
		sum[name] = total
	}
}

func raise(most, list corev1.ResourceList) {
	for name, q := range list {
		if old, ok := most[name]; !ok || q.Cmp(old) > 0 {
			most[name] = q
		}
	}
}
