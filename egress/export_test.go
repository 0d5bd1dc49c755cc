package egress

import (
	"maps"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// What the external tests check of format strings.
var (
	LogFault    = logFault
	HeaderFault = headerFault
)

// SetOtherEnvoys has another table of versions until the returned function is called.
func SetOtherEnvoys(version, lacks string) (restore func()) {
	before := otherEnvoys
	otherEnvoys = append(otherEnvoys[:0:0], struct{ version, lacks string }{version, lacks})
	return func() { otherEnvoys = before }
}

// SupportOf is the problem of a field that is set.
var SupportOf = supportOf

// Command is a known command of format strings.
type Command struct {
	Name, Example string
	Length        bool
}

// Commands are all known commands, sorted.
func Commands() []Command {
	var out []Command
	for _, name := range slices.Sorted(maps.Keys(knownCommands())) {
		out = append(out, Command{name, knownCommands()[name].example, knownCommands()[name].length})
	}
	return out
}

// RegexFault is the error of a regular expression, or empty.
func RegexFault(text string) string {
	var all problem.List
	readRegex(text, "regex", reporter{all: &all})
	return strings.Join(all.Errors().Strings(), "\n")
}
