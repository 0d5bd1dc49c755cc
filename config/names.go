package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/internal/document"
)

// namedRanges reads lists by the names of the administrator's own.
func (t tree) namedRanges(path string) map[string]cidr.List {
	n := t.at(path)
	if n == nil {
		return nil
	}
	if n.Kind != document.Map {
		t.r.error(n, path, "must be a mapping", "write NAME: RANGES below it")
		return nil
	}
	out := map[string]cidr.List{}
	for _, f := range n.Fields {
		at := path + "." + f.Name
		switch {
		case cidr.IsKeyword(f.Name):
			t.r.error(f.Value, at, "the name has a meaning already", "take another name than "+strings.Join(cidr.Keywords(), ", "))
		case !cidr.ValidName(f.Name):
			t.r.error(f.Value, at, "not a name that a list can have", "write at most 63 lower-case letters, digits and dashes, a letter first")
		default:
			out[f.Name] = t.ranges(at, cidr.Options{})
		}
	}
	return out
}

// rangeNames refuses names in a list that stand for nothing.
func (t tree) rangeNames(path string, list cidr.List, named map[string]cidr.List) {
	for _, name := range list.Names() {
		if _, ok := named[name]; ok || cidr.IsKeyword(name) {
			continue
		}
		rule, fix := UnknownRangeName(name, named)
		n := t.at(path)
		for _, item := range n.Items {
			if strings.Contains(item.Text, name) {
				n = item
				break
			}
		}
		t.r.error(n, path, rule, fix)
	}
}

// UnknownRangeName says that a name in a range list stands for nothing, and what
// to write.
func UnknownRangeName(name string, named map[string]cidr.List) (rule, fix string) {
	known := append(cidr.Keywords(), slices.Sorted(maps.Keys(named))...)
	fix = "write ranges, or one of the names " + strings.Join(known, ", ") + "; global.namedRanges defines others"
	if near := document.Nearest(name, known); near != "" {
		fix = fmt.Sprintf("did you mean %q? %s defines others", near, "global.namedRanges")
	}
	return fmt.Sprintf("%q is neither a range nor the name of ranges", name), fix
}
