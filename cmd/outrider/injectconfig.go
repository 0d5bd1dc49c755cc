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
	"github.com/outrider-mesh/outrider/explain"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/internal/revision"
)

// compile builds the injector from the flags. A file takes precedence over the
// cluster's ConfigMap. Warnings go to w.
func compile(ctx context.Context, o injectOptions, stdin io.Reader, w io.Writer) (*inject.Injector, error) {
	injector, _, err := compileTexts(ctx, o, stdin, w)
	return injector, err
}

// compileTexts is compile, with the texts that it reads.
func compileTexts(ctx context.Context, o injectOptions, stdin io.Reader, w io.Writer) (*inject.Injector, explain.Texts, error) {
	var none explain.Texts
	var env inject.Environment
	if o.kubeVersion != "" {
		v, err := inject.ParseVersion(o.kubeVersion)
		if err != nil {
			return nil, none, &usageError{fmt.Errorf("--kubernetes-version: %w", err)}
		}
		env.Kubernetes = v
	}
	var texts config.Texts
	var labels config.Labels
	if o.cluster.enabled() {
		var err error
		if texts, labels, err = o.cluster.read(ctx, o.revision, &env, w); err != nil {
			return nil, none, err
		}
	}
	if err := o.readTexts(&texts, &labels, w); err != nil {
		return nil, none, err
	}
	cfg, problems := config.Parse(texts, labels)
	var injector *inject.Injector
	if cfg != nil {
		if env.Revision = revision.Revision(o.revision); o.revision != "" && cfg.Values.Revision != "" && !env.Revision.Matches(cfg.Values.Revision) {
			return nil, none, fmt.Errorf("--revision %q: values are for revision %q; pass matching values or omit --revision",
				o.revision, cfg.Values.Revision)
		}
		var err error
		if env.Ranges, err = rangeNames(ctx, cfg, o, stdin); err != nil {
			return nil, none, err
		}
		var more problem.List
		injector, more = inject.Compile(cfg, env)
		problems = append(problems, more...)
	}
	for _, p := range problems.Warnings() {
		fmt.Fprintf(w, "warning: %s\n", p)
	}
	if errs := problems.Errors(); len(errs) > 0 { // all of them: a List as an error is bounded
		return nil, none, fmt.Errorf("invalid configuration:\n%s", strings.Join(errs.Strings(), "\n"))
	}
	return injector, explain.Texts{Texts: texts, Labels: labels}, nil
}

// readTexts reads the texts of the flags that are set.
func (o *injectOptions) readTexts(texts *config.Texts, labels *config.Labels, w io.Writer) error {
	for _, f := range []struct {
		flag, path, key string
		text, label     *string
	}{
		{"--injectConfigFile", o.config, "config", &texts.Config, &labels.Config},
		{"--valuesFile", o.values, "values", &texts.Values, &labels.Values},
		{"--meshConfigFile", o.mesh, "mesh", &texts.Mesh, &labels.Mesh},
	} {
		if f.path == "" {
			continue
		}
		var err error
		if *f.text, *f.label, err = readConfig(f.flag, f.path, f.key, w); err != nil {
			return err
		}
	}
	return nil
}

// readConfig reads the text for one key of a ConfigMap from a file with either the
// value alone or the full ConfigMap.
func readConfig(flag, path, key string, w io.Writer) (text, label string, err error) {
	if isURL(path) {
		return "", "", notAFile(flag, path)
	}
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
		return "", "", fmt.Errorf("%s %s: ConfigMap has no key %q (found: %s); pass the right ConfigMap or only the key's value",
			flag, path, key, strings.Join(slices.Sorted(maps.Keys(object.Data)), ", "))
	}
	fmt.Fprintf(w, "note: %s %s is a full ConfigMap; using key %q\n", flag, path, key)
	return text, fmt.Sprintf("%s key %q", path, key), nil
}
