package jsontree

import "strings"

// scanner finds the children of an array or object in its text, which is valid. It does not
// look into them more than it needs to find their ends.
type scanner struct {
	text string
	at   int
}

// more goes to the next key or value; false at the end.
func (s *scanner) more() bool {
	for ; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case ' ', '\t', '\r', '\n', ',', ':':
		case '}', ']':
			return false
		default:
			return true
		}
	}
	return false
}

// value is the text of the key or value that begins here.
func (s *scanner) value() string {
	from := s.at
	if from == len(s.text) {
		return ""
	}
	switch s.text[from] {
	case '"':
		s.at = stringEnd(s.text, from)
	case '{', '[':
		s.nested()
	default:
		for s.at < len(s.text) && strings.IndexByte(" \t\r\n,}]", s.text[s.at]) < 0 {
			s.at++
		}
	}
	return s.text[from:s.at]
}

// nested goes behind the array or object that begins here.
func (s *scanner) nested() {
	depth := 0
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case '"':
			s.at = stringEnd(s.text, s.at)
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		s.at++
		if depth == 0 {
			return
		}
	}
}

// stringEnd is the index behind the string that begins at an index.
func stringEnd(text string, from int) int {
	for i := from + 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return i + 1
		case '\\':
			i++
		}
	}
	return len(text)
}
