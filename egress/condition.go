package egress

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// ConditionType is the type of the condition in an object's status: whether its
// configuration is active.
const ConditionType = "Accepted"

// The reasons of a condition.
const (
	ReasonAccepted = "Accepted"        // no problems
	ReasonWarnings = "Warnings"        // active; a part has no effect, or another object takes precedence
	ReasonInvalid  = "Invalid"         // parts with an error are ignored
	ReasonRejected = "RejectedByEnvoy" // valid; sidecars reject it and are configured without it
	// ReasonOverBudget: the object, or its namespace with it, exceeds a limit, and the
	// object is ignored.
	ReasonOverBudget = "OverBudget"
)

// Condition is the condition of one object.
type Condition struct {
	Accepted        bool
	Reason, Message string
}

// maxCondition bounds a message and each line of it, in bytes: a status is stored
// with its object, which etcd limits to 1.5 MiB, and is read by people.
const (
	maxCondition = 4000
	maxLine      = 1000 // for one problem
)

// ConditionOf is the condition for the problems of one object: one line each,
// errors first.
func ConditionOf(ps problem.List) Condition {
	c := Condition{Accepted: true, Reason: ReasonAccepted, Message: "accepted"}
	var lines []string
	size, more := 0, 0
	sorted := slices.Clone(ps)
	slices.SortStableFunc(sorted, func(a, b problem.Problem) int { return cmp.Compare(a.Severity, b.Severity) })
	for _, p := range sorted {
		if p.Severity == problem.Error {
			c.Accepted = false
			switch {
			case p.Type == problem.TypeRejected:
				c.Reason = ReasonRejected
			case p.Type == problem.TypeOverBudget:
				c.Reason = ReasonOverBudget
			case c.Reason != ReasonRejected:
				c.Reason = ReasonInvalid
			}
		} else if c.Accepted {
			c.Reason = ReasonWarnings
		}
		line := p.Severity.String() + ": " + problem.Clip(p.Finding(), maxLine)
		if size += len(line) + 1; size > maxCondition {
			more++
			continue
		}
		lines = append(lines, line)
	}
	if more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	if len(lines) > 0 {
		c.Message = strings.Join(lines, "\n")
	}
	return c
}
