package inject

import (
	"slices"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/jsontree"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// Inject decides about one pod and, if it is to be injected, does so. The error
// is always an *Error.
func (i *Injector) Inject(r Request) (*Result, error) {
	pod, err := r.decoded()
	if err != nil {
		return nil, err
	}
	decision := decide(pod, r.Namespace, &i.cfg.Injection)
	invalid, warnings := annotation.Check(pod.Annotations, pod.Labels)
	if !decision.Inject {
		return &Result{Decision: decision, Metadata: &pod.ObjectMeta, Warnings: append(skipWarnings(warnings), i.warnSkipped(pod, decision)...)}, nil
	}
	if len(invalid) > 0 {
		return nil, rejectAnnotations(invalid, i.names.unresolvedNames(pod.Annotations))
	}
	m := &mutation{Injector: i, request: r, pod: pod, incoming: r.tree()}
	for _, step := range mutators {
		if err := step(m); err != nil {
			return nil, err
		}
	}
	out := m.result(decision, warnings)
	out.Metadata = &pod.ObjectMeta
	return out, nil
}

func rejectAnnotations(problems, unresolved problem.List) *Error {
	return &Error{Code: RejectedAnnotation, Problems: slices.Concat(problems, unresolved)}
}

// mutators are the steps of an injection, in order. Each leaves m.tree a valid pod.
var mutators = []func(*mutation) error{
	(*mutation).strip,               // the earlier injection: all below starts from the user's pod
	(*mutation).resolve,             // settings and overlays, by annotations the user wrote
	(*mutation).checkOwn,            // all problems are reported together, by the check of the outcome
	(*mutation).setUserAside,        // the user's own istio-proxy must not be mixed with ours
	(*mutation).merge,               // the templates, in order
	(*mutation).reapplyUser,         // the user's changes to our containers take precedence
	(*mutation).injectedAnnotations, // the admin's annotations for every injected pod
	(*mutation).defaultContainer,    // kubectl should open the application, not the sidecar
	(*mutation).order,               // what starts before what
	(*mutation).checkOutcome,        // what the API server would reject
	(*mutation).growBudget,          // the pod's own resources, by what the containers above request
	(*mutation).status,              // last: it records what the steps above did
}

func (m *mutation) result(d Decision, warnings problem.List) *Result {
	r := &Result{Decision: d, Settings: m.resolved.settings, Warnings: m.warnings(warnings)}
	ops := jsontree.Diff(m.incoming, m.tree)
	if len(ops) == 0 {
		return r
	}
	r.Patch, r.tree = ops, m.tree
	return r
}
