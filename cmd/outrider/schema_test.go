package main

import (
	"flag"
	"reflect"
	"testing"

	"github.com/outrider-mesh/outrider/test/kit/schema"
)

var updateSchemas = flag.Bool("update", false, "write docs/version.schema.json and docs/history.schema.json")

// TestSchemas: the schemas in docs are those of the outputs that this package makes.
func TestSchemas(t *testing.T) {
	schema.Check(t, schema.Output{
		File: "../../docs/version.schema.json", Title: "An answer of outrider version -o json", Type: reflect.TypeFor[versionReport](),
		Enums: map[string][]string{"apiVersion": {outputVersion}, "kind": {"Version"}},
	}, *updateSchemas)
	schema.Check(t, schema.Output{
		File: "../../docs/history.schema.json", Title: "A list of outrider config history -o json", Type: reflect.TypeFor[historyReport](),
		Enums: map[string][]string{"apiVersion": {outputVersion}, "kind": {"History"}},
	}, *updateSchemas)
	schema.Check(t, schema.Output{
		File: "../../docs/egress-hosts.schema.json", Title: "A list of outrider egress hosts -o json", Type: reflect.TypeFor[hostsReport](),
		Enums: map[string][]string{
			"apiVersion": {outputVersion}, "kind": {"EgressHosts"}, "hosts.protocol": {"HTTP", "TLS", "TCP"}, "hosts.verdict": {"passthrough", "blocked", "allowed"},
		},
	}, *updateSchemas)
}
