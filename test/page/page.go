// Package page reads the commands out of pages of documentation, so that tests
// can run them.
//
// A fenced block of "console" holds command lines after "$ ", each with what it
// prints; one of "sh" is for a shell as a whole; one of "yaml file=NAME" is a file
// that the page has the reader write.
package page

import (
	"regexp"
	"strings"
)

// Block is a fenced block.
type Block struct {
	Kind string // the first word behind the fence, such as "console"
	File string // the file to write it to, if the fence names one
	Body string // with the final line end
}

var fenced = regexp.MustCompile("(?ms)^```(\\S+)(?: file=(\\S+))?\n(.*?)^```$")

// Blocks are the fenced blocks of a page, in order.
func Blocks(text string) (blocks []Block) {
	for _, b := range fenced.FindAllStringSubmatch(text, -1) {
		blocks = append(blocks, Block{b[1], b[2], b[3]})
	}
	return blocks
}

// Command is a command and what the page says it prints, without the final line
// end.
type Command struct{ Line, Output string }

// Any as a part of an output, or as the whole of it, stands for any text; between
// two blanks also for none.
const Any = "..."

// Commands are those of the block: of one of "sh" the whole, whose output the
// page does not say.
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

// Prints says whether what a command printed is what the page says.
func (c Command) Prints(got string) bool {
	text := regexp.QuoteMeta(c.Output)
	text = strings.ReplaceAll(text, " "+regexp.QuoteMeta(Any)+" ", " (?:.* )?")
	text = strings.ReplaceAll(text, regexp.QuoteMeta(Any), ".*")
	pattern := regexp.MustCompile(`(?s)\A` + text + `\z`)
	return pattern.MatchString(strings.TrimSuffix(got, "\n"))
}
