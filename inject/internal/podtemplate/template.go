// Package podtemplate compiles and renders the templates of a sidecar
// injector: Go templates whose output is a YAML overlay for a pod.
//
// Three properties hold for every template, regardless of its author:
//
//   - It is hermetic. No helper sees a clock, randomness, the environment, the
//     network or a file, so the same inputs give the same overlay.
//   - It terminates. Loops, helper results and output are bounded by counting, not
//     by a clock, so a slow machine gives the same result as a fast one.
//   - No value of a pod changes the structure of the overlay. What a template
//     prints is classified when it is compiled: text that stems from the pod is
//     escaped for the quotes around it, and rejected where no escape exists.
//
// A compiled Template is immutable and safe for concurrent use.
package podtemplate

import (
	"fmt"
	"strings"
	"text/template"
)

// Bounds of one rendering. A usual sidecar is about 10 KB of output from some
// hundred steps; the bounds are two orders above and still end in well under a second.
const (
	maxOutput = 1 << 20 // bytes
	maxSteps  = 200_000 // loop passes and printed values
	maxSource = 1 << 20 // bytes; a ConfigMap holds no more
)

// Origin is where the value of a top-level data field comes from.
type Origin uint8

// The origins, from harmless to most specific.
const (
	FromConfig   Origin = iota // the admin's: may contain structure on purpose
	FromSettings               // resolved settings: may hold text of annotations
	FromPod                    // the pod itself
)

// Template is one compiled template.
type Template struct {
	// ReadsPod is set when the overlay may depend on the pod itself and not only
	// on configuration and settings.
	ReadsPod bool
	// Mutates is set when the template calls a helper that changes the maps it is
	// given: Render must then be called with its own copy of the data.
	Mutates bool
	// Missing names the fields and functions that the template uses and that do not
	// exist here. Such a template cannot be rendered; it may be one that no pod uses.
	Missing string

	name string
	tmpl *template.Template
}

// Compile parses a template. origins names and classifies the fields of the
// data that Render will be given.
func Compile(name, source string, origins map[string]Origin) (*Template, error) {
	if len(source) > maxSource {
		return nil, fmt.Errorf("template %q: %d bytes exceed the maximum length of %d", name, len(source), maxSource)
	}
	functions := funcs()
	absent := absentFuncs(name, source, functions)
	for _, fn := range absent {
		functions[fn] = func(...any) string { return "" }
	}
	tmpl, err := template.New(name).Funcs(functions).Parse(source)
	if err != nil {
		return nil, fmt.Errorf("template %q: %s", name, message(err, name))
	}
	a := &analysis{origins: origins, vars: map[string]Origin{}, calls: map[string][]string{}}
	a.run(tmpl)
	if a.cycle() != "" {
		return nil, fmt.Errorf("template %q: a template defined in it calls itself; recursion is not supported", name)
	}
	var missing []string
	if len(a.unknown) > 0 {
		missing = append(missing, "no such field: ."+clipped(a.unknown, ", ."))
	}
	if len(absent) > 0 {
		missing = append(missing, fmt.Sprintf(`function "%s" not defined`, clipped(absent, `", "`)))
	}
	return &Template{ReadsPod: a.readsPod, Mutates: a.mutates, Missing: strings.Join(missing, ", "), name: name, tmpl: tmpl}, nil
}

// clipped is a list of names, the first few of a long one.
func clipped(names []string, separator string) string {
	const most = 5 // of a message that the API server cuts at 256 characters
	if len(names) <= most {
		return strings.Join(names, separator)
	}
	return strings.Join(names[:most], separator) + fmt.Sprintf(" and %d more", len(names)-most)
}

// Render executes the template and returns its text.
func (t *Template) Render(data any) (out []byte, err error) {
	if t.Missing != "" {
		return nil, fmt.Errorf("template %q: %s", t.name, t.Missing)
	}
	defer func() {
		// A library's function may panic on an unexpected value; that must be an error
		// of the template, not crash the process.
		if p := recover(); p != nil {
			out, err = nil, fmt.Errorf("template %q: template function failed: %v", t.name, p)
		}
	}()
	w := newWriter()
	if err := t.tmpl.Execute(w, data); err != nil {
		return nil, fmt.Errorf("template %q: %s", t.name, message(err, t.name))
	}
	return w.out, nil
}

// message removes "template: NAME:" from an error of text/template and keeps
// "line N: ...", as the caller adds the name of the template.
func message(err error, name string) string {
	text := err.Error()
	if rest, ok := strings.CutPrefix(text, "template: "+name+":"); ok {
		return "line " + rest
	}
	return text
}
