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

// exportDefaults are what objects without exportTo have: a setting of the mesh.
type exportDefaults struct {
	field string // of MeshConfig
	list  []string
}

// readExportDefaults reads defaultServiceExportTo or defaultVirtualServiceExportTo. An
// empty list is all namespaces, as in Istio; one with an error is the object's own.
func readExportDefaults(field string, list []string, r reporter) exportDefaults {
	const anyNamespace = "any.namespace" // no namespace has this name
	if _, ok := readExportList(list, field, anyNamespace, r); !ok {
		list = []string{exportOwn}
	}
	return exportDefaults{field, list}
}

// of are the exports of an object that has none of its own.
func (d exportDefaults) of(namespace string) exports {
	e, _ := readExportList(d.list, d.field, namespace, reporter{all: &problem.List{}})
	return e
}

// readExports reads exportTo; an empty list is the default's. It is not ok if there is
// an error: a namespace that was meant is not known then.
func readExports(list []string, byDefault exportDefaults, m Meta, r reporter) (e exports, ok bool) {
	const path = "spec.exportTo"
	if len(list) == 0 {
		return byDefault.of(m.Namespace), true
	}
	e, ok = readExportList(list, path, m.Namespace, r)
	e.stated = true
	switch {
	case !ok || !e.none():
	case r.kind == KindVirtualService:
		r.error(path+"[0]", exportNone, "only a ServiceEntry can be exported to no namespace", `use "." for its own namespace`)
		return e, false
	default:
		r.add(problem.NoEffect(path+"[0]", exportNone, "no namespace sees this "+r.kind, `use "." for its own namespace`))
	}
	return e, ok
}

// readExportList reads a list of namespaces in which "." is one of them; empty, it is
// all of them.
func readExportList(list []string, path, own string, r reporter) (e exports, ok bool) {
	ok = true
	seen, combined := map[string]bool{}, false
	e.all = len(list) == 0
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
			ns = own
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
