package egress

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// Severity tells an error, which leaves a part out, from a warning.
type Severity = problem.Severity

// The severities.
const (
	SeverityError   = problem.Error
	SeverityWarning = problem.Warning
)

// The kinds of objects that problems are found in.
const (
	KindMesh           = "MeshConfig"
	KindServiceEntry   = "ServiceEntry"
	KindVirtualService = "VirtualService"
)

// Problem is one thing wrong with one object.
type Problem struct {
	Severity        Severity
	Kind            string // KindMesh, KindServiceEntry or KindVirtualService
	Namespace, Name string // empty for the mesh
	Path            string // spec.ports[0].number
	Value           string // as written
	Rule            string // what is wrong
	Fix             string // what to do
}

// String is the message on one line: object, path, value, rule, fix.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.Kind)
	if p.Name != "" {
		fmt.Fprintf(&b, " %s/%s", p.Namespace, p.Name)
	}
	b.WriteString(": " + p.Path + ": ")
	if p.Value != "" {
		fmt.Fprintf(&b, "%q: ", p.Value)
	}
	b.WriteString(p.Rule)
	if p.Fix != "" {
		b.WriteString("; " + p.Fix)
	}
	return b.String()
}

// Problems are sorted by kind, namespace and name; those of one object stand in
// the order of its fields.
type Problems []Problem

// Err is nil when there is no error, else all errors, one a line.
func (ps Problems) Err() error {
	var lines []string
	for _, p := range ps {
		if p.Severity == SeverityError {
			lines = append(lines, p.String())
		}
	}
	if lines == nil {
		return nil
	}
	return errors.New(strings.Join(lines, "\n"))
}

func (ps Problems) sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
}

// reporter collects the problems of one object.
type reporter struct {
	kind string
	meta Meta
	all  *Problems
}

// add notes a problem once: an endpoint, for one, is read for each host and port.
func (r reporter) add(severity Severity, path, value, rule, fix string) {
	p := Problem{severity, r.kind, r.meta.Namespace, r.meta.Name, clip(path, maxText), clip(value, maxText), rule, fix}
	for i := len(*r.all) - 1; i >= 0; i-- {
		q := (*r.all)[i]
		if q == p {
			return
		}
		if q.Name != p.Name || q.Namespace != p.Namespace || q.Kind != p.Kind {
			break // another object's
		}
	}
	*r.all = append(*r.all, p)
}

// maxText bounds a path and a value, in bytes: the name of a header may be as
// long as an object.
const maxText = 256

// clip shortens a text to a number of bytes.
func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// errors counts those of all objects so far.
func (r reporter) errors() int {
	n := 0
	for _, p := range *r.all {
		if p.Severity == SeverityError {
			n++
		}
	}
	return n
}

func (r reporter) error(path, value, rule, fix string) { r.add(SeverityError, path, value, rule, fix) }

func (r reporter) warn(path, value, rule, fix string) { r.add(SeverityWarning, path, value, rule, fix) }
