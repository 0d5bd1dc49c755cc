package explain_test

import (
	"flag"
	"reflect"
	"testing"

	"github.com/outrider-mesh/outrider/explain"
	"github.com/outrider-mesh/outrider/test/kit/schema"
)

var update = flag.Bool("update", false, "write docs/explain.schema.json")

// TestSchema: docs/explain.schema.json is that of the answers.
func TestSchema(t *testing.T) {
	schema.Check(t, schema.Output{
		File: "../docs/explain.schema.json", Title: "An answer of outrider explain -o json", Type: reflect.TypeFor[explain.Answer](),
		Enums: map[string][]string{
			"apiVersion": {explain.APIVersion}, "kind": {"Explanation"},
			"result":                      {explain.Injected, explain.Skipped, explain.NotSelected, explain.Denied},
			"webhook.result":              {explain.Selected, explain.NotSelected, explain.Unknown},
			"decision.result":             {explain.Injected, explain.Skipped, explain.Denied},
			"destinations.paths.family":   {"IPv4", "IPv6"},
			"destinations.paths.protocol": explain.Protocols(),
			"destinations.paths.outcome":  {explain.Forwarded, explain.Answered, explain.Blocked, explain.Bypassed, explain.NotCaptured},
		},
	}, *update)
}
