package ranges

import (
	"regexp"
)

// Read takes the evidence out of documents. The error is an *Error with every
// problem of every document: text that is cut off, ranges that are none.
// A document of no known kind is no error, but a warning.
func Read(docs []Document) (*ClusterData, error) {
	r := reader{data: &ClusterData{}}
	for _, d := range docs {
		r.document(d)
	}
	r.assignSupplies()
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	return r.data, nil
}

func (r *reader) document(d Document) {
	r.doc, r.answer = d.Name, d.Answer
	chunks, problems := load(d)
	r.problems.Add(problems...)
	known := len(problems) > 0
	for _, c := range chunks {
		r.root++
		switch {
		case c.value != nil:
			known = r.object(c.value, "") || r.loose(c) || known
		case r.lines(c):
			known = true
		case len(c.problems) > 0 && structured(c.lines):
			r.problems.Add(c.problems...)
			known = true
		}
	}
	if known {
		r.data.read++
		return
	}
	r.data.warn("%s: unrecognized document, ignored", d.Name)
}

// loose reads a value that is no document by itself as the text it is: flags,
// the words of an error, what grep found.
func (r *reader) loose(c chunk) bool {
	switch n := c.value; {
	case flat(n) || flatList(n):
		return r.lines(c)
	case n.HasKey("kind") || n.HasKey("apiVersion"):
		return false
	}
	return r.flags(c)
}

var topLevel = regexp.MustCompile(`^(apiVersion|kind):|^\s*["']?(apiVersion|kind)["']\s*:|^\{|^\[[\s{"]*$`)

// structured reports text that was meant to be YAML or JSON.
func structured(lines []string) bool {
	for _, l := range lines {
		if topLevel.MatchString(l) {
			return true
		}
	}
	return false
}
