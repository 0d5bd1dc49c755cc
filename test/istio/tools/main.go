// Command tools renders the chart of Istio's control plane with Helm, and prints
// the contents of the two ConfigMaps that configure its injector as JSON. With a
// directory as its argument it writes Istio's charts into that, and renders nothing.
package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"istio.io/istio/manifests"
	"sigs.k8s.io/yaml"
)

const chartDir = "charts/istio-control/istio-discovery"

func main() {
	work := run
	if len(os.Args) == 2 {
		work = func() error { return write(os.Args[1]) }
	}
	if err := work(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run reads a list of values from standard input, and writes a list of the keys
// of the ConfigMaps: one each.
func run() error {
	var all []map[string]any
	if err := json.NewDecoder(os.Stdin).Decode(&all); err != nil {
		return fmt.Errorf("read the values: %w", err)
	}
	c, err := load()
	if err != nil {
		return fmt.Errorf("load the chart: %w", err)
	}
	out := []map[string]string{}
	for i, values := range all {
		texts, err := render(c, values)
		if err != nil {
			return fmt.Errorf("render the chart with values %d: %w", i, err)
		}
		out = append(out, texts)
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// write writes the charts of the CustomResourceDefinitions, "base", and of the control
// plane, "istiod", into directories of these names.
func write(dir string) error {
	for name, from := range map[string]string{"base": "charts/base", "istiod": chartDir} {
		files, err := fs.Sub(manifests.FS, from)
		if err != nil {
			return err
		}
		if err := os.CopyFS(filepath.Join(dir, name), files); err != nil {
			return fmt.Errorf("write the chart %s: %w", name, err)
		}
	}
	return nil
}

func load() (*chart.Chart, error) {
	var files []*loader.BufferedFile
	err := fs.WalkDir(manifests.FS, chartDir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(manifests.FS, name)
		files = append(files, &loader.BufferedFile{Name: strings.TrimPrefix(name, chartDir+"/"), Data: data})
		return err
	})
	if err != nil {
		return nil, err
	}
	return loader.LoadFiles(files)
}

func render(c *chart.Chart, values map[string]any) (map[string]string, error) {
	options := chartutil.ReleaseOptions{Name: "istiod", Namespace: "istio-system", IsInstall: true}
	full, err := chartutil.ToRenderValues(c, values, options, nil)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(c, full)
	if err != nil {
		return nil, err
	}
	texts := map[string]string{"version": c.Metadata.Version}
	for name, text := range files {
		if path.Ext(name) != ".yaml" {
			continue
		}
		for _, document := range strings.Split(text, "\n---\n") {
			var object struct {
				Kind     string
				Metadata struct{ Name string }
				Data     map[string]string
			}
			if yaml.Unmarshal([]byte(document), &object) != nil || object.Kind != "ConfigMap" {
				continue
			}
			switch n := object.Metadata.Name; {
			case n == "istio" || strings.HasPrefix(n, "istio-") && object.Data["mesh"] != "":
				texts["mesh"] = object.Data["mesh"]
			case strings.HasPrefix(n, "istio-sidecar-injector"):
				texts["config"], texts["values"] = object.Data["config"], object.Data["values"]
			}
		}
	}
	return texts, nil
}
