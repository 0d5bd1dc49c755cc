package manifest

import (
	"strings"

	yaml4 "go.yaml.in/yaml/v4"
)

// standIns replaces the characters that yaml v4 writes as escapes, such as emoji, by
// others while a tree is written, so that texts with them stay as they are.
type standIns struct{ there, back runeMap }

type runeMap map[rune]rune

// The characters that stand in for others, of a private-use area.
const (
	firstStandIn = '\ue000'
	lastStandIn  = '\uefff'
)

// newStandIns finds the characters of a tree that need a stand-in. Those of the area that
// the tree has itself are not used.
func newStandIns(tree *yaml4.Node) *standIns {
	s := &standIns{runeMap{}, runeMap{}}
	used := map[rune]bool{}
	var escaped []rune
	visitText(tree, func(text *string) {
		for _, r := range *text {
			if r < 0x80 || used[r] {
				continue
			}
			used[r] = true
			if r > 0xffff || r == '\u0085' || r == '\u2028' || r == '\u2029' || r == '\ufeff' {
				escaped = append(escaped, r)
			}
		}
	})
	next := firstStandIn
	for _, r := range escaped {
		for used[next] {
			next++
		}
		if next > lastStandIn {
			break // the others are escaped
		}
		s.there[r], s.back[next] = next, r
		next++
	}
	return s
}

func (s *standIns) replace(tree *yaml4.Node) { s.there.inTree(tree) }

func (s *standIns) restore(tree *yaml4.Node) { s.back.inTree(tree) }

func (m runeMap) inTree(tree *yaml4.Node) {
	if len(m) > 0 {
		visitText(tree, func(text *string) { *text = m.text(*text) })
	}
}

func (m runeMap) text(text string) string {
	return strings.Map(func(r rune) rune {
		if to, ok := m[r]; ok {
			return to
		}
		return r
	}, text)
}

func (m runeMap) bytes(text []byte) []byte {
	if len(m) == 0 {
		return text
	}
	return []byte(m.text(string(text)))
}

// visitText visits the texts of a tree.
func visitText(n *yaml4.Node, visit func(*string)) {
	for _, text := range []*string{&n.Value, &n.HeadComment, &n.LineComment, &n.FootComment} {
		if *text != "" {
			visit(text)
		}
	}
	for _, child := range n.Content {
		visitText(child, visit)
	}
}
