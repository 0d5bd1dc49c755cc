package ranges

import (
	"net/netip"
	"regexp"
	"strings"

	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// reader collects the content of documents.
type reader struct {
	data     *ClusterData
	problems problem.List
	doc      string
	root     int // the object being read
	shift    int // lines before a document inside a document
	clusters int // descriptions of a whole cluster, by its provider
	answer   bool
	vpc      bool // the VPC plugin of Amazon runs
}

func (r *reader) place(n *document.Node, path string) Place {
	p := Place{Document: r.doc, Path: path}
	if n != nil && n.Line > 0 && !r.answer {
		p.Line = n.Line + r.shift
	}
	return p
}

func (r *reader) invalid(n *document.Node, path, rule, fix string) {
	r.problems.Add(r.place(n, path).locate(problem.List{problem.Invalid("", n.Str(), rule, fix)})...)
}

func (r *reader) signal(platform, what string) {
	for _, s := range r.data.signals {
		if s.platform == platform {
			return
		}
	}
	r.data.signals = append(r.data.signals, signal{platform, what})
}

// leave notes what a document leaves open.
func (r *reader) addGap(g gap, n *document.Node, path string) {
	g.where, g.root = r.place(n, path), r.root
	r.data.gaps = append(r.data.gaps, g)
}

func (r *reader) native(why string) {
	for _, have := range r.data.native {
		if have == why {
			return
		}
	}
	r.data.native = append(r.data.native, why)
}

// paths takes every value at the paths.
func (r *reader) paths(kind Kind, src source, n *document.Node, base string, paths []string) {
	for _, p := range paths {
		for _, f := range find(n, p, base) {
			r.take(kind, src, f)
		}
	}
}

// under is each path as it is, and below each of the prefixes.
func under(paths []string, prefixes ...string) []string {
	out := paths
	for _, prefix := range prefixes {
		for _, p := range paths {
			out = append(out[:len(out):len(out)], prefix+"."+p)
		}
	}
	return out
}

var requestForm = regexp.MustCompile(`^/\d+$`)

// take makes evidence of a value whose path is that of a range.
func (r *reader) take(kind Kind, src source, f found) {
	value := strings.TrimSpace(f.node.Text)
	switch {
	case value == "" || value == "null" || value == "None" || value == "<none>" || value == "<nil>":
		return
	case requestForm.MatchString(value):
		r.data.warn("%s: %q requests a size, not a CIDR; ignored", r.place(f.node, f.path), value)
		return
	case strings.Contains(value, "$(") || strings.Contains(value, "${") || strings.Contains(value, "{{"):
		r.data.warn("%s: %q is a placeholder; ignored", r.place(f.node, f.path), problem.Short(value))
		return
	}
	r.problems.Add(r.add(kind, src, value, r.place(f.node, f.path))...)
}

// add makes evidence of a value, for each family by itself, or returns what is
// wrong with the value.
func (r *reader) add(kind Kind, src source, value string, where Place) problem.List {
	l, problems := ranges(value)
	if len(problems) > 0 {
		return where.locate(problems)
	}
	for _, part := range []struct {
		family Family
		list   cidr.List
	}{{IPv4, l.OnlyV4()}, {IPv6, l.OnlyV6()}} {
		if !part.list.IsEmpty() {
			r.data.Evidence = append(r.data.Evidence, Evidence{
				Kind: kind, Family: part.family, Ranges: part.list, Value: value, Source: src.name,
				Grade: src.grade, Where: where, rank: src.rank, whole: src.whole, root: r.root,
			})
		}
	}
	return nil
}

// ranges reads one or more ranges, or returns what is wrong with them.
func ranges(value string) (cidr.List, problem.List) {
	l, err := cidr.Parse(value, cidr.Options{})
	if err != nil {
		return l, problem.Of(err)
	}
	var problems problem.List
	for _, e := range strings.FieldsFunc(value, func(c rune) bool { return c == ',' || c == ' ' || c == '\t' || c == '\n' }) {
		if !strings.Contains(e, "/") {
			problems.Add(problem.Invalid("", e, "expected a CIDR", "use a range such as 10.96.0.0/12"))
		}
	}
	for _, p := range l.Prefixes() {
		if p.Bits() == 0 {
			problems.Add(problem.Invalid("", p.String(), "cannot be a cluster range", "check the value"))
		}
	}
	return l, problems
}

// addresses adds those of values that are addresses, once each.
func addresses(to []Address, values []string, what string) []Address {
	from := len(to)
	for _, v := range values {
		a, err := netip.ParseAddr(v)
		if err != nil {
			continue
		}
		dup := false
		for _, have := range to[from:] {
			dup = dup || have.Addr == a.Unmap()
		}
		if !dup {
			to = append(to, Address{a.Unmap(), what})
		}
	}
	return to
}
