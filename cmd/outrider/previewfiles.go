package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/explain"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/status"
)

// previewFiles is what the files of a preview have.
type previewFiles struct {
	at         config.Location
	maps       []editedMap
	workloads  []explain.Subject
	namespaces map[string]status.Namespace
	errs       []error
}

// editedMap is one of the two ConfigMaps.
type editedMap struct {
	name string
	file string
	data map[string]string
}

func readPreviewFiles(names []string, at config.Location, stdio stdio) (*previewFiles, error) {
	f := &previewFiles{at: at, namespaces: map[string]status.Namespace{}}
	if len(names) == 0 {
		return f, nil
	}
	files, err := inputs("preview", names, false)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		if err := eachDocument(file, stdio.in, f.take); err != nil {
			f.errs = append(f.errs, err)
		}
	}
	return f, errors.Join(f.errs...)
}

func (f *previewFiles) take(file string, line int, text []byte) {
	data, err := yaml.YAMLToJSON(text)
	if err == nil {
		err = f.object(file, line, data)
	}
	if err != nil {
		f.errs = append(f.errs, fmt.Errorf("%s:%d: %w", file, line, err))
	}
}

// object reads one object, or those of a List.
func (f *previewFiles) object(file string, line int, data []byte) error {
	var object struct {
		Kind             string
		Metadata         metav1.ObjectMeta
		Data, BinaryData map[string]string
		Items            []json.RawMessage
	}
	if err := json.Unmarshal(data, &object); err != nil {
		return nil // not an object of Kubernetes
	}
	switch object.Kind {
	case "List", "ConfigMapList":
		var errs []error
		for _, item := range object.Items {
			errs = append(errs, f.object(file, line, item))
		}
		return errors.Join(errs...)
	case "ConfigMap":
		return f.configMap(file, object.Metadata, object.Data, object.BinaryData)
	case "Namespace":
		labels := map[string]string{"kubernetes.io/metadata.name": object.Metadata.Name}
		maps.Copy(labels, object.Metadata.Labels)
		f.namespaces[object.Metadata.Name] = status.Namespace{Namespace: explain.Namespace{Name: object.Metadata.Name, Labels: labels, Annotations: object.Metadata.Annotations, Known: true}}
		return nil
	}
	s, ok, err := explain.NewSubject(data)
	if err != nil || !ok {
		return err
	}
	s.File, s.Line = file, line
	f.workloads = append(f.workloads, s)
	return nil
}

// configMap is one of the two ConfigMaps; any other is an error if it has the keys of one.
func (f *previewFiles) configMap(file string, m metav1.ObjectMeta, data, binary map[string]string) error {
	known := f.at.Keys(m.Name)
	if known == nil || m.Namespace != "" && m.Namespace != f.at.Namespace {
		for _, key := range []string{"config", "values", "mesh"} {
			if _, ok := data[key]; ok && known == nil {
				return fmt.Errorf("ConfigMap %s is not read; the names are %s and %s (see --revision)", problem.Quote(m.Name), f.at.Injector, f.at.Mesh)
			}
		}
		if known != nil {
			return fmt.Errorf("ConfigMap %s is in namespace %s, and the installation in %s (see --istioNamespace)", m.Name, problem.Quote(m.Namespace), f.at.Namespace)
		}
		return nil
	}
	if problems := config.KeyProblems(known, slices.Sorted(maps.Keys(data)), slices.Sorted(maps.Keys(binary))); problems.HasErrors() {
		return fmt.Errorf("ConfigMap %s: %w", m.Name, problems.Err())
	}
	f.maps = append(f.maps, editedMap{m.Name, file, data})
	return nil
}

// edits is the edit that is previewed.
type edits struct {
	base, edited []editedMap
	set          []string
	at           config.Location
}

// replace replaces the texts of ConfigMaps. Lines in messages are those of the texts.
func (e edits) replace(by []editedMap, t config.Texts, l config.Labels) (config.Texts, config.Labels) {
	usual := e.at.Labels()
	for _, m := range by {
		e.at.Set(&t, m.name, m.data)
		if m.name == e.at.Mesh {
			l.Mesh = m.file + ": " + usual.Mesh
		} else {
			l.Config, l.Values = m.file+": "+usual.Config, m.file+": "+usual.Values
		}
	}
	return t, l
}

// apply is the edit of texts.
func (e edits) apply(t config.Texts, l config.Labels) (config.Texts, config.Labels, error) {
	t, l = e.replace(e.edited, t, l)
	for _, text := range e.set {
		a, err := parseAssignment(text)
		if err != nil {
			return t, l, err
		}
		of, label := &t.Values, &l.Values
		if a.mesh {
			of, label = &t.Mesh, &l.Mesh
		}
		if *of, err = a.set(*of); err != nil {
			return t, l, fmt.Errorf("--set %s: %w", problem.Quote(text), err)
		}
		*label = "--set"
	}
	return t, l, nil
}

// assignment is a value of --set.
type assignment struct {
	mesh bool
	path []string
	to   any
}

func parseAssignment(text string) (a assignment, err error) {
	key, value, ok := strings.Cut(text, "=")
	if rest, found := strings.CutPrefix(key, "meshConfig."); found {
		a.mesh, key = true, rest
	} else {
		key = strings.TrimPrefix(key, "values.")
	}
	a.path = strings.Split(key, ".")
	if !ok || slices.Contains(a.path, "") {
		return a, fmt.Errorf("--set: %s: not KEY=VALUE; use a key such as global.proxy.includeIPRanges", problem.Quote(text))
	}
	// A scalar as YAML has it; what is no YAML, such as *, is a text.
	if yaml.Unmarshal([]byte(value), &a.to) != nil || a.to == nil {
		a.to = value
	}
	return a, nil
}

// set sets the key in a text.
func (a assignment) set(text string) (string, error) {
	root := map[string]any{}
	if err := yaml.Unmarshal([]byte(text), &root); err != nil {
		return "", fmt.Errorf("the text before it: %w", err)
	}
	if root == nil {
		root = map[string]any{}
	}
	at := root
	for i, key := range a.path[:len(a.path)-1] {
		switch next := at[key].(type) {
		case map[string]any:
			at = next
		case nil:
			made := map[string]any{}
			at[key] = made
			at = made
		default:
			return "", fmt.Errorf("%s is not an object", strings.Join(a.path[:i+1], "."))
		}
	}
	at[a.path[len(a.path)-1]] = a.to
	out, err := yaml.Marshal(root)
	return string(out), err
}
