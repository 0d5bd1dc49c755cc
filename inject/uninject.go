package inject

import (
	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/jsontree"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// Uninjector removes injections, using the record in the status annotation. It needs
// no configuration: every injection records its changes.
type Uninjector struct{}

// reasonRemoved and reasonClean are the reasons of an Uninjector's decisions.
const (
	reasonRemoved Reason = "sidecar_removed"
	reasonClean   Reason = "not_injected"
)

// Inject returns the pod as it was before it was injected; Decision.Inject reports
// whether it was. The error is always an *Error.
func (Uninjector) Inject(r Request) (*Result, error) {
	pod, err := decodePod(r.Pod)
	if err != nil {
		return nil, err
	}
	text, ok := pod.Annotations[annotation.SidecarStatus]
	if !ok {
		return &Result{Decision: Decision{Reason: reasonClean, Sentence: "not injected: annotation " + annotation.SidecarStatus + " is not set"}}, nil
	}
	s := parseStatus(text)
	if s == nil {
		return nil, reject(RejectedPod, problem.Invalid(annotation.Path(annotation.SidecarStatus, false), "",
			"not a valid record of an injection, so its changes are unknown", "remove the sidecar manually, or inject the file again first, which rewrites the annotation"))
	}
	incoming := jsontree.Parse(string(r.Pod))
	stripped := s.strip(incoming, parseOverrides(pod.Annotations[annotation.ProxyOverrides]))
	out := &Result{Decision: Decision{Inject: true, Reason: reasonRemoved, Sentence: "sidecar removed"}, tree: stripped}
	if len(s.Templates) == 0 {
		out.Warnings = warning("", "injected by Istio, which records containers and volumes only: labels and annotations added by Istio are kept", "")
	}
	out.Patch = jsontree.Diff(incoming, stripped)
	return out, nil
}
