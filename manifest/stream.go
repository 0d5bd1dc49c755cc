// Package manifest is a byte-preserving manifest editor: it injects the pods in a
// stream of YAML or JSON documents, or removes their injection, and changes nothing
// else in the text.
//
// What callers may rely on:
//   - A document that the injector does not change is copied byte for byte, with
//     its separators, comments, line breaks and byte order mark.
//   - In a document that changes, only the injected parts do: they are edited as
//     text. Every edited document is parsed again and compared with the intended
//     object; if it differs, the document is rewritten, and if that differs too
//     there is an error.
//   - A document means what kubectl apply would send for it: YAML 1.1 as
//     sigs.k8s.io/yaml reads it, JSON as JSON.
//   - All documents are processed; every problem has file, line, document and
//     object. What was written before an error is incomplete: the caller drops it.
package manifest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/jsontree"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// Injector injects one pod, as *inject.Injector does, or removes its injection, as
// inject.Uninjector does.
type Injector interface {
	Inject(inject.Request) (*inject.Result, error)
}

// workloadReviewer warns about a workload outside its pod template.
// *inject.Injector is one.
type workloadReviewer interface {
	Review(template *inject.Template, namespace string, namespaceAnnotations map[string]string) problem.List
}

// Format is what is written.
type Format uint8

const (
	// Text is the stream itself, with the text of injected documents edited.
	Text Format = iota
	// JSON is every document as JSON, one after the other.
	JSON
	// Patches is one line for each object that changes: a JSON object with
	// "target", which names the object, and "patch", an RFC 6902 document.
	Patches
)

// Options are the settings of Transform.
type Options struct {
	// Injector is required.
	Injector Injector
	// File is the name of the stream in problems.
	File string
	// Namespace is that of objects without one; empty means unknown.
	Namespace string
	// Workers is the number of documents processed concurrently; less than 2 is one.
	Workers int
	// MaxDocument limits the size of one document in bytes; 0 means 64 MiB.
	MaxDocument int
	// Paths are the pod templates of custom kinds.
	Paths inject.Paths
	// Format is what is written.
	Format Format
	// Whole skips pod templates that are not whole, such as those of patches.
	Whole bool
	// Separate writes a line "---" between JSON objects that follow one another, for a
	// result to which other text is added: there kubectl reads YAML.
	Separate bool
	// Replaced, if set, is called with the text of every document that changes,
	// before and after, with the lines of the stream on which they start, in the
	// order of the stream. It requires Format Text.
	Replaced func(before, after string, line, newLine int) error
	// Each, if set, is called with the objects in the order of the stream; then the
	// report does not list them, and its size does not grow with the stream.
	Each func(Object)

	// pod replaces inject.Result.Tree in tests of the editing alone.
	pod func(*inject.Result) *jsontree.Node
}

func (o *Options) tree(r *inject.Result) *jsontree.Node {
	if o.pod != nil {
		return o.pod(r)
	}
	return r.Tree()
}

const defaultMaxDocument = 64 << 20

// Object is the result for one object with a pod template.
type Object struct {
	Document  int // 1-based position of its document in the stream
	Line      int // 1-based, where the object starts
	Kind      string
	Namespace string
	Name      string
	// Template is the path of the pod template where the object has several.
	Template string
	// Decision is whether the pod is injected, and why.
	Decision inject.Decision
	// Changed is set when the object's text changed; that of an object that was
	// injected before with the same configuration does not.
	Changed  bool
	Warnings problem.List
}

// String names the object: "Deployment default/sleep".
func (o Object) String() string {
	name := objectName(o.Kind, o.Namespace, o.Name)
	if o.Template != "" {
		name += ", " + o.Template
	}
	return name
}

func objectName(kind, namespace, name string) string {
	if name == "" {
		name = "(no name)"
	}
	if namespace != "" {
		name = namespace + "/" + name
	}
	return strings.TrimSpace(kind + " " + name)
}

// Report is the summary of a stream.
type Report struct {
	Documents int // documents, without trailing comments
	Injected  int // objects whose pods are injected now, or were before
	Skipped   int
	Others    []Other  // by kind, bounded
	Objects   []Object // those with a pod template, in the order of the stream, unless Options.Each is set
}

// batchBytes is how much text is processed at a time.
const batchBytes = 64 << 10

