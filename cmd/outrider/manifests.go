package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/manifest"
)

// manifestOptions are the flags of the commands that change manifests.
type manifestOptions struct {
	files         []string
	recursive     bool
	output        string
	inPlace, diff bool
	format        string
	namespace     string
	templatePaths []string
}

func (o *manifestOptions) addFlags(f *pflag.FlagSet) {
	f.StringArrayVarP(&o.files, "filename", "f", nil, "YAML or JSON manifest, or directory of manifests (*.yaml, *.yml, *.json); - is stdin; may be repeated")
	f.BoolVarP(&o.recursive, "recursive", "R", false, "process directories recursively")
	f.StringVarP(&o.output, "output", "o", "", "output file, written only on success (default: stdout)")
	f.BoolVar(&o.inPlace, "in-place", false, "edit files in place; no file is changed if any fails")
	f.BoolVar(&o.diff, "diff", false, "print the changes as a unified diff; does not modify files")
	f.StringVar(&o.format, "format", "yaml", "yaml: edited text; json: one JSON document per object; patch: one RFC 6902 patch per changed object")
	f.StringVarP(&o.namespace, "namespace", "n", "", "namespace for objects without metadata.namespace")
	f.StringArrayVar(&o.templatePaths, "pod-template-path", nil, "pod-template path of a custom kind, as KIND.GROUP=PATH, such as Service.serving.knative.dev=spec.template; may be repeated")
}

// formats are the values of --format.
var formats = map[string]manifest.Format{"yaml": manifest.Text, "json": manifest.JSON, "patch": manifest.Patches}

// check rejects flags that cannot be combined.
func (o *manifestOptions) check() error {
	format, known := formats[o.format]
	switch {
	case len(o.files) == 0:
		return usagef("no input: specify -f FILE (or -f - for stdin)")
	case !known:
		return usagef("invalid --format %q: must be yaml, json or patch", o.format)
	case o.inPlace && o.diff:
		return usagef("--in-place and --diff are mutually exclusive")
	case o.inPlace && o.output != "":
		return usagef("--in-place and -o are mutually exclusive")
	case (o.inPlace || o.diff) && format != manifest.Text:
		return usagef("--format %s cannot be combined with --in-place or --diff", o.format)
	}
	standard := 0
	for _, file := range o.files {
		if file == "-" {
			standard++
		}
	}
	if standard > 0 && o.inPlace {
		return usagef("--in-place cannot be used with stdin")
	}
	if standard > 1 {
		return usagef("-f -: \"-\" (stdin) may be used only once")
	}
	return nil
}

// paths reads --pod-template-path.
func (o *manifestOptions) paths() (inject.Paths, error) {
	paths := inject.Paths{}
	for _, text := range o.templatePaths {
		if err := paths.ParsePath(text); err != nil {
			return nil, usagef("--pod-template-path %w", err)
		}
	}
	return paths, nil
}

// work transforms manifests.
type work struct {
	manifestOptions
	stdio    stdio
	injector manifest.Injector
	paths    inject.Paths
	report   func(w io.Writer, file string, object manifest.Object)
	nothing  string // reported for each file when none has an object to work on
	command  string // its name
	whole    bool   // parts of objects, such as patches, are skipped
	ignored  string // what happens to objects of kinds that are not read

	objects int  // with a pod template, in all files
	several bool // the result is of several files
	others  []manifest.Other
	first   []string // the file of each of others
}

// run transforms the files. The results are committed only after the last one, and
// from then on an interrupt has no effect.
func (w *work) run(ctx context.Context) error {
	out := &results{inPlace: w.inPlace}
	if !w.inPlace {
		shared, err := newSpool(w.output, w.stdio.out)
		if err != nil {
			return err
		}
		out.shared = shared
		if err := out.register(shared); err != nil {
			return err
		}
	}
	done := make(chan error, 1)
	go func() { done <- w.all(out) }()
	select {
	case err := <-done:
		defer out.discard()
		if err != nil {
			return fmt.Errorf("%w\nnothing was written", err)
		}
		return out.commit()
	case <-ctx.Done():
		// A blocking read may be in progress, so out is still in use.
		out.abandon()
		return errInterrupted
	}
}

