package cidr

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// Parse reads a list in Istio's grammar: prefixes separated by commas, or "*"
// alone, or nothing. Where the intent is plain it is tolerant: white space
// (also as separator), empty elements, bare addresses, host bits,
// IPv4-mapped IPv6. Anything else is an error, a problem.List of the bad elements
// in the order of the input: Path is "element N", Value the element. After
// maxProblems it counts the others.
func Parse(value string, o Options) (List, error) {
	var (
		prefixes []netip.Prefix
		names    []string
		found    elements
	)
	for i, e := range Elements(value) {
		switch {
		case e == "*":
			found.wildcards = append(found.wildcards, i)
		case isName(e) && o.AllowNames:
			names = append(names, e)
		default:
			p, ok := readRange(e)
			switch {
			case ok:
				prefixes = append(prefixes, p)
			case found.room():
				found.add(i, e, diagnose(e, o))
			}
		}
	}
	wildcard := problem.Conflict("", "", "ranges", `use "*" alone, or only the ranges`)
	if !o.AllowWildcard {
		wildcard = noWildcard(o.WildcardFix)
	}
	switch {
	case o.AllowWildcard && found.onlyWildcard(len(prefixes)+len(names)):
		return Wildcard(), nil
	case len(found.bad)+len(found.wildcards) > 0:
		return List{}, found.list(wildcard)
	}
	l := FromPrefixes(prefixes...)
	l.names = normalNames(names)
	return l, nil
}

func noWildcard(fix string) problem.Problem {
	return problem.Invalid("", "", "wildcard is not allowed here", fix)
}

// elements are the bad elements of a list. Whether "*" is one of them shows only
// at the end of the list.
type elements struct {
	bad       []element
	more      int   // bad elements beyond maxProblems
	wildcards []int // indexes in the list
}

// maxProblems bounds the work for a list: an annotation may hold 100,000 elements.
const maxProblems = 10

type element struct {
	index   int // in the list
	problem problem.Problem
}

// room reports whether another bad element is to be added; otherwise it counts it.
func (e *elements) room() bool {
	if len(e.bad) < maxProblems {
		return true
	}
	e.more++
	return false
}

func (e *elements) add(index int, text string, p problem.Problem) {
	p.Path, p.Value = "element "+strconv.Itoa(index+1), problem.Quote(text)
	e.bad = append(e.bad, element{index, p})
}

// onlyWildcard reports a list of "*" and nothing else; good counts its good
// elements.
func (e *elements) onlyWildcard(good int) bool {
	return len(e.wildcards) > 0 && good+len(e.bad) == 0
}

// list is the problems in the order of the input; wildcard is that of each "*".
func (e *elements) list(wildcard problem.Problem) problem.List {
	for _, i := range e.wildcards {
		if e.room() {
			e.add(i, "*", wildcard)
		}
	}
	slices.SortFunc(e.bad, func(a, b element) int { return a.index - b.index })
	var out problem.List
	for _, b := range e.bad {
		out.Add(b.problem)
	}
	if e.more > 0 {
		out.Add(problem.Invalid("", "", fmt.Sprintf("%d more invalid elements", e.more), ""))
	}
	return out
}

// Names are the names in a value, sorted, even if the value is invalid.
func Names(value string) []string {
	var names []string
	for _, e := range Elements(value) {
		if isName(e) {
			names = append(names, e)
		}
	}
	return normalNames(names)
}
