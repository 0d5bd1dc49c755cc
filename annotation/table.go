package annotation

import (
	"slices"
	"strings"
)

// Table is every known annotation and label, sorted by name, an
// annotation before the label of the same name. The caller owns the slice.
func Table() []Row { return slices.Clone(table) }

// Lookup finds a row by name: the annotation's where there is also a label.
func Lookup(name string) (Row, bool) {
	if r, ok := lookup(name, false); ok {
		return r, true
	}
	return lookup(name, true)
}

func lookup(name string, isLabel bool) (Row, bool) {
	i, ok := slices.BinarySearchFunc(table, key{name, isLabel}, func(r Row, k key) int {
		return key{r.Name, r.IsLabel}.compare(k)
	})
	if !ok {
		return Row{}, false
	}
	return table[i], true
}

type key struct {
	name    string
	isLabel bool
}

func (a key) compare(b key) int {
	if d := strings.Compare(a.name, b.name); d != 0 || a.isLabel == b.isLabel {
		return d
	}
	if a.isLabel {
		return 1
	}
	return -1
}

// table is built once and never changed.
var table = sorted(slices.Concat(injectionRows, openShiftRows, trafficRows, proxyRows, writtenRows, noEffectRows, rejectedRows, externalRows))

func sorted(rows []Row) []Row {
	slices.SortFunc(rows, func(a, b Row) int { return key{a.Name, a.IsLabel}.compare(key{b.Name, b.IsLabel}) })
	for i := range rows {
		if rows[i].Places == 0 {
			rows[i].Places = OnPod
		}
	}
	return rows
}
