package envoy_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/egresstest"
	"github.com/outrider-mesh/outrider/test/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
)

var update = flag.Bool("update", false, "write the golden files")

// TestGolden compares every case's resources with its files, and has the real
// Envoy validate them.
func TestGolden(t *testing.T) {
	cases, err := filepath.Glob("testdata/*/input.yaml")
	kit.Must(t, err)
	if len(cases) == 0 {
		t.Fatal("no cases")
	}
	for _, file := range cases {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			model, problems := egress.Build(egresstest.Load(t, file))
			kit.Must(t, problems.Err())
			m := egresstest.Make(t, model.View("default"))
			golden(t, filepath.Join(dir, "clusters.yaml"), m.Clusters)
			golden(t, filepath.Join(dir, "listeners.yaml"), m.Listeners)
			golden(t, filepath.Join(dir, "routes.yaml"), m.Routes)
			for _, v := range config.EnvoyVersions() {
				egresstest.Validate(t, envoy.RequireVersion(t, v.Version), m)
			}
		})
	}
}

// golden compares messages with a file of YAML documents.
func golden[T proto.Message](t *testing.T, file string, all []T) {
	t.Helper()
	var got bytes.Buffer
	for _, m := range all {
		text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
		kit.Must(t, err)
		text, err = yaml.JSONToYAML(text)
		kit.Must(t, err)
		got.WriteString("---\n")
		got.Write(text)
	}
	if *update {
		kit.Must(t, os.WriteFile(file, got.Bytes(), 0o644))
		return
	}
	want, err := os.ReadFile(file)
	if err != nil || !bytes.Equal(want, got.Bytes()) {
		t.Errorf("%s differs from what is made (%v); to see how: go test ./egress/envoy -run TestGolden -update && git diff", file, err)
	}
}
