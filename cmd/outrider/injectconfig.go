package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// compile makes the injector that the flags ask for. A file's text goes before
// the cluster's. Warnings go to w.
func compile(ctx context.Context, o injectOptions, stdin io.Reader, w io.Writer) (*inject.Injector, error) {
	var env inject.Environment
	if o.kubeVersion != "" {
		v, err := inject.ParseVersion(o.kubeVersion)
		if err != nil {
			return nil, &usageError{fmt.Errorf("--kubernetes-version: %w", err)}
		}
		env.Kubernetes = v
	}
	var texts config.Texts
	var labels config.Labels
	if o.cluster.asked() {
		var err error
		if texts, labels, err = o.cluster.read(ctx, o.revision, &env, w); err != nil {
			return nil, err
		}
	}
	files := []struct {
		flag, path, key string
		text, label     *string
	}{
		{"--injectConfigFile", o.config, "config", &texts.Config, &labels.Config},
		{"--valuesFile", o.values, "values", &texts.Values, &labels.Values},
		{"--meshConfigFile", o.mesh, "mesh", &texts.Mesh, &labels.Mesh},
	}
	for _, f := range files {
		if f.path == "" {
			continue
		}
		var err error
		if *f.text, *f.label, err = readConfig(f.flag, f.path, f.key, w); err != nil {
			return nil, err
		}
	}
	cfg, problems := config.Parse(texts, labels)
	var injector *inject.Injector
	if cfg != nil {
		if err := setRevision(cfg, o.revision); err != nil {
			return nil, err
		}
		var err error
		if env.Ranges, err = rangeNames(ctx, cfg, o, stdin); err != nil {
			return nil, err
		}
		var more problem.List
		injector, more = inject.Compile(cfg, env)
		problems = append(problems, more...)
	}
	for _, p := range problems.Warnings() {
		fmt.Fprintf(w, "warning: %s\n", p)
	}
	if err := problems.Err(); err != nil {
		return nil, fmt.Errorf("the configuration is refused:\n%w", err)
	}
	return injector, nil
}

// readConfig reads the text for one key of a ConfigMap. A whole ConfigMap is
// taken as well.
func readConfig(flag, path, key string, w io.Writer) (text, label string, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", "", fmt.Errorf("%s %s: %w", flag, path, cause(err))
	}
	var object struct {
		Kind string            `json:"kind"`
		Data map[string]string `json:"data"`
	}
	if yaml.Unmarshal(data, &object) != nil || object.Kind != "ConfigMap" {
		return string(data), path, nil
	}
	text, ok := object.Data[key]
	if !ok {
		return "", "", fmt.Errorf("%s %s: is a ConfigMap without key %q (it has: %s); give the ConfigMap that has it, or the value of the key alone",
			flag, path, key, strings.Join(slices.Sorted(maps.Keys(object.Data)), ", "))
	}
	fmt.Fprintf(w, "note: %s %s is a whole ConfigMap; its key %q is used\n", flag, path, key)
	return text, fmt.Sprintf("%s key %q", path, key), nil
}

// setRevision makes the pods belong to a revision. The values may name it too,
// but not another one.
func setRevision(cfg *config.Config, revision string) error {
	switch {
	case revision == "" || revision == cfg.Values.Revision:
	case cfg.Values.Revision != "":
		return fmt.Errorf("--revision %q: the values are those of revision %q; give the values of the revision, or leave the flag out",
			revision, cfg.Values.Revision)
	default:
		cfg.Values.Revision = revision
		cfg.RawValues["revision"] = revision
	}
	return nil
}
