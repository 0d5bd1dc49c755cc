package status_test

import (
	"flag"
	"maps"
	"reflect"
	"testing"

	"github.com/outrider-mesh/outrider/status"
	"github.com/outrider-mesh/outrider/test/kit/schema"
)

var update = flag.Bool("update", false, "write docs/status.schema.json and docs/preview.schema.json")

// TestSchema: the schemas in docs are those of the reports.
func TestSchema(t *testing.T) {
	enums := func(more map[string][]string) map[string][]string {
		out := map[string][]string{"apiVersion": {status.APIVersion}, "workloads.result": {status.Injected, status.Skipped, status.Denied}}
		maps.Copy(out, more)
		return out
	}
	schema.Check(t, schema.Output{
		File: "../docs/status.schema.json", Title: "A report of outrider status -o json", Type: reflect.TypeFor[status.Report](),
		Enums: enums(map[string][]string{
			"kind": {"Status"}, "active.source": {"configmap", "last-good", "defaults"},
			"missing.cause.id": {status.LabelLater, status.RegisteredLater, status.SkippedThen, status.UnknownCause},
			"sidecars.id":      {status.Rejecting, status.Behind, status.NotReady},
		}),
	}, *update)
	schema.Check(t, schema.Output{
		File: "../docs/preview.schema.json", Title: "A preview of outrider preview -o json", Type: reflect.TypeFor[status.Preview](),
		Enums: enums(map[string][]string{"kind": {"Preview"}}),
	}, *update)
}
