package inject

import (
	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/jsontree"
)

// Uninjector takes injections back, by the record in the status annotation. It
// needs no configuration: what an injection changed, it recorded.
type Uninjector struct{}

// reasonTaken and reasonClean are the reasons of an Uninjector's decisions.
const (
	reasonTaken Reason = "injection_taken_back"
	reasonClean Reason = "not_injected"
)

// Inject returns the pod as it was before it was injected; Decision.Inject says
// whether it was. The error is always an *Error.
func (Uninjector) Inject(r Request) (*Result, error) {
	pod, err := decodePod(r.Pod)
	if err != nil {
		return nil, err
	}
	text, ok := pod.Annotations[annotation.SidecarStatus]
	if !ok {
		return &Result{Decision: Decision{Reason: reasonClean, Sentence: "it was not injected: there is no annotation " + annotation.SidecarStatus}, came: r.Pod}, nil
	}
	s := parseStatus(text)
	if s == nil {
		return nil, refuse(RefusedPod, "annotation "+quoted(annotation.SidecarStatus)+": cannot be read, so what the injection changed is not known; "+
			"take the sidecar out by hand, or inject the file again first, which writes the annotation anew")
	}
	incoming := jsontree.Parse(string(r.Pod))
	stripped := s.strip(incoming, parseOverrides(pod.Annotations[annotation.ProxyOverrides]))
	out := &Result{Decision: Decision{Inject: true, Reason: reasonTaken, Sentence: "its injection is taken back"}, came: r.Pod, tree: stripped}
	if len(s.Templates) == 0 {
		out.Warnings = []string{"it was injected by Istio, which records containers and volumes only: what else it added (labels, annotations) stays"}
	}
	out.Patch = operations(jsontree.Diff(incoming, stripped))
	return out, nil
}
