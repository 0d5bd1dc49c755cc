package egress

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// pattern is an entry of egress[].hosts of a Sidecar: NAMESPACE/DNSNAME.
type pattern struct {
	namespace string // exportOwn is the workload's, exportAll any
	name      string // a host, *.example.com, or * for all
	path      string // spec.egress[0].hosts[0]
	excludes  bool
}

func (p pattern) String() string { return p.namespace + "/" + p.name }

// fixPattern is the fix for an entry that has no other.
const fixPattern = `use NAMESPACE/DNSNAME, such as "./*", "*/*.example.com" or "~bank/*"`

// readPattern reads an entry.
func readPattern(text, path string) (p pattern, fault problem.Problem) {
	namespace, name, found := strings.Cut(text, "/")
	p.path = path
	namespace, p.excludes = strings.CutPrefix(namespace, exportNone)
	if !found {
		fix := fixPattern
		if _, rule := patternName(text); rule == "" {
			fix = fmt.Sprintf(`use "*/%s", or "./%s" for the namespace of the workload`, text, text)
		}
		return p, problem.Invalid(path, text, "must be a namespace and a host, with a slash between them", fix)
	}
	if p.namespace = namespace; namespace == "" && p.excludes {
		p.namespace = exportAll
	}
	if p.namespace != exportAll && p.namespace != exportOwn && len(validation.IsDNS1123Label(p.namespace)) > 0 {
		return p, problem.Invalid(path, text, `the namespace must be ".", "*", "~" or a name, which "~" excludes`, fixPattern)
	}
	rule := ""
	if p.name, rule = patternName(name); rule != "" {
		return p, problem.Invalid(path, text, rule, fixPattern)
	}
	return p, problem.Problem{}
}

// patternName is a name of a pattern in lower case, or why it is none.
func patternName(text string) (name, rule string) {
	name = strings.TrimSuffix(strings.ToLower(text), ".")
	rest, wildcard := strings.CutPrefix(name, "*.")
	switch {
	case name == "*":
		return name, ""
	case strings.Contains(rest, "*"):
		return "", `"*" is only allowed as the first label, or alone`
	case !wildcard && rest != "" && !strings.Contains(rest, "."):
		return "", "must be a fully qualified name: a Service is NAME.NAMESPACE.svc.cluster.local"
	}
	if _, rule = plainHost(rest); rule != "" {
		return "", rule
	}
	return name, ""
}

// patterns are a set of patterns, by namespace.
type patterns map[string]*names

// names are the names of one namespace.
type names struct {
	all   bool
	names map[string]bool // by coverKey
}

func (p patterns) add(one pattern) {
	n := p[one.namespace]
	if n == nil {
		n = &names{names: map[string]bool{}}
		p[one.namespace] = n
	}
	if one.name == "*" {
		n.all = true
	} else {
		n.names[coverKey(one.name)] = true
	}
}

// in are the names for a namespace, seen from the workloads of another one.
func (p patterns) in(namespace, workload string) [3]*names {
	out := [3]*names{p[exportAll], p[namespace]}
	if namespace == workload {
		out[2] = p[exportOwn]
	}
	return out
}

// has reports whether a pattern covers a host of a namespace.
func (p patterns) has(namespace, host, workload string) bool {
	for _, n := range p.in(namespace, workload) {
		if n.has(host) {
			return true
		}
	}
	return false
}

func (n *names) has(host string) bool {
	if n == nil {
		return false
	}
	if n.all {
		return true
	}
	for key := range coverKeys(host) {
		if n.names[key] {
			return true
		}
	}
	return false
}

// hasNamespace reports whether a pattern is for a namespace.
func (p patterns) hasNamespace(namespace, workload string) bool {
	return slices.ContainsFunc(slices.Collect(func(yield func(*names) bool) {
		for _, n := range p.in(namespace, workload) {
			if !yield(n) {
				return
			}
		}
	}), func(n *names) bool { return n != nil })
}
