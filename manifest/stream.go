// Package manifest injects the pods in a stream of YAML or JSON documents, or
// takes their injection back.
//
// What callers may rely on:
//   - A document that the injector does not change comes out byte for byte, with
//     its separators, comments, line breaks and byte order mark.
//   - In a document that changes, only the injected parts do: they are edited as
//     text. Every edited document is read again and compared with what it must
//     mean; where the edit of the text does not hold, the document is written
//     anew, and where that does not hold either there is an error.
//   - A document means what kubectl apply would send for it: YAML 1.1 as
//     sigs.k8s.io/yaml reads it, JSON as JSON.
//   - All documents are tried; every error names file, line, document and object.
//     What was written before an error is no result: the caller drops it.
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
)

// Injector injects one pod. *inject.Injector is one; inject.Uninjector, which
// takes an injection back, is another.
type Injector interface {
	Inject(inject.Request) (*inject.Result, error)
}

// workloadReviewer finds what is wrong about a workload beside its pod template.
// *inject.Injector is one.
type workloadReviewer interface {
	Review(template *inject.Template, namespace string, namespaceAnnotations map[string]string) []string
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

// Options say how a stream is transformed.
type Options struct {
	// Injector is required.
	Injector Injector
	// File names the stream in messages.
	File string
	// Namespace is that of objects that name none; empty means unknown.
	Namespace string
	// Workers is how many documents are worked on at a time; less than 2 is one.
	Workers int
	// MaxDocument limits the size of one document in bytes; 0 means 64 MiB.
	MaxDocument int
	// Paths are pod templates of kinds that are not built in.
	Paths inject.Paths
	// Format is what is written.
	Format Format
	// Replaced, where it is set, gets the text of every document that changes,
	// before and after, with the lines of the stream on which they start, in the
	// order of the stream. It goes with Format Text.
	Replaced func(before, after string, line, newLine int) error
	// Each, where it is set, gets the objects in the order of the stream; then
	// the report does not list them, and its size does not grow with the stream.
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

// Object tells what became of one object with a pod template.
type Object struct {
	Document  int // 1-based position of its document in the stream
	Line      int // 1-based, where the object starts
	Kind      string
	Namespace string
	Name      string
	// Template is the path of the pod template where the object has several.
	Template string
	// Decision says whether the pod is injected, and why.
	Decision inject.Decision
	// Changed says whether the object's text changed; an object that was
	// injected before by the same configuration does not.
	Changed  bool
	Warnings []string
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

// Report sums a stream up.
type Report struct {
	Documents int // documents, without trailing comments
	Injected  int // objects whose pods are injected now, or were before
	Skipped   int
	Objects   []Object // those with a pod template, in the order of the stream, unless Options.Each takes them
}

// Problem is one reason why a stream cannot be transformed.
type Problem struct {
	File     string
	Line     int // 1-based; 0 when unknown
	Document int // 1-based; 0 for the stream as a whole
	Object   string
	Text     string
}

// String is one line: file:line: document N (object): what is wrong.
func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	if p.Document > 0 {
		fmt.Fprintf(&b, ": document %d", p.Document)
	}
	if p.Object != "" {
		fmt.Fprintf(&b, " (%s)", p.Object)
	}
	return b.String() + ": " + p.Text
}

// Error holds every problem of a stream, in its order.
type Error struct{ Problems []Problem }

func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// batchBytes is how much text is worked on at a time.
const batchBytes = 64 << 10

// Transform copies the stream from r to w and injects the pods in it. The error
// is an *Error where the stream is at fault; then what w got is incomplete and
// must be dropped. The report is never nil.
func Transform(r io.Reader, w io.Writer, o Options) (*Report, error) {
	if o.MaxDocument == 0 {
		o.MaxDocument = defaultMaxDocument
	}
	report := &Report{}
	failed := &Error{}
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
			failed.Problems = append(failed.Problems, results[i].problems...)
			if len(failed.Problems) > 0 {
				continue
			}
			if err := writeChunk(out, &batch[i], &results[i]); err != nil {
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
			failed.Problems = append(failed.Problems, Problem{File: o.File, Text: readErr.Error()})
			break
		}
	}
	if len(failed.Problems) > 0 {
		return report, failed
	}
	if err := out.Flush(); err != nil {
		return report, fmt.Errorf("write: %w", err)
	}
	return report, nil
}

// readBatch reads some chunks; one suffices where they are not shared out.
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

// transformBatch transforms the chunks of a batch, several at a time.
func transformBatch(batch []chunk, o *Options, arenas []*arena) []outcome {
	results := make([]outcome, len(batch))
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

func (r *Report) add(c *chunk, out *outcome, each func(Object)) {
	if c.number > 0 {
		r.Documents++
	}
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

func writeChunk(w *bufio.Writer, c *chunk, out *outcome) error {
	var err error
	if c.bom && !out.whole {
		_, err = w.Write(bom)
	}
	if out.whole || out.changed {
		_, werr := w.WriteString(out.text)
		return errors.Join(err, werr)
	}
	_, werr := w.Write(c.text)
	return errors.Join(err, werr)
}

// shift is how many lines the result is ahead of the stream.
type shift int

func (s *shift) replaced(c *chunk, after string, tell func(before, after string, line, newLine int) error) error {
	line := c.line
	err := tell(string(c.text), after, line, line+int(*s))
	*s += shift(strings.Count(after, "\n") - bytes.Count(c.text, []byte("\n")))
	return err
}
