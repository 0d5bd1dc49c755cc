package ranges_test

import (
	"flag"
	"reflect"
	"testing"

	"github.com/outrider-mesh/outrider/ranges"
	"github.com/outrider-mesh/outrider/test/kit/schema"
)

var update = flag.Bool("update", false, "write docs/ranges.schema.json")

// TestSchema: docs/ranges.schema.json is that of the reports.
func TestSchema(t *testing.T) {
	kinds, families := []string{string(ranges.Service), string(ranges.Pod)}, []string{string(ranges.IPv4), string(ranges.IPv6)}
	schema.Check(t, schema.Output{
		File: "../docs/ranges.schema.json", Title: "A report of outrider ranges -o json", Type: reflect.TypeFor[ranges.Report](),
		Enums: map[string][]string{
			"apiVersion": {ranges.APIVersion}, "kind": {"Ranges"}, "missing.kind": kinds, "evidence.kind": kinds, "evidence.family": families,
			"evidence.grade":   {string(ranges.Complete), string(ranges.Configured), string(ranges.Defaulted), string(ranges.Minimum)},
			"evidence.verdict": {string(ranges.Used), string(ranges.Outranked), string(ranges.Rejected)},
		},
	}, *update)
}