// all transforms the files one after the other.
func (w *work) all(out *results) error {
	files, err := inputs(w.command, w.files, w.recursive)
	failed := []error{err}
	w.several = len(files) > 1 && !w.inPlace && !w.diff
	for _, file := range files {
		failed = append(failed, w.file(file, out))
	}
	w.reportOthers()
	if err = errors.Join(failed...); err != nil || w.objects+len(w.others) > 0 {
		return err
	}
	for _, file := range files {
		fmt.Fprintf(w.stdio.err, "%s: %s\n", nameOf(file), w.nothing)
	}
	return nil
}

// reportOthers reports the kinds that have pods but are not read, one line each.
func (w *work) reportOthers() {
	for i, o := range w.others {
		more := ""
		if o.Count > 1 {
			more = fmt.Sprintf(" (%d objects)", o.Count)
		}
		fmt.Fprintf(w.stdio.err, "%s: document %d (%s): %s: %s%s\n", w.first[i], o.Document, problem.Printable(o.Object), w.ignored, o.Problem.Finding(), more)
	}
}

// file transforms one file.
func (w *work) file(file string, out *results) error {
	r, name, err := openInput("-f", file, w.stdio.in)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	to, err := out.of(file)
	if err != nil {
		return err
	}
	changed := false
	o := manifest.Options{
		Injector: w.injector, File: name, Namespace: w.namespace, Paths: w.paths, Format: formats[w.format], Workers: workers(), Whole: w.whole,
		Each: func(object manifest.Object) {
			changed = changed || object.Changed
			w.report(w.stdio.err, name, object)
		},
	}
	o.Separate = w.several && o.Format == manifest.Text
	target := io.Writer(to)
	switch {
	case w.diff:
		d := &differ{w: to, name: name}
		o.Replaced, target = d.replaced, io.Discard
	case o.Format == manifest.Text:
		target = &joiner{w: to, start: to.size}
	}
	report, err := manifest.Transform(r, target, o)
	w.objects += report.Injected + report.Skipped
	w.others = manifest.Merge(w.others, report.Others...)
	for len(w.first) < len(w.others) {
		w.first = append(w.first, name)
	}
	if err != nil {
		err = inFile(name, err)
	}
	return out.done(to, changed, err)
}

// maxWorkers bounds the documents transformed concurrently: each worker keeps the
// memory of one document, and writing in order is single-threaded.
const maxWorkers = 4

func workers() int { return min(runtime.GOMAXPROCS(0), maxWorkers) }

var errInterrupted = errors.New("interrupted; nothing was written")

// grace is how long an interrupted command may take to remove its temporary
// files, or to finish a commit in progress.
const grace = 500 * time.Millisecond

// interruptible runs work, but returns when the context is cancelled: a read from
// a terminal or pipe cannot be interrupted.
func interruptible(ctx context.Context, work func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- work(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(grace):
		return errors.New("interrupted")
	}
}

// inFile adds the file to errors without one, and lists all problems: a List bounds
// its own text.
func inFile(name string, err error) error {
	var problems problem.List
	if errors.As(err, &problems) {
		return errors.New(strings.Join(problems.Strings(), "\n"))
	}
	return fmt.Errorf("%s: %w", name, err)
}

// joiner writes a separator before a stream that follows another one.
type joiner struct {
	w       *spool
	start   int64 // bytes written before
	started bool
}

func (j *joiner) Write(p []byte) (int, error) {
	if !j.started && len(p) > 0 {
		j.started = true
		if j.start > 0 {
			separator := ""
			if j.w.last != '\n' {
				separator = "\n"
			}
			if !bytes.HasPrefix(p, []byte("---")) {
				separator += "---\n"
			}
			if _, err := j.w.Write([]byte(separator)); err != nil {
				return 0, err
			}
		}
	}
	return j.w.Write(p)
}
