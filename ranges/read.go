package ranges

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// Document is one thing an administrator pasted, or one answer of a cluster.
type Document struct {
	Name string // for messages: a file name, "standard input", "servicecidr/kubernetes"
	Text string
	// Answer marks what a program has from an API: its lines mean nothing to a
	// person, and are not named.
	Answer bool
}

// Read takes the evidence out of documents. The error is an *Error with every
// problem of every document: text that is cut off, ranges that are none.
// A document of no known kind is no error, but a warning.
func Read(docs []Document) (*Facts, error) {
	r := reader{facts: &Facts{}}
	for _, d := range docs {
		r.document(d)
	}
	r.settle()
	if len(r.problems) > 0 {
		return nil, &Error{Problems: r.problems}
	}
	return r.facts, nil
}

// reader collects what the documents say.
type reader struct {
	facts    *Facts
	problems []Problem
	doc      string
	root     int // the object being read
	shift    int // lines before a document inside a document
	clusters int // descriptions of a whole cluster, by its provider
	answer   bool
	vpc      bool // the VPC plugin of Amazon runs
}

func (r *reader) document(d Document) {
	r.doc, r.answer = d.Name, d.Answer
	chunks, problems := load(d)
	r.problems = append(r.problems, problems...)
	known := len(problems) > 0
	for _, c := range chunks {
		r.root++
		switch {
		case c.value != nil:
			known = r.object(c.value, "") || r.loose(c) || known
		case r.lines(c):
			known = true
		case c.fault != nil && structured(c.lines):
			r.problems = append(r.problems, *c.fault)
			known = true
		}
	}
	if known {
		r.facts.read++
		return
	}
	r.facts.warn("%s: no document of a known kind; nothing was taken from it", d.Name)
}

// loose reads a value that is no document by itself as the text it is: flags,
// the words of an error, what grep found.
func (r *reader) loose(c chunk) bool {
	switch n := c.value; {
	case n.flat() || flatList(n):
		return r.lines(c)
	case n.hasKey("kind") || n.hasKey("apiVersion"):
		return false
	}
	return r.flags(c)
}

var topLevel = regexp.MustCompile(`^(apiVersion|kind):|^\s*["']?(apiVersion|kind)["']\s*:|^\{|^\[[\s{"]*$`)

// structured reports text that was meant to be YAML or JSON.
func structured(lines []string) bool {
	for _, l := range lines {
		if topLevel.MatchString(l) {
			return true
		}
	}
	return false
}

// inner reads a document inside a document: a key of a ConfigMap.
func (r *reader) inner(n *node, base string) bool {
	if n.str() == "" {
		return false
	}
	shift := r.shift
	r.shift += n.line - 1
	if n.block {
		r.shift++
	}
	defer func() { r.shift = shift }()
	chunks, problems := load(Document{Name: r.doc, Text: n.text})
	known := false
	for _, p := range problems {
		r.problem(&node{line: p.Where.Line}, base, p.Rule, p.Fix)
	}
	for _, c := range chunks {
		if c.value != nil {
			known = r.object(c.value, base) || known
		} else if c.fault != nil {
			r.problem(&node{line: c.fault.Where.Line}, base, c.fault.Rule, c.fault.Fix)
		}
	}
	return known || len(problems) > 0
}

func (r *reader) place(n *node, path string) Place {
	p := Place{Document: r.doc, Path: path}
	if n != nil && n.line > 0 && !r.answer {
		p.Line = n.line + r.shift
	}
	return p
}

func (r *reader) problem(n *node, path, rule, fix string) {
	r.problems = append(r.problems, Problem{Where: r.place(n, path), Value: n.str(), Rule: rule, Fix: fix})
}

// object reads one value and reports whether it is of a known kind.
func (r *reader) object(n *node, base string) bool {
	if n.shape == list {
		return r.objects(n, base)
	}
	if n.shape != mapping {
		return false
	}
	if kind, version := n.get("kind").str(), n.get("apiVersion").str(); kind != "" && version != "" {
		return r.kube(kind, apiGroup(version), n, base)
	}
	for i := range docKinds {
		if k := &docKinds[i]; k.is != nil && k.is(n) {
			r.describe(k, n, base)
			return true
		}
	}
	for _, w := range wrappers {
		if in := n.get(w); in != nil && (in.shape == mapping || in.shape == list) && r.object(in, join(base, w)) {
			return true
		}
	}
	return n.flat() && r.keys(n, base)
}

// wrappers are the fields that some tools put around what they were asked for.
var wrappers = []string{"cluster", "kubernetes_cluster", "kubernetes_clusters", "Response", "Clusters", "clusters", "data", "resources", "valid", "Config"}

