//go:build unix

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// What is shown of the difference: it has 270 lines, and one of 2,000 characters.
const shownLines, shownColumns = 40, 110

var status = regexp.MustCompile(`(?m)^\+ *sidecar\.istio\.io/status: '(.*)'$`)

// injection is what kube-inject changed, and the effective ranges with their sources, out
// of its output.
func injection(diff string) (string, error) {
	var b strings.Builder
	lines := strings.Split(strings.TrimSuffix(diff, "\n"), "\n")
	for _, line := range lines[:min(shownLines, len(lines))] {
		if len(line) > shownColumns {
			line = line[:shownColumns] + "..."
		}
		b.WriteString(line + "\n")
	}
	if more := len(lines) - shownLines; more > 0 {
		_, _ = fmt.Fprintf(&b, "(and %d more lines)\n", more)
	}
	found := status.FindStringSubmatch(diff)
	if found == nil {
		return "", errors.New("the difference has no annotation sidecar.istio.io/status")
	}
	var recorded struct {
		Effective map[string]struct{ Value, Source string }
	}
	if err := json.Unmarshal([]byte(strings.ReplaceAll(found[1], "''", "'")), &recorded); err != nil {
		return "", fmt.Errorf("read annotation sidecar.istio.io/status: %w", err)
	}
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(recorded.Effective)), func(name string) bool { return !strings.HasSuffix(name, "IPRanges") })
	if len(names) == 0 {
		return "", errors.New("annotation sidecar.istio.io/status has no ranges")
	}
	b.WriteString("\nThe effective address ranges, and their sources:\n\n")
	for _, name := range names {
		value := recorded.Effective[name].Value
		if value == "" {
			value = "(none)"
		}
		_, _ = fmt.Fprintf(&b, "  %-24s  %-8s  %s\n", name, value, recorded.Effective[name].Source)
	}
	return b.String(), nil
}
