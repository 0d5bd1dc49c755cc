package egress

import (
	"github.com/outrider-mesh/outrider/internal/problem"
)

// Object is one state of an object: another generation of it is another Object. That
// of the mesh configuration is its access log, the only text of it that sidecars
// get.
type Object struct {
	Kind string
	Meta Meta
}

// Source is the source of the object's problems.
func (o Object) Source() string { return Source(o.Kind, o.Meta) }

// Rejection is an object that sidecars reject although it is valid.
type Rejection struct {
	Object Object
	Reason string // Envoy's
	// Sidecars reject the object, and are configured without it; Accepting have it.
	Sidecars, Accepting int
	Namespace           string // of a sidecar that rejects it
	// Disputed is set where the sidecars of one other namespace reject what others
	// accept.
	Disputed bool
}

// Same reports whether two rejections have the same problem.
func (r Rejection) Same(other Rejection) bool {
	r.Sidecars, r.Accepting = other.Sidecars, other.Accepting
	return r == other
}

// problem has no number of sidecars: a status that changes with each pod would be
// written all the time. A disputed one has no text that the sidecar chose.
func (r Rejection) problem() problem.Problem {
	if r.Disputed {
		return problem.Problem{
			Severity: problem.Warning, Type: problem.TypeRejected, Source: r.Object.Source(),
			Rule: "sidecars of namespace " + r.Namespace + " reject it and are configured without it; all others accept it",
			Fix:  "see the control plane's log",
		}
	}
	return problem.Problem{
		Type: problem.TypeRejected, Source: r.Object.Source(), Value: problem.Quote(r.Reason),
		Rule: "rejected by Envoy: sidecars are configured without this object", Fix: "correct what the message names; a changed object is tried again",
	}
}
