// Command envoytables writes the tables of names that are Envoy's: the command operators
// of access logs and headers, the classes of regular expressions, the conditions of
// retries, the components of the log. It asks the real Envoys of config/envoy.txt about
// each word in the text of the program.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/test/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := command(ctx, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "envoytables: %v\n", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, progress io.Writer) error {
	root, err := kit.Checkout()
	if err != nil {
		return err
	}
	before := committed(root)
	files, err := generate(ctx, before[names], progress)
	if err != nil {
		return err
	}
	for _, name := range []string{names, components} {
		path, text := filepath.Join(root, name), files[name]
		state := "unchanged"
		if string(before[name]) != text {
			state = "written: review the diff, then run make gen and make test"
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				return err
			}
		}
		_, _ = fmt.Fprintf(progress, "envoytables: %s: %s\n", name, state)
	}
	return nil
}

// The files, by their paths in the checkout.
const names, components = "egress/envoynames.go", "annotation/envoynames.go"

// committed are the files as they are; one that is not there is empty.
func committed(root string) map[string][]byte {
	files := map[string][]byte{}
	for _, name := range []string{names, components} {
		files[name], _ = os.ReadFile(filepath.Join(root, name))
	}
	return files
}

// generate makes the files: the tables of the default version, and what others lack.
func generate(ctx context.Context, before []byte, progress io.Writer) (map[string]string, error) {
	var t tables
	for i, v := range config.EnvoyVersions() {
		program, err := envoy.BinaryOf(ctx, v.Version, progress)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			t, err = tablesOf(ctx, program, before)
		} else {
			err = t.without(ctx, v.Version, program)
		}
		if err != nil {
			return nil, fmt.Errorf("ask Envoy %s: %w", v.Version, err)
		}
	}
	_, _ = fmt.Fprintf(progress, "envoytables: Envoy %s: %d command operators, %d character classes, %d retry conditions, %d log components\n",
		config.DefaultEnvoy(), t.commands(), len(t.classes), len(t.retryOn), len(t.components))
	return render(t, config.DefaultEnvoy())
}
