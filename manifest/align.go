package manifest

import "slices"

// pair joins an item of the old sequence with one of the new; -1 is none:
// the item is deleted, or inserted.
type pair struct{ old, new int }

// maxTable bounds the table of the longest common subsequence.
const maxTable = 1 << 18

// align pairs the items of two sequences that are the same: objects by their name,
// everything else by its value. Between them, what was deleted is paired in order
// with what was inserted, as a change.
func align(old, new []*node) []pair {
	if len(old) == len(new) && !named(old) && !named(new) {
		pairs := make([]pair, len(old))
		for i := range pairs {
			pairs[i] = pair{i, i}
		}
		return pairs
	}
	head := 0
	for head < len(old) && head < len(new) && sameItem(old[head], new[head]) {
		head++
	}
	tail := 0
	for tail < len(old)-head && tail < len(new)-head && sameItem(old[len(old)-1-tail], new[len(new)-1-tail]) {
		tail++
	}
	pairs := make([]pair, 0, len(new)+4)
	for i := range head {
		pairs = append(pairs, pair{i, i})
	}
	pairs = alignMiddle(pairs, old[head:len(old)-tail], new[head:len(new)-tail], head)
	for i := tail; i > 0; i-- {
		pairs = append(pairs, pair{len(old) - i, len(new) - i})
	}
	return pairs
}

func alignMiddle(pairs []pair, old, new []*node, offset int) []pair {
	i, j := 0, 0
	// gap pairs up what lies between two matches.
	gap := func(toOld, toNew int) {
		for i < toOld || j < toNew {
			switch {
			case i < toOld && j < toNew && !distinctNames(old[i], new[j]):
				pairs = append(pairs, pair{i + offset, j + offset})
				i, j = i+1, j+1
			case j < toNew:
				pairs = append(pairs, pair{-1, j + offset})
				j++
			default:
				pairs = append(pairs, pair{i + offset, -1})
				i++
			}
		}
	}
	if len(old)*len(new) <= maxTable {
		for _, m := range commonItems(old, new) {
			gap(m.old, m.new)
			pairs = append(pairs, pair{i + offset, j + offset})
			i, j = i+1, j+1
		}
	}
	gap(len(old), len(new))
	return pairs
}

// commonItems is the longest common subsequence.
func commonItems(old, new []*node) []pair {
	if len(old) == 0 || len(new) == 0 {
		return nil
	}
	width := len(new) + 1
	best := make([]int, (len(old)+1)*width)
	same := make([]bool, len(old)*len(new))
	for i := len(old) - 1; i >= 0; i-- {
		for j := len(new) - 1; j >= 0; j-- {
			if same[i*len(new)+j] = sameItem(old[i], new[j]); same[i*len(new)+j] {
				best[i*width+j] = best[(i+1)*width+j+1] + 1
			} else {
				best[i*width+j] = max(best[(i+1)*width+j], best[i*width+j+1])
			}
		}
	}
	var out []pair
	for i, j := 0, 0; i < len(old) && j < len(new); {
		switch {
		case same[i*len(new)+j]:
			out = append(out, pair{i, j})
			i, j = i+1, j+1
		case best[(i+1)*width+j] >= best[i*width+j+1]:
			i++
		default:
			j++
		}
	}
	return out
}

func named(items []*node) bool {
	return slices.ContainsFunc(items, func(n *node) bool { return n.str("name") != "" })
}

func sameItem(a, b *node) bool {
	if x, y := a.str("name"), b.str("name"); x != "" || y != "" {
		return x == y
	}
	return equal(a, b)
}

// distinctNames reports whether two items have distinct names.
func distinctNames(a, b *node) bool {
	x, y := a.str("name"), b.str("name")
	return x != "" && y != "" && x != y
}
