package egress

import (
	"maps"
	"slices"
)

// What the external tests check of format strings.
var (
	LogFault    = logFault
	HeaderFault = headerFault
)

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
