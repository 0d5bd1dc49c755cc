package inject

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// ReviewWorkload returns the warnings about the pods of a workload, for the user
// applying it, who never sees the pods' own. It runs the same functions on the
// pod template. namespace and its annotations are those of the request.
func (i *Injector) ReviewWorkload(object []byte, namespace string, namespaceAnnotations map[string]string) problem.List {
	t, ok, err := FindTemplate(object)
	if err != nil {
		return ProblemsOf(err).AsWarnings()
	}
	if !ok {
		return nil
	}
	return i.Review(&t, namespace, namespaceAnnotations)
}

// Review is ReviewWorkload for a template that was found already; nil for a pod.
func (i *Injector) Review(t *Template, namespace string, namespaceAnnotations map[string]string) problem.List {
	if t.Pointer == "" {
		return nil
	}
	place := annotation.CheckPlace(annotation.OnWorkload, t.Owner.Kind, t.Annotations, t.Labels)
	result, err := i.Inject(Request{Pod: t.Pod, Namespace: namespace, NamespaceAnnotations: namespaceAnnotations, Owner: t.Owner, Claims: t.Claims})
	if err != nil {
		var out problem.List
		for _, p := range ProblemsOf(err) {
			out.Add(denied(p))
		}
		return append(out, place.WorstFirst()...)
	}
	return slices.Concat(result.Warnings, place, ineffective(result.Decision, t)).WorstFirst()
}

// podsDenied is the path of a problem of a workload's pods, or comes before it.
const podsDenied = "pods will be denied"

// denied is a problem of a workload's pods.
func denied(p problem.Problem) problem.Problem {
	if p.Path == "" {
		p.Path = podsDenied
	} else {
		p.Path = podsDenied + ": " + p.Path
	}
	return p.AsWarning()
}

// PodsDenied reports whether a problem of Review is an error of the workload's pods, and
// returns its path in the pod, or that of another problem as it is.
func PodsDenied(p problem.Problem) (path string, denied bool) {
	path, denied = strings.CutPrefix(p.Path, podsDenied)
	return strings.TrimPrefix(path, ": "), denied
}

// ineffective warns about a setting of pods that are skipped by other rules.
func ineffective(d Decision, t *Template) problem.List {
	if d.Inject || d.Reason == ReasonLabelFalse || d.Reason == ReasonAnnotationFalse {
		return nil
	}
	var pod struct {
		Metadata struct {
			Annotations map[string]string `json:"annotations"`
			Labels      map[string]string `json:"labels"`
		} `json:"metadata"`
	}
	if json.Unmarshal(t.Pod, &pod) != nil {
		return nil
	}
	for _, name := range slices.Sorted(keysOf(pod.Metadata.Annotations, pod.Metadata.Labels)) {
		if row, ok := annotation.Lookup(name); ok && row.Support == annotation.Supported && row.Places&annotation.OnPod != 0 {
			_, isAnnotation := pod.Metadata.Annotations[name]
			return problem.List{problem.NoEffect(annotation.Path(name, !isAnnotation), "", "pods are not injected: "+d.Sentence, "")}
		}
	}
	return nil
}

func keysOf(maps ...map[string]string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, m := range maps {
			for k := range m {
				if !yield(k) {
					return
				}
			}
		}
	}
}
