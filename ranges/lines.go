package ranges

import (
	"github.com/outrider-mesh/outrider/internal/document"
)

// lineKey is a key of docKinds that is read wherever a line has it.
type lineKey struct {
	*docKind
	of   Kind
	part bool // each line is one part of the range
}

var lineKeys = keysOf(docKinds)

func keysOf(kinds []docKind) map[string]lineKey {
	out := map[string]lineKey{}
	for i := range kinds {
		k := &kinds[i]
		for _, group := range []struct {
			names []string
			of    Kind
			part  bool
		}{{k.serviceKeys, Service, false}, {k.podKeys, Pod, false}, {k.partKeys, Pod, true}} {
			for _, name := range group.names {
				out[name] = lineKey{k, group.of, group.part}
			}
		}
	}
	return out
}

// slices reports a key of the podCIDRs of single nodes, which together need not
// be the whole range.
func (k lineKey) slices() bool { return k.part && k.keyRank == rankSlices }

func (k lineKey) source() source {
	s := source{k.name, rankConfig, Configured, !k.part}
	if k.of == Pod {
		s.rank = rankPodConfig
	}
	if k.provider {
		s.rank, s.grade = rankProvider, Complete
	}
	if k.part && k.keyRank != 0 {
		s.rank = k.keyRank
	}
	if k.slices() {
		s.grade = Minimum
	}
	return s
}

// keys reads a mapping of scalars by its keys: a part of a larger document.
func (r *reader) keys(n *document.Node, base string) bool {
	known := false
	for _, f := range n.Fields {
		k, ok := lineKeys[f.Name]
		if !ok {
			continue
		}
		known = true
		for _, v := range find(f.Value, "", join(base, f.Name)) {
			r.line(k, v)
		}
	}
	return known
}

func (r *reader) line(k lineKey, f found) {
	if k.platform != "" {
		r.signal(k.platform, k.name)
	}
	before := len(r.data.Evidence)
	r.take(k.of, k.source(), f)
	if k.slices() {
		for _, e := range r.data.Evidence[before:] {
			r.data.NodeCIDR = append(r.data.NodeCIDR, e.Ranges.Prefixes()...)
		}
	}
}
