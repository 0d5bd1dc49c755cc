package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// Longer texts are no names: the longest of Envoy 1.40 have 49 and 26 bytes.
const longestOperator, longestCondition = 80, 40

// inCode are names of which the program has no text: a compiler makes short ones part
// of its code. Add one that the notes of a release mention and the tables lack.
const inCode = "TYPED_CEL\x00gateway-error\x00retriable-4xx\x00"

// wordsOf are the candidates in the text of a program, and in the tables as they are,
// so that none is lost. A linker stores a text that another one ends in as a part of it,
// so the ends of words with hyphens are candidates, too.
func wordsOf(program string, tables []byte) (operators, conditions []string, err error) {
	text, err := os.ReadFile(program)
	if err != nil {
		return nil, nil, fmt.Errorf("read the program: %w", err)
	}
	tables = bytes.Map(func(r rune) rune { // each name ends as in a program
		if unicode.IsSpace(r) || r == '`' {
			return 0
		}
		return r
	}, tables)
	text = slices.Concat(text, []byte{0}, tables, []byte{0}, []byte(inCode))
	found := map[string]bool{}
	runs(text, func(c byte) bool { return c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' }, func(word string, _ byte) {
		if word = strings.TrimLeft(word, "0123456789_"); len(word) > 1 && len(word) <= longestOperator {
			found[word] = true
		}
	})
	operators = slices.Sorted(maps.Keys(found))
	clear(found)
	runs(text, func(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' }, func(word string, next byte) {
		for len(word) > 2 && next == 0 { // C strings
			if len(word) <= longestCondition && word[0] != '-' {
				found[word] = true
			}
			if _, word, _ = strings.Cut(word, "-"); word == "" {
				break
			}
		}
	})
	return operators, slices.Sorted(maps.Keys(found)), nil
}

// runs calls use for each longest run of some bytes, and the byte after it. Regular
// expressions take ten times as long for the 100 MB of the program.
func runs(text []byte, of func(byte) bool, use func(word string, next byte)) {
	var has [256]bool
	for c := range has {
		has[c] = of(byte(c))
	}
	start := -1
	for i, c := range text {
		switch {
		case has[c] && start < 0:
			start = i
		case !has[c] && start >= 0:
			if i-start > 1 {
				use(string(text[start:i]), c)
			}
			start = -1
		}
	}
}

// classNames are the names of character classes that Go's expressions may have.
func classNames() []string {
	found := map[string]bool{"Any": true, "ASCII": true, "Assigned": true, "LC": true, "Cn": true}
	for _, table := range []map[string]*unicode.RangeTable{unicode.Scripts, unicode.Categories} {
		for name := range table {
			found[name] = true
		}
	}
	for name := range unicode.CategoryAliases {
		found[name] = true
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(found)), func(name string) bool {
		_, err := regexp.Compile(`\p{` + name + `}`)
		return err != nil
	})
}
