package egress

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// The values of exportTo that are no names of namespaces.
const (
	exportOwn  = "." // the namespace of the object
	exportAll  = "*"
	exportNone = "~"
)

// readExports reads exportTo: an empty list and "*" are all namespaces. It is not
// ok if there is an error: a namespace that was meant is not known then.
func readExports(list []string, m Meta, r reporter) (e exports, ok bool) {
	const path = "spec.exportTo"
	ok = true
	seen, combined := map[string]bool{}, false
	e.all, e.stated = len(list) == 0, len(list) > 0
	for i, ns := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch fix := exportFix(ns); {
		case ns == exportAll || ns == exportNone:
			if len(list) > 1 && !combined {
				ok, combined = false, true
				r.add(problem.Conflict(at, ns, "other values", fix))
			}
			e.all = e.all || ns == exportAll
			continue
		case ns == exportOwn:
			ns = m.Namespace
		case fix != "":
			ok = false
			r.error(at, ns, "must be \".\", \"*\" or the name of a namespace", fix)
			continue
		}
		if seen[ns] {
			ok = false
			r.add(problem.Duplicate(at, list[i], "namespace "+ns))
			continue
		}
		seen[ns] = true
		e.namespaces = append(e.namespaces, ns)
	}
	if ok && e.none() {
		r.add(problem.NoEffect(path+"[0]", exportNone, "no namespace sees this "+r.kind, `use "." for its own namespace`))
	}
	return e, ok
}

// exportFix is what to write instead of a value of exportTo; empty where it is
// the name of a namespace, or ".".
func exportFix(value string) string {
	name := strings.ToLower(strings.Trim(value, "./* \t\r\n"))
	before, _, _ := strings.Cut(value, "/")
	switch {
	case value == exportAll:
		return `use "*" alone for all namespaces, or list the namespaces without it`
	case value == exportNone:
		return `use "~" alone for no namespace, or remove it`
	case value == exportOwn || len(validation.IsDNS1123Label(value)) == 0:
		return ""
	case strings.HasPrefix(value, "./") || strings.HasPrefix(value, "*/"):
		return `use "." for the namespace of the object, or "*" for all`
	case strings.Contains(value, "/") && len(validation.IsDNS1123Label(before)) == 0:
		return "use " + problem.Quote(before)
	case strings.Contains(value, "*"):
		return "list the namespaces by name"
	case len(validation.IsDNS1123Label(name)) == 0:
		return "use " + problem.Quote(name)
	}
	return `use "." for the namespace of the object, "*" for all, or a name such as shop`
}
