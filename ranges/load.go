package ranges

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// Document is one thing an administrator pasted, or one answer of a cluster.
type Document struct {
	Name string // for messages: a file name, "standard input", "servicecidr/kubernetes"
	Text string
	// Answer marks what a program has from an API: its lines mean nothing to a
	// person, and are not named.
	Answer bool
}

// chunk is one part of a document: a value, or lines that are none.
type chunk struct {
	value    *document.Node
	lines    []string     // the text
	line     int          // the first line, from 1
	problems problem.List // why the text is not a value
}

// load cuts a document into chunks.
func load(doc Document) ([]chunk, problem.List) {
	invalid := func(rule, fix string) problem.List {
		return problem.List{problem.Invalid("", "", rule, fix).In(doc.Name)}
	}
	text := plain(doc.Text)
	switch {
	case len(text) > maxBytes:
		return nil, invalid(fmt.Sprintf("%d bytes exceed the limit of %d", len(text), maxBytes), "pass only the part with the ranges")
	case !utf8.ValidString(text):
		return nil, invalid("invalid UTF-8", "pass the output as it was printed")
	case strings.TrimSpace(text) == "":
		return nil, invalid("empty input", "did the piped command fail?")
	}
	l := newLoader(doc.Name, blankNoise(text))
	l.run()
	return l.chunks, nil
}

// plain is the text without byte order mark, carriage returns and colours.
// Windows shells write files in UTF-16.
func plain(s string) string {
	if big := strings.HasPrefix(s, "\xFE\xFF"); big || strings.HasPrefix(s, "\xFF\xFE") {
		units := make([]uint16, 0, len(s)/2)
		for i := 2; i+1 < len(s); i += 2 {
			lo, hi := s[i], s[i+1]
			if big {
				lo, hi = hi, lo
			}
			units = append(units, uint16(lo)|uint16(hi)<<8)
		}
		s = string(utf16.Decode(units))
	}
	s = strings.TrimPrefix(s, "\uFEFF")
	s = strings.ReplaceAll(s, "\r\n", "\n")
	return colour.ReplaceAllString(s, "")
}

var (
	colour = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`)
	// prompt is a line with the command that a paste begins with.
	prompt = regexp.MustCompile("^(\\$ |\\S+@\\S+.*[$#%] |\\[\\S+ \\S+\\][$#] |PS \\S*> |```)")
)

// blankNoise empties lines that are no part of an output, and keeps their
// number: prompts, Markdown fences, and the logs in a cluster-info dump, which
// may hold anything.
func blankNoise(text string) string {
	lines := strings.Split(text, "\n")
	logs := false
	for i, l := range lines {
		start := strings.HasPrefix(l, "==== START logs for container ")
		end := strings.HasPrefix(l, "==== END logs for container ")
		logs = (logs || start) && !end
		if logs || end || prompt.MatchString(l) {
			lines[i] = ""
		}
	}
	return strings.Join(lines, "\n")
}

// loader reads a text from front to back.
type loader struct {
	doc    string
	text   string
	starts []int // where each line begins, and the end of the text
	chunks []chunk
	budget document.Budget // shared by all values of the document
}

func newLoader(doc, text string) *loader {
	l := &loader{doc: doc, text: text, starts: []int{0}, budget: document.Budget{Values: maxNodes, Bytes: maxBytes}}
	for i := range len(text) {
		if text[i] == '\n' {
			l.starts = append(l.starts, i+1)
		}
	}
	l.starts = append(l.starts, len(text))
	return l
}

// line is a line's text, by its index from 0.
func (l *loader) line(i int) string {
	return strings.TrimSuffix(l.text[l.starts[i]:l.starts[i+1]], "\n")
}

func (l *loader) size() int { return len(l.starts) - 1 }

// run reads values and texts one after the other.
func (l *loader) run() {
	for at, offset := 0, 0; at < l.size(); {
		first := strings.TrimSpace(l.text[max(offset, l.starts[at]):l.starts[at+1]])
		switch {
		case first == "":
			at++
		case first[0] == '{' || first[0] == '[':
			at, offset = l.json(at, max(offset, l.starts[at]))
		default:
			end := l.endOfText(at)
			l.yaml(at, end, nil)
			at = end
		}
	}
}

// endOfText is where the next document begins: at a separator, or at JSON that
// follows words.
func (l *loader) endOfText(at int) int {
	for i := at + 1; i < l.size(); i++ {
		s := strings.TrimRight(l.line(i), " \t")
		if s == "---" || strings.HasPrefix(s, "--- ") || strings.HasPrefix(s, "{") || s == "[" {
			return i
		}
	}
	return l.size()
}

// json reads one JSON value that begins on line at, and returns where to go on.
// What is no JSON may still be YAML in flow style, or text.
func (l *loader) json(at, offset int) (line, next int) {
	text := l.text[offset:]
	d := jsonReader{dec: json.NewDecoder(strings.NewReader(text)), text: text, line: at + 1, budget: &l.budget}
	d.dec.UseNumber()
	n, err := d.value(0)
	d.advance()
	if err == nil {
		end := int(d.dec.InputOffset())
		l.chunks = append(l.chunks, chunk{value: n, lines: strings.Split(text[:end], "\n"), line: at + 1})
		return d.line - 1, offset + end
	}
	p := problem.Invalid("", "", "invalid JSON: "+problem.Short(err.Error()), "").In(l.doc).On(d.line, 0)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		p.Rule, p.Fix = "truncated JSON", "pass the whole output"
	}
	end := l.endOfText(at)
	l.yaml(at, end, problem.List{p})
	return end, 0
}

// yaml reads the lines as YAML. What is not a mapping or list stays text;
// problems are the reason, if it is known already.
func (l *loader) yaml(at, end int, problems problem.List) {
	text := l.text[l.starts[at]:l.starts[end]]
	lines := strings.Split(text, "\n")
	c := chunk{lines: lines, line: at + 1, problems: problems}
	if !described(lines) {
		n, bad := document.Read(text, document.Options{Line: at, AsText: true, Budget: &l.budget})
		switch {
		case len(bad) > 0 && len(problems) == 0:
			c.problems = bad.In(l.doc)
		case len(bad) == 0 && n != nil && (n.Kind == document.Map || n.Kind == document.List):
			c.value, c.problems = n, nil
		case len(bad) == 0 && n == nil:
			return
		}
	}
	l.chunks = append(l.chunks, c)
}

var (
	describeName  = regexp.MustCompile(`^Name:\s+\S`)
	describeOther = regexp.MustCompile(`^(Labels|Annotations|API Version):(\s|$)`)
)

// described reports the output of "kubectl describe", some of which would pass
// as YAML by accident.
func described(lines []string) bool {
	var name, other bool
	for _, l := range lines {
		name = name || describeName.MatchString(l)
		other = other || describeOther.MatchString(l)
		if name && other {
			return true
		}
	}
	return false
}
