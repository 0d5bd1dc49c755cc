package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/internal/document"
)

// namedRanges reads the administrator's own named lists.
func (t tree) namedRanges(path string) map[string]cidr.List {
	n := t.at(path)
	if n == nil {
		return nil
	}
	if n.Kind != document.Map {
		t.r.error(n, path, "must be a mapping", "set NAME: RANGES below it")
		return nil
	}
	out := map[string]cidr.List{}
	for _, f := range n.Fields {
		at := path + "." + f.Name
		switch {
		case cidr.IsKeyword(f.Name):
			t.r.error(f.Value, at, "reserved name", "use a name other than "+strings.Join(cidr.Keywords(), ", "))
		case !cidr.ValidName(f.Name):
			t.r.error(f.Value, at, "invalid range name", "use at most 63 lower-case letters, digits and dashes, starting with a letter")
		case f.Value.Kind == document.Null:
			out[f.Name] = cidr.List{} // as a known name
			t.r.error(f.Value, at, "required", "set its ranges, or remove the name")
		default:
			before := len(*t.r.ps)
			if out[f.Name] = t.ranges(at, cidr.Options{}); out[f.Name].IsEmpty() && len(*t.r.ps) == before {
				t.r.warn(f.Value, at, "has no ranges", "set its ranges, or remove the name")
			}
		}
	}
	return out
}

// rangeNames rejects undefined names in a list.
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

// UnknownRangeName is the rule and the fix for an undefined name in a range list.
func UnknownRangeName(name string, named map[string]cidr.List) (rule, fix string) {
	known := append(cidr.Keywords(), slices.Sorted(maps.Keys(named))...)
	fix = "use CIDR ranges or one of the names " + strings.Join(known, ", ") + "; define others in global.namedRanges"
	if near := document.Nearest(name, known); near != "" {
		fix = fmt.Sprintf("did you mean %q? Define others in global.namedRanges", near)
	}
	return fmt.Sprintf("%q is neither a CIDR range nor a known name", name), fix
}
