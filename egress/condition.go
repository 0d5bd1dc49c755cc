package egress

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// ConditionType is the condition of an object's status that says whether what
// it says is in force.
const ConditionType = "Accepted"

// The reasons of a condition.
const (
	ReasonAccepted = "Accepted" // nothing is wrong
	ReasonWarnings = "Warnings" // it is in force; a part has no effect, or another object comes before it
	ReasonInvalid  = "Invalid"  // what has an error is left out
)

// Condition is what became of one object, as a status tells it.
type Condition struct {
	Accepted        bool
	Reason, Message string
}

// maxCondition bounds a message and each line of it, in bytes: a status is stored with its object,
// of which etcd takes 1.5 MiB, and read by people.
const (
	maxCondition = 4000
	maxLine      = 1000 // of it, for one problem
)

// Condition puts the problems of one object in words, one a line, errors first.
func (ps Problems) Condition() Condition {
	c := Condition{Accepted: true, Reason: ReasonAccepted, Message: "in force"}
	var lines []string
	size, left := 0, 0
	sorted := slices.Clone(ps)
	slices.SortStableFunc(sorted, func(a, b Problem) int { return cmp.Compare(a.Severity, b.Severity) })
	for _, p := range sorted {
		if p.Severity == SeverityError {
			c.Accepted, c.Reason = false, ReasonInvalid
		} else if c.Accepted {
			c.Reason = ReasonWarnings
		}
		line := p.Severity.String() + ": " + clip(p.Finding(), maxLine)
		if size += len(line) + 1; size > maxCondition {
			left++
			continue
		}
		lines = append(lines, line)
	}
	if left > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", left))
	}
	if len(lines) > 0 {
		c.Message = strings.Join(lines, "\n")
	}
	return c
}

// Finding is the message without the object: path, value, rule, fix.
func (p Problem) Finding() string {
	p.Kind, p.Namespace, p.Name = "", "", ""
	return strings.TrimPrefix(p.String(), ": ")
}
