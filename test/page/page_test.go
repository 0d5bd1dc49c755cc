package page

import (
	"reflect"
	"testing"
)

const text = "# A page\n\n```sh\nmake a\nmake b\n```\n\n```yaml file=a.yaml\na: 1\n```\n\n" +
	"```console\n$ one\n$ two \\\n    -x\nsays\n  more\n$ three\n...\n```\n\n```text\n$ none\n```\n"

func TestBlocks(t *testing.T) {
	blocks := Blocks(text)
	var commands []Command
	for _, b := range blocks {
		commands = append(commands, b.Commands()...)
	}
	want := []Command{{"make a\nmake b", Any}, {"one", ""}, {"two \\\n    -x", "says\n  more"}, {"three", Any}}
	if !reflect.DeepEqual(commands, want) {
		t.Errorf("%q", commands)
	}
	if len(blocks) != 4 || blocks[1] != (Block{"yaml", "a.yaml", "a: 1\n"}) {
		t.Errorf("%q", blocks)
	}
}

func TestPrints(t *testing.T) {
	for _, tt := range []struct {
		output, got string
		want        bool
	}{
		{"a\nb", "a\nb\n", true},
		{"a\nb", "a\nb\nc\n", false},
		{"a.c", "abc\n", false},
		{"pod/sleep-... created", "pod/sleep-x1 created\n", true},
		{"pod/sleep-... created", "pod/sleep-x1 changed\n", false},
		{"a ... b", "a b\n", true},
		{"a ... b", "a x b\n", true},
		{"a ... b", "ab\n", false},
		{"...", "", true},
		{"...\nlast", "first\nsecond\nlast\n", true},
		{"", "words\n", false},
	} {
		if got := (Command{"", tt.output}).Prints(tt.got); got != tt.want {
			t.Errorf("%q for %q: %v", tt.got, tt.output, got)
		}
	}
}
