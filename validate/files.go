package validate

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/manifest"
	"github.com/outrider-mesh/outrider/ranges"
)

// Options are what the objects of files are validated with.
type Options struct {
	// Namespace is that of objects without one; empty: default.
	Namespace string
	// Location is that of the two ConfigMaps.
	Location config.Location
	// Texts and Labels are the configuration where the files have no ConfigMap.
	Texts  config.Texts
	Labels config.Labels
	// Environment is the cluster's, without Ranges.
	Environment inject.Environment
	// Ranges resolves the names of ranges. If nil, these are not known.
	Ranges func(*config.Config) *ranges.NamedRanges
	// Command is the name of the command, for fixes.
	Command string
}

// Document is one document of a file.
type Document struct {
	File string
	manifest.Document
}

// Files are the objects of files, and what is wrong with them.
type Files struct {
	o        Options
	files    []File
	skipped  map[string]int
	findings []located
	sources  int

	items      map[string]*item             // those of one name that apply, by what they are named
	order      []*item                      // all that are validated
	namespaces map[string]map[string]string // annotations of Namespaces, by name
}

// source is a document that was read.
type source struct {
	Document
	number   int
	strict   bool // its own problems are among the findings
	node     *document.Node
	problems problem.List
	unplaced bool // it has no node
	lines    []string
}

// item is one object of a document.
type item struct {
	source   *source
	at       []int // the indexes in Lists, from the document
	kind     string
	name     string // "ServiceEntry shop/a"
	meta     egress.Meta
	spec     proto.Message // decoded
	bytes    int           // of the spec's text
	text     []byte        // of a workload
	data     Data          // of a ConfigMap
	gone     bool          // another object of the name replaces it
	pointer  string        // of a workload's pod template
	problems problem.List  // those found when it was read
}

// New reads nothing yet.
func New(o Options) *Files {
	return &Files{o: o, skipped: map[string]int{}, items: map[string]*item{}, namespaces: map[string]map[string]string{}}
}

// Unreadable reports a file that cannot be read.
func (f *Files) Unreadable(file string, err error) {
	f.file(file)
	f.sources++
	f.findings = append(f.findings, located{Finding{Severity: SeverityError, RuleID: ruleFile, File: file, Message: err.Error()}, f.sources})
}

// File begins a file, which may have no document.
func (f *Files) File(name string) { f.file(name) }

func (f *Files) file(name string) *File {
	if n := len(f.files); n == 0 || f.files[n-1].File != name {
		f.files = append(f.files, File{File: name})
	}
	return &f.files[len(f.files)-1]
}

// Add reads a document.
func (f *Files) Add(d Document) {
	f.file(d.File)
	f.sources++
	s := &source{Document: d, number: f.sources}
	defer s.forget()
	if d.Problem != nil {
		p := *d.Problem
		f.unread(s, p.On(max(p.Line, d.Line), p.Column))
		return
	}
	data, p := s.json(f.o.Command)
	if p != nil {
		f.unread(s, *p)
		return
	}
	f.object(s, nil, data, typeMeta{})
}

// unread adds the problem of a document that is not read.
func (f *Files) unread(s *source, p problem.Problem) {
	found := finding(p, ruleSyntax)
	found.File, found.Line, found.Column = s.File, p.Line, p.Column
	found.Message = p.On(0, 0).String() // the finding has the place
	f.findings = append(f.findings, located{found, s.number})
}

// json is the document as kubectl sends it.
func (s *source) json(command string) ([]byte, *problem.Problem) {
	if !utf8.Valid(s.Text) {
		return nil, s.syntax(command, errors.New("not valid UTF-8"))
	}
	if json.Valid(s.Text) {
		return s.Text, nil
	}
	data, err := yaml.YAMLToJSON(s.Text)
	if err != nil {
		return nil, s.syntax(command, err)
	}
	return data, nil
}

// syntax is the problem of a document that is not YAML, at its place.
func (s *source) syntax(command string, err error) *problem.Problem {
	text := string(s.Text)
	p := problem.Invalid("", "", "not valid YAML or JSON: "+problem.Short(strings.TrimPrefix(err.Error(), "yaml: ")), "")
	if _, found := document.Load(text, len(text)); len(found) > 0 {
		p = found[0]
	}
	p = manifest.Unrendered(text, command, p)
	p.Line += s.Line - 1
	if p.Line < s.Line {
		p.Line = s.Line
	}
	return &p
}

// typeMeta is the version and kind of an object.
type typeMeta struct{ apiVersion, kind string }

func (t typeMeta) String() string { return strings.TrimSpace(t.apiVersion + " " + t.kind) }

// in is an object that has no version and kind of its own with these.
func (t typeMeta) in(object []byte) []byte {
	kinds, err := json.Marshal(map[string]string{"apiVersion": t.apiVersion, "kind": t.kind})
	if err != nil {
		return object // only texts
	}
	kinds[len(kinds)-1] = ','
	return append(kinds, bytes.TrimLeft(object, " \t\r\n{")...)
}