// Transform copies the stream from r to w and injects the pods in it. The error
// is a problem.List where the stream is at fault, in its order; then what was written
// to w is incomplete and must be dropped. The report is never nil.
func Transform(r io.Reader, w io.Writer, o Options) (*Report, error) {
	if o.MaxDocument == 0 {
		o.MaxDocument = defaultMaxDocument
	}
	report := &Report{}
	var failed problem.List
	out := bufio.NewWriterSize(w, 64<<10)
	s := newSplitter(r, o.MaxDocument)
	moved := shift(0)
	arenas := make([]*arena, max(o.Workers, 1))
	for i := range arenas {
		arenas[i] = newArena()
	}
	for {
		batch, readErr := readBatch(s, max(o.Workers, 1) > 1)
		results := transformBatch(batch, &o, arenas)
		for i := range results {
			report.add(&batch[i], &results[i], o.Each)
			failed.Add(results[i].problems...)
			if len(failed) > 0 {
				continue
			}
			if err := writeChunk(out, &batch[i], &results[i], o.Separate); err != nil {
				return report, fmt.Errorf("write: %w", err)
			}
			if o.Replaced == nil || !results[i].changed {
				continue
			}
			if err := moved.replaced(&batch[i], results[i].text, o.Replaced); err != nil {
				return report, err
			}
		}
		if errors.Is(readErr, io.EOF) {
			break
		}
		if readErr != nil {
			failed.Add(problem.Invalid("", "", readErr.Error(), "").In(o.File))
			break
		}
	}
	if len(failed) > 0 {
		return report, failed
	}
	if err := out.Flush(); err != nil {
		return report, fmt.Errorf("write: %w", err)
	}
	return report, nil
}

// readBatch reads several chunks, or one where there is a single worker.
func readBatch(s *splitter, many bool) ([]chunk, error) {
	var batch []chunk
	for size := 0; size < batchBytes; {
		c, err := s.next()
		if err != nil {
			return batch, err
		}
		batch = append(batch, c)
		if size += len(c.text); !many {
			break
		}
	}
	return batch, nil
}

// transformBatch transforms the chunks of a batch concurrently.
func transformBatch(batch []chunk, o *Options, arenas []*arena) []result {
	results := make([]result, len(batch))
	workers := min(len(arenas), len(batch))
	if workers < 2 {
		for i := range batch {
			results[i] = transform(&batch[i], o, arenas[0])
		}
		return results
	}
	const share = 8 // neighbouring chunks that one worker takes at a time
	next := make(chan int, len(batch)/share+1)
	for i := 0; i < len(batch); i += share {
		next <- i
	}
	close(next)
	var wait sync.WaitGroup
	for _, a := range arenas[:workers] {
		wait.Go(func() {
			for from := range next {
				for i := from; i < min(from+share, len(batch)); i++ {
					results[i] = transform(&batch[i], o, a)
				}
			}
		})
	}
	wait.Wait()
	return results
}

func (r *Report) add(c *chunk, out *result, each func(Object)) {
	if c.number > 0 {
		r.Documents += max(c.objects, 1)
	}
	r.Others = Merge(r.Others, out.others...)
	for _, object := range out.objects {
		if object.Decision.Inject {
			r.Injected++
		} else {
			r.Skipped++
		}
		if each != nil {
			each(object)
		} else {
			r.Objects = append(r.Objects, object)
		}
	}
}

func writeChunk(w *bufio.Writer, c *chunk, out *result, separate bool) error {
	var failed error
	put := func(_ int, err error) { failed = errors.Join(failed, err) }
	if separate && c.number > 1 && c.from == 0 {
		put(w.WriteString("---\n"))
	}
	if c.bom && !out.generated {
		put(w.Write(bom))
	}
	switch {
	case separate && c.objects > 1 && out.changed:
		put(w.Write(separated([]byte(out.text))))
	case separate && c.objects > 1:
		put(w.Write(separated(c.text)))
	case out.generated || out.changed:
		put(w.WriteString(out.text))
	default:
		put(w.Write(c.text))
	}
	return failed
}

// shift is how many lines the result is ahead of the stream.
type shift int

func (s *shift) replaced(c *chunk, after string, report func(before, after string, line, newLine int) error) error {
	line := c.line
	err := report(string(c.text), after, line, line+int(*s))
	*s += shift(strings.Count(after, "\n") - bytes.Count(c.text, []byte("\n")))
	return err
}
