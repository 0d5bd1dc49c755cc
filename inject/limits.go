package inject

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/jsontree"
	"github.com/outrider-mesh/outrider/internal/problem"

	corev1 "k8s.io/api/core/v1"
)

// limited are the resources that annotations set.
var limited = [...]struct {
	what                      corev1.ResourceName
	request, limit            string // settings
	annotated, limitAnnotated string
}{
	{corev1.ResourceCPU, "proxyCPU", "proxyCPULimit", annotation.ProxyCPU, annotation.ProxyCPULimit},
	{corev1.ResourceMemory, "proxyMemory", "proxyMemoryLimit", annotation.ProxyMemory, annotation.ProxyMemoryLimit},
}

// checkLimits: one annotation may contradict a limit that the container has from
// elsewhere; the API server would reject the pod with a message about a container
// its author did not write, so the problem is reported here, with the
// annotation's name. The container itself counts: a template may set no limit,
// and the pod's own container may set another.
func (m *mutation) checkLimits() {
	if !m.resolved.setsResources && !m.user.has(proxyContainerName) {
		return // as the configuration is checked
	}
	for _, list := range []string{"initContainers", "containers"} {
		items := m.tree.At("spec", list).Items()
		if at := indexOfName(items, proxyContainerName); at >= 0 {
			m.problems.Add(m.overLimit(items[at].Get("resources"))...)
		}
	}
}

// overLimit are the requests above their limits in a container's resources.
func (m *mutation) overLimit(resources *jsontree.Node) (found problem.List) {
	for _, l := range limited {
		request, okRequest := parsedQuantity(resources.At("requests", string(l.what)))
		limit, okLimit := parsedQuantity(resources.At("limits", string(l.what)))
		if !okRequest || !okLimit || request.Cmp(limit) <= 0 {
			continue
		}
		s := m.resolved.settings
		fromRequest, fromLimit := m.sourceOf(s.Setting(l.request), request), m.sourceOf(s.Setting(l.limit), limit)
		path, value := annotation.Path(l.annotated, false), request.String()
		rule := fmt.Sprintf("must be less than or equal to %s %s (%s)", l.limit, limit.String(), fromLimit)
		fix := fmt.Sprintf("set both annotations %s and %s", l.annotated, l.limitAnnotated)
		switch {
		case fromRequest == fromAnnotation(l.annotated):
		case fromLimit == fromAnnotation(l.limitAnnotated):
			path, value = annotation.Path(l.limitAnnotated, false), limit.String()
			rule = fmt.Sprintf("must be greater than or equal to %s %s (%s)", l.request, request.String(), fromRequest)
		default:
			path = "container istio-proxy: resources.requests." + string(l.what)
			if c, ok := m.container(proxyContainerName); ok {
				path = c.path("resources.requests." + string(l.what))
			}
			fix = "lower the request or raise the limit"
		}
		found.Add(problem.Invalid(path, value, rule, fix))
	}
	return found
}

// sourceOf is where a quantity of the container comes from.
func (m *mutation) sourceOf(s Setting, q resource.Quantity) Source {
	if set, err := resource.ParseQuantity(s.Value); err == nil && set.Cmp(q) == 0 {
		return s.Source
	}
	if m.user.has(proxyContainerName) {
		return SourceContainer
	}
	return sourceTemplate
}

// parsedQuantity reads a quantity, which JSON has as a string or a number.
func parsedQuantity(n *jsontree.Node) (resource.Quantity, bool) {
	if n == nil {
		return resource.Quantity{}, false
	}
	q, err := resource.ParseQuantity(textOf(n).Text())
	return q, err == nil
}