// object reads an object, or those of a List, in which objects have the kind of the List
// where they have none.
func (f *Files) object(s *source, at []int, data []byte, implied typeMeta) {
	fields := map[string]json.RawMessage{}
	if json.Unmarshal(data, &fields) != nil {
		if strings.TrimSpace(string(data)) != "null" {
			f.skip(s, "(no Kubernetes object)")
		}
		return
	}
	of := typeMeta{text(fields["apiVersion"]), text(fields["kind"])}
	if of == (typeMeta{}) && implied.kind != "" && len(fields) > 0 {
		of = implied
		data = of.in(data)
	}
	var items []json.RawMessage
	if strings.HasSuffix(of.kind, "List") && json.Unmarshal(fields["items"], &items) == nil {
		of.kind = strings.TrimSuffix(of.kind, "List")
		for i, one := range items {
			f.object(s, append(slices.Clone(at), i), one, of)
		}
		return
	}
	i := &item{source: s, at: at, kind: of.kind}
	group, _, _ := strings.Cut(of.apiVersion, "/")
	switch {
	case isMeshKind(of.kind) && (of.apiVersion == "" || strings.HasPrefix(group, "networking.")):
		f.meshObject(i, of.apiVersion, fields)
	case of == (typeMeta{"v1", "ConfigMap"}):
		f.configMap(i, data, fields)
	case of == (typeMeta{"v1", "Namespace"}):
		f.namespace(i, fields)
		f.skip(s, of.String())
	case of == (typeMeta{}):
		f.skip(s, "(no Kubernetes object)")
	default:
		f.workload(i, of, data)
	}
}

// text is that of a JSON string; empty for another value.
func text(value json.RawMessage) string {
	var s string
	if json.Unmarshal(value, &s) != nil {
		return ""
	}
	return s
}

func (f *Files) skip(s *source, kind string) {
	f.skipped[kind]++
	f.file(s.File).Skipped++
}

// metadata reads an object's metadata; problems are those of the types of its fields.
func (i *item) metadata(value json.RawMessage) (m metav1.ObjectMeta, problems problem.List) {
	if len(value) == 0 {
		return m, nil
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(value, &m); err != nil {
		m = metav1.ObjectMeta{}
		if problems = document.Object(i.node().Get("metadata"), "metadata", &m); len(problems) == 0 {
			problems = problem.List{problem.Invalid("metadata", "", "not valid: "+problem.Short(err.Error()), "")}
		}
	}
	return m, problems
}

// identify names the object; there is a problem where it has no name.
func (f *Files) identify(i *item, m metav1.ObjectMeta) {
	namespace, name := m.Namespace, m.Name
	if namespace == "" {
		namespace = cmp.Or(f.o.Namespace, "default")
	}
	switch {
	case name == "" && m.GenerateName != "":
		name = m.GenerateName + "*"
	case name == "" && len(i.problems) == 0:
		i.problems.Add(problem.Required("metadata.name", "add the object's name"))
	}
	i.meta = egress.Meta{Namespace: namespace, Name: name, Created: m.CreationTimestamp.Time}
	if i.meta.Created.IsZero() {
		i.meta.Created = Youngest()
	}
	i.name = i.kind + " " + namespace + "/" + name
}

// Youngest is the creation time of an object that is not created yet.
func Youngest() time.Time { return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) }

// keep adds an object that is validated, in the place of an earlier one of its name.
func (f *Files) keep(i *item) {
	f.file(i.source.File).Objects++
	f.order = append(f.order, i)
	if strings.HasSuffix(i.meta.Name, "*") || i.meta.Name == "" {
		f.strict(i)
		return
	}
	if before := f.items[i.name]; before != nil {
		before.gone = true
		p := problem.Invalid("metadata.name", i.meta.Name, "defined more than once; the last definition applies", "remove that of "+before.source.File+", line "+strconv.Itoa(before.source.Line)+", or this one").AsWarning()
		f.add(i, p, ruleTwice, i.of("metadata.name"))
	}
	f.items[i.name] = i
	f.strict(i)
}

// strict adds the problems of the object's document, such as a key that occurs twice, once.
func (f *Files) strict(i *item) {
	s := i.source
	if s.strict || s.tree() == nil {
		return
	}
	s.strict = true
	for _, p := range s.problems {
		f.unread(s, p)
	}
}

// finding is a problem as one.
func finding(p problem.Problem, rule string) Finding {
	if rule == "" {
		rule = byType[p.Type]
	}
	return Finding{Severity: p.Severity.String(), RuleID: rule, Path: p.Path, Value: p.Value, Message: p.String(), Fix: p.Fix}
}

// add adds a problem of an item at a place.
func (f *Files) add(i *item, p problem.Problem, rule string, at place) *Finding {
	found := finding(p, rule)
	found.Object, found.File, found.Line, found.Column = i.name, i.source.File, at.line, at.column
	f.findings = append(f.findings, located{found, i.source.number})
	return &f.findings[len(f.findings)-1].Finding
}

// note adds what depends on what is in none of the files.
func (f *Files) note(i *item, p problem.Problem, at place, why string) {
	rule := ""
	if why == notGiven {
		rule = ruleNotGiven // also of a name of ranges
	}
	n := f.add(i, p, rule, at)
	n.Severity, n.Note = SeverityNote, why
}
