package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/spf13/pflag"

	"github.com/outrider-mesh/outrider/inject"
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
	f.StringArrayVarP(&o.files, "filename", "f", nil, "manifest, YAML or JSON, or directory of manifests (*.yaml, *.yml, *.json); - is standard input; may be repeated")
	f.BoolVarP(&o.recursive, "recursive", "R", false, "take the directories below a directory too")
	f.StringVarP(&o.output, "output", "o", "", "file for the result, replaced only when all is well; default standard output")
	f.BoolVar(&o.inPlace, "in-place", false, "change the files themselves, all of them or, on any error, none")
	f.BoolVar(&o.diff, "diff", false, "print what would change as a unified diff; changes no file")
	f.StringVar(&o.format, "format", "yaml", "yaml: the text itself, edited; json: every document as JSON; patch: one line of JSON for each object, with its name and an RFC 6902 patch")
	f.StringVarP(&o.namespace, "namespace", "n", "", "namespace of objects that name none")
	f.StringArrayVar(&o.templatePaths, "pod-template-path", nil, "where another kind has its pod template: KIND.GROUP=PATH, such as Service.serving.knative.dev=spec.template; may be repeated")
}

// formats are the values of --format.
var formats = map[string]manifest.Format{"yaml": manifest.Text, "json": manifest.JSON, "patch": manifest.Patches}

// check refuses flags that do not go together.
func (o *manifestOptions) check() error {
	format, known := formats[o.format]
	switch {
	case len(o.files) == 0:
		return usagef("no input: give -f FILE, or -f - for standard input")
	case !known:
		return usagef("--format %q: write yaml, json or patch", o.format)
	case o.inPlace && o.diff:
		return usagef("--in-place changes files and --diff changes none: give one of the two")
	case o.inPlace && o.output != "":
		return usagef("--in-place writes to the files that -f names: leave -o %s out", o.output)
	case (o.inPlace || o.diff) && format != manifest.Text:
		return usagef("--format %s goes with neither --in-place nor --diff", o.format)
	}
	standard := 0
	for _, file := range o.files {
		if file == "-" {
			standard++
		}
	}
	if standard > 0 && o.inPlace {
		return usagef("--in-place: standard input is no file that could be changed; leave -f - out")
	}
	if standard > 1 {
		return usagef("-f - is given twice; standard input can be read once")
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

// work changes manifests.
type work struct {
	manifestOptions
	stdio    stdio
	injector manifest.Injector
	paths    inject.Paths
	tell     func(w io.Writer, file string, object manifest.Object)
	nothing  string // said of the files when there was nothing to do in any of them

	objects int // with a pod template, in all files
}

// run changes the files. What they became is handed over only after the last
// one, and then an interrupt comes too late.
func (w *work) run(ctx context.Context) error {
	out := &results{inPlace: w.inPlace}
	if !w.inPlace {
		shared, err := newSpool(w.output, w.stdio.out)
		if err != nil {
			return err
		}
		out.shared = shared
		if shared.target != "" {
			if err := out.register(shared); err != nil {
				return err
			}
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
		// A read may be under way that nobody can cut short, so out is still in use.
		out.abandon()
		return errInterrupted
	}
}

// all changes the files one after the other.
func (w *work) all(out *results) error {
	files, err := inputs(w.files, w.recursive)
	failed := []error{err}
	for _, file := range files {
		failed = append(failed, w.file(file, out))
	}
	if err = errors.Join(failed...); err != nil || w.objects > 0 {
		return err
	}
	for _, file := range files {
		fmt.Fprintf(w.stdio.err, "%s: %s\n", nameOf(file), w.nothing)
	}
	return nil
}

// file changes one file.
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
		Injector: w.injector, File: name, Namespace: w.namespace, Paths: w.paths, Format: formats[w.format], Workers: workers(),
		Each: func(object manifest.Object) {
			changed = changed || object.Changed
			w.tell(w.stdio.err, name, object)
		},
	}
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
	if err != nil {
		err = inFile(name, err)
	}
	return out.done(to, changed, err)
}

// maxWorkers bounds the documents in work at a time: each worker keeps the
// memory of one document, and writing in order is one thread's work.
const maxWorkers = 4

func workers() int { return min(runtime.GOMAXPROCS(0), maxWorkers) }

// frugal makes the command fit in little memory.
func frugal() { giveBackStart() }

var errInterrupted = errors.New("interrupted; nothing was written")

// grace is how long an interrupted command may take to remove its temporary
// files, or to finish the hand-over that it is in the middle of.
const grace = 500 * time.Millisecond

// interruptible runs work, but returns when the context ends first: a read from
// a terminal or pipe cannot be cut short.
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

// inFile names the file in errors that do not name it themselves.
func inFile(name string, err error) error {
	var problems *manifest.Error
	if errors.As(err, &problems) {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}

// joiner puts a separator before a stream that follows another one.
type joiner struct {
	w       *spool
	start   int64 // size of what is there already
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
