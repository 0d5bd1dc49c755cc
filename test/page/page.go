// Package page reads the commands out of pages of documentation, so that tests
// can run them.
//
// A fenced block of "console" holds command lines after "$ ", each with what it
// prints; one of "sh" is for a shell as a whole; one of "yaml file=NAME" is a file
// that the page has the reader write.
package page

import (
	"regexp"
	"slices"
	"strings"

	"github.com/gomarkdown/markdown/ast"
	"github.com/gomarkdown/markdown/parser"
)

// Block is a fenced block.
type Block struct {
	Kind string // the first word behind the fence, such as "console"
	File string // the file to write it to, if the fence names one
	Body string // with the final line end
}

// Blocks are the fenced blocks of a page, in order.
func Blocks(text string) (blocks []Block) {
	page := parser.NewWithExtensions(parser.CommonExtensions).Parse([]byte(text))
	ast.WalkFunc(page, func(node ast.Node, entering bool) ast.WalkStatus {
		if code, ok := node.(*ast.CodeBlock); ok && entering && code.IsFenced {
			kind, rest, _ := strings.Cut(string(code.Info), " ")
			file, _ := strings.CutPrefix(rest, "file=")
			blocks = append(blocks, Block{kind, file, string(code.Literal)})
		}
		return ast.GoToNext
	})
	return blocks
}

// Of are the blocks of one kind, in order.
func Of(text, kind string) []Block {
	return slices.DeleteFunc(Blocks(text), func(b Block) bool { return b.Kind != kind })
}

// Command is a command and its output on the page, without the final line end.
type Command struct{ Line, Output string }

// Any as a part of an output, or as the whole of it, matches any text; between two
// blanks also none.
const Any = "..."

// Commands are those of the block. One of "sh" is a single command, whose output
// the page does not show.
func (b Block) Commands() (commands []Command) {
	switch b.Kind {
	case "sh":
		return []Command{{strings.TrimSuffix(b.Body, "\n"), Any}}
	case "console":
		for _, command := range strings.Split("\n"+b.Body, "\n$ ")[1:] {
			line, output, _ := strings.Cut(command, "\n")
			for strings.HasSuffix(line, "\\") { // goes on
				var more string
				more, output, _ = strings.Cut(output, "\n")
				line += "\n" + more
			}
			commands = append(commands, Command{line, strings.TrimSuffix(output, "\n")})
		}
	}
	return commands
}

// Prints reports whether a command printed what the page shows.
func (c Command) Prints(got string) bool {
	text := regexp.QuoteMeta(c.Output)
	text = strings.ReplaceAll(text, " "+regexp.QuoteMeta(Any)+" ", " (?:.* )?")
	text = strings.ReplaceAll(text, regexp.QuoteMeta(Any), ".*")
	pattern := regexp.MustCompile(`(?s)\A` + text + `\z`)
	return pattern.MatchString(strings.TrimSuffix(got, "\n"))
}
