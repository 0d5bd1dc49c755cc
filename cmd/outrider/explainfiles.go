package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/explain"
	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/internal/revision"
	"github.com/outrider-mesh/outrider/manifest"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

// explainFiles is what the files have.
type explainFiles struct {
	subject    *explain.Subject // the first pod or workload
	others     []string         // further ones, with their places
	objects    egress.Input
	manifests  map[string]explain.Manifest // of objects, by their source
	namespaces map[string]explain.Namespace
	errs       []error // in the order of the files
}

// fromFiles reads the first pod or workload of the files, with the other objects in them.
func (o *explainOptions) fromFiles(ctx context.Context, in *explain.Input, stdio stdio) (explain.Subject, error) {
	files, err := inputs("explain", o.files, false)
	if err != nil {
		return explain.Subject{}, err
	}
	f := explainFiles{manifests: map[string]explain.Manifest{}, namespaces: map[string]explain.Namespace{}}
	f.objects.Mesh = egress.CompileMesh(in.Injector.Config().Mesh)
	for _, file := range files {
		if err := eachDocument(file, stdio.in, f.take); err != nil {
			f.errs = append(f.errs, err)
		}
	}
	f.check()
	if f.subject == nil && len(f.errs) == 0 {
		f.errs = append(f.errs, fmt.Errorf("%s: no pod or workload; add the manifest of one", problem.Printable(strings.Join(o.files, ", "))))
	}
	if err := errors.Join(f.errs...); err != nil {
		return explain.Subject{}, err
	}
	if len(f.others) > 0 {
		fmt.Fprintf(stdio.err, "note: only the first pod or workload is explained, not %s; use one file for each\n", problem.Clip(strings.Join(f.others, ", "), 300))
	}
	s := *f.subject
	in.Manifests = f.manifests
	if s.Object.Namespace == "" {
		s.Object.Namespace = o.namespace
		if s.Object.Namespace == "" {
			s.Object.Namespace = "default"
		}
	}
	if o.cluster.enabled() {
		return s, o.readCluster(ctx, in, s.Object.Namespace, &f.objects)
	}
	in.Namespace = explain.Namespace{Name: s.Object.Namespace}
	if n, ok := f.namespaces[s.Object.Namespace]; ok {
		in.Namespace = n
	}
	in.Registered, in.InClusterUnknown = o.registered(), true
	in.Registered.Configurations = append(in.Registered.Configurations, *registration.Options{
		Revision: revision.Revision(o.revision), Namespace: o.cluster.namespace, Service: revision.Revision(o.revision).Name("outrider"),
	}.Mutating())
	in.Model, _ = egress.Build(f.objects) // check has the problems
	return s, nil
}

// check finds the errors of the objects, alone and against each other.
func (f *explainFiles) check() {
	_, problems := egress.Build(f.objects)
	for _, p := range problems.Errors() {
		if m, ok := f.manifests[p.Source]; ok {
			f.errs = append(f.errs, fmt.Errorf("%s:%d: %w", m.File, m.First, p))
		}
	}
}

// take reads one document of a manifest.
func (f *explainFiles) take(file string, line int, text []byte) {
	data, err := yaml.YAMLToJSON(text)
	if err == nil {
		m := explain.Manifest{File: file, First: line}
		m.Root, _ = document.Load(string(text), len(text)) // without it, answers have no lines
		err = f.object(m, data)
	}
	if err != nil {
		f.errs = append(f.errs, fmt.Errorf("%s:%d: %w", file, line, err))
	}
}

// object reads one object, or those of a List.
func (f *explainFiles) object(at explain.Manifest, data []byte) error {
	var object struct {
		Kind     string
		Metadata metav1.ObjectMeta
		Spec     json.RawMessage
		Items    []json.RawMessage
	}
	if json.Unmarshal(data, &object) != nil {
		return nil // not an object of Kubernetes
	}
	switch object.Kind {
	case "List":
		var errs []error
		for i, data := range object.Items {
			item := at
			item.Path = document.Index(strings.TrimPrefix(at.Path+".items", "."), i)
			errs = append(errs, f.object(item, data))
		}
		return errors.Join(errs...)
	case egress.KindServiceEntry, egress.KindVirtualService, egress.KindSidecar:
		m := egress.Meta{Namespace: object.Metadata.Namespace, Name: object.Metadata.Name, Created: time.Now()}
		if m.Namespace == "" {
			m.Namespace = "default"
		}
		spec, problems := egress.Decode(object.Kind, m, object.Spec)
		f.objects.Problems.Add(problems...)
		f.manifests[egress.Source(object.Kind, m)] = at
		f.objects.Add(m, spec, len(object.Spec))
		return nil
	case "Namespace":
		labels := map[string]string{"kubernetes.io/metadata.name": object.Metadata.Name}
		maps.Copy(labels, object.Metadata.Labels)
		f.namespaces[object.Metadata.Name] = explain.Namespace{Name: object.Metadata.Name, Labels: labels, Annotations: object.Metadata.Annotations, Known: true}
		return nil
	}
	found, ok, err := explain.NewSubject(data)
	switch {
	case err != nil || !ok:
		return err
	case f.subject != nil:
		f.others = append(f.others, fmt.Sprintf("%s %s (%s:%d)", found.Kind, problem.Printable(found.Name), at.File, at.First))
		return nil
	}
	found.File, found.Line, found.Manifest = at.File, at.First, at
	f.subject = &found
	return nil
}

// eachDocument calls f with each document of a file, and the line on which it starts.
func eachDocument(file string, stdin io.Reader, f func(name string, line int, text []byte)) error {
	var failed []error
	name, err := readManifest(file, stdin, func(name string, d manifest.Document) {
		if d.Problem != nil {
			failed = append(failed, d.Problem.In(name))
			return
		}
		f(name, d.Line, d.Text)
	})
	if err != nil {
		failed = append(failed, fmt.Errorf("%s: %w", name, err))
	}
	return errors.Join(failed...)
}

// maxManifest bounds a document in bytes: reading it needs up to 150 times as much memory.
const maxManifest = 16 << 20

// readManifest calls f with each document of a file, and returns the file's name.
func readManifest(file string, stdin io.Reader, f func(name string, d manifest.Document)) (string, error) {
	r, name, err := openInput("-f", file, stdin)
	if err != nil {
		return nameOf(file), err
	}
	defer func() { _ = r.Close() }()
	return name, manifest.Documents(r, maxManifest, func(d manifest.Document) { f(name, d) })
}