// objects reads the elements of a list. Descriptions of several clusters in one
// list are refused: nobody said which is meant.
func (r *reader) objects(n *node, base string) bool {
	known, before := false, r.clusters
	for i, item := range n.items {
		r.root++
		known = r.object(item, fmt.Sprintf("%s[%d]", base, i)) || known
	}
	if many := r.clusters - before; many > 1 {
		r.problem(n, base, fmt.Sprintf("a list of %d clusters", many), "give the one that is meant")
	}
	return known
}

// apiGroup is the API group of an apiVersion; "" for the core group.
func apiGroup(version string) string {
	g, _, ok := strings.Cut(version, "/")
	if !ok {
		return ""
	}
	return g
}

// describe reads a document by the paths of its kind.
func (r *reader) describe(k *docKind, n *node, base string) {
	service := source{k.name, rankConfig, Claimed, true}
	pod := source{k.name, rankPodConfig, Claimed, true}
	if k.provider {
		r.clusters++
		service = source{k.name, rankProvider, Complete, true}
		pod = service
	}
	if k.platform != "" {
		r.signal(k.platform, k.name)
	}
	before := len(r.facts.Evidence)
	r.paths(Service, service, n, base, k.service)
	r.paths(Pod, pod, n, base, k.pod)
	if k.defaults != nil {
		r.fill(before, k, n, base)
	}
	if k.more != nil {
		k.more(r, n, base)
	}
}

// fill adds what the tool puts in where the document says nothing of a kind.
func (r *reader) fill(before int, k *docKind, n *node, base string) {
	service, pod := k.defaults(n)
	for i, value := range []string{service, pod} {
		kind := []Kind{Service, Pod}[i]
		have := false
		for _, e := range r.facts.Evidence[before:] {
			have = have || e.Kind == kind
		}
		if have || value == "" {
			continue
		}
		src := source{k.name + ", default of a field left out", rankChecked, Assumed, true}
		if kind == Pod {
			src.rank = rankPodChecked
		}
		r.add(kind, src, value, r.place(n, base))
	}
}

// paths takes every value at the paths.
func (r *reader) paths(kind Kind, src source, n *node, base string, paths []string) {
	for _, p := range paths {
		for _, f := range n.find(p, base) {
			r.take(kind, src, f)
		}
	}
}

var requestForm = regexp.MustCompile(`^/\d+$`)

// take makes evidence of a value that its path says is a range.
func (r *reader) take(kind Kind, src source, f found) {
	value := strings.TrimSpace(f.node.text)
	switch {
	case value == "" || value == "null" || value == "None" || value == "<none>" || value == "<nil>":
		return
	case requestForm.MatchString(value):
		r.facts.warn("%s: %q asks for a range of this size and does not say which it became", r.place(f.node, f.path), value)
		return
	case strings.Contains(value, "$(") || strings.Contains(value, "${") || strings.Contains(value, "{{"):
		r.facts.warn("%s: %q is filled in elsewhere; it is not read", r.place(f.node, f.path), clip(value))
		return
	}
	if rule, fix := r.add(kind, src, value, r.place(f.node, f.path)); rule != "" {
		r.problem(f.node, f.path, rule, fix)
	}
}

// add makes evidence of a value, for each family by itself, or says what is
// wrong with the value.
func (r *reader) add(kind Kind, src source, value string, where Place) (rule, fix string) {
	l, rule, fix := ranges(value)
	if rule != "" {
		return rule, fix
	}
	for _, part := range []struct {
		family Family
		list   cidr.List
	}{{IPv4, l.OnlyV4()}, {IPv6, l.OnlyV6()}} {
		if !part.list.IsEmpty() {
			r.facts.Evidence = append(r.facts.Evidence, Evidence{
				Kind: kind, Family: part.family, Ranges: part.list, Value: value, Source: src.name,
				Grade: src.grade, Where: where, rank: src.rank, whole: src.whole, root: r.root,
			})
		}
	}
	return "", ""
}

// ranges reads one or more ranges, or says what is wrong with them.
func ranges(value string) (l cidr.List, rule, fix string) {
	l, err := cidr.Parse(value, cidr.Options{})
	if ps := problem.Of(err); len(ps) > 0 {
		return l, ps[0].Rule, ps[0].Fix
	}
	for _, e := range strings.FieldsFunc(value, func(c rune) bool { return c == ',' || c == ' ' || c == '\t' || c == '\n' }) {
		if !strings.Contains(e, "/") {
			return l, "an address where a range belongs", "write a range such as 10.96.0.0/12"
		}
	}
	for _, p := range l.Prefixes() {
		if p.Bits() == 0 {
			return l, "a range of all addresses cannot be a cluster's own", "look the range up again"
		}
	}
	return l, "", ""
}
