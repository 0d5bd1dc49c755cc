// Package multicall makes one executable several programs: it runs the one that it is
// started as.
package multicall

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Run runs the program of the name that the process was started by, which may be a link
// to the executable. A program returns the exit code.
func Run(programs map[string]func() int) {
	name := filepath.Base(os.Args[0])
	program, ok := programs[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "%s: no such program in this executable; start it by a link of one of these names: %s\n",
			name, strings.Join(slices.Sorted(maps.Keys(programs)), ", "))
		os.Exit(2)
	}
	os.Exit(program())
}
