package istio

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"

	"github.com/outrider-mesh/outrider/test/cache"
)

// Texts are the keys of the two ConfigMaps.
type Texts struct{ Config, Values, Mesh string }

// Render renders the chart once for each set of Helm values. Progress is written a
// line at a time to progress; nil discards it.
func Render(ctx context.Context, progress io.Writer, values ...map[string]any) ([]Texts, error) {
	program, err := Program(ctx, progress)
	if err != nil {
		return nil, err
	}
	input, err := json.Marshal(values)
	if err != nil {
		return nil, fmt.Errorf("render Istio's chart: %w", err)
	}
	cmd := exec.CommandContext(ctx, program)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), &stderr
	output, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("render Istio's chart: %w\n%s", err, &stderr)
	}
	var texts []Texts
	if err := json.Unmarshal(output, &texts); err != nil {
		return nil, fmt.Errorf("render Istio's chart: %w", err)
	}
	for i, t := range texts {
		if t.Config == "" || t.Values == "" || t.Mesh == "" {
			return nil, fmt.Errorf("render Istio's chart: a key of the ConfigMaps is empty with the values %v", values[i])
		}
	}
	return texts, nil
}

// Write writes Istio's charts for Helm into directories of dir, which do not exist:
// "base" has the CustomResourceDefinitions, "istiod" the control plane. Progress is as
// with Render.
func Write(ctx context.Context, progress io.Writer, dir string) error {
	program, err := Program(ctx, progress)
	if err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, program, dir).CombinedOutput(); err != nil {
		return fmt.Errorf("write Istio's charts: %w\n%s", err, out)
	}
	return nil
}

// Program returns the path of the program that renders the chart, and builds it if
// it is not in the cache.
func Program(ctx context.Context, progress io.Writer) (string, error) {
	return cache.Program{
		Name: "istio-chart", What: "the renderer of Istio's chart", Takes: "2 minutes on 2 cores",
		Module: "test/istio/tools", Package: ".", Sources: []string{"main.go"},
	}.Path(ctx, progress)
}
