package crds

//go:generate go test -run TestFilesAreGenerated . -update

import (
	"flag"
	"os"
	"testing"

	"github.com/outrider-mesh/outrider/deploy/crds/internal/gen"
)

var update = flag.Bool("update", false, "write the generated files")

func TestFilesAreGenerated(t *testing.T) {
	want, err := gen.Generate()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range want {
		if *update {
			if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != text {
			t.Errorf("%s is out of date; run go test ./deploy/crds -update and review the diff", name)
		}
	}
}
