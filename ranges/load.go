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

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

const (
	maxBytes = 64 << 20  // a dump of a large cluster; memory is some ten times that
	maxDepth = 100       // nesting; Kubernetes objects need about 20
	maxNodes = 4_000_000 // values, aliases expanded; 64 MiB of JSON hold about that
)

// chunk is one part of a document: a value, or lines that are none.
type chunk struct {
	value *node
	lines []string // the text
	line  int      // the first line, from 1
	fault *Problem // why the text is no value
}

// load cuts a document into chunks.
func load(doc Document) ([]chunk, []Problem) {
	problem := func(line int, rule, fix string) []Problem {
		return []Problem{{Where: Place{Document: doc.Name, Line: line}, Rule: rule, Fix: fix}}
	}
	text := plain(doc.Text)
	switch {
	case len(text) > maxBytes:
		return nil, problem(0, fmt.Sprintf("%d bytes, more than the limit of %d", len(text), maxBytes),
			"give only the part that holds the ranges")
	case !utf8.ValidString(text):
		return nil, problem(0, "not text in UTF-8 or UTF-16", "give the text as it was printed")
	case strings.TrimSpace(text) == "":
		return nil, problem(0, "empty", "if it came by a pipe, look at the error of the command before it")
	}
	l := newLoader(doc.Name, blankNoise(text))
	l.run()
	return l.chunks, l.problems
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
	doc      string
	text     string
	starts   []int // where each line begins, and the end of the text
	chunks   []chunk
	problems []Problem
	count    int
}

func newLoader(doc, text string) *loader {
	l := &loader{doc: doc, text: text, starts: []int{0}}
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
	d := jsonReader{dec: json.NewDecoder(strings.NewReader(text)), text: text, line: at + 1, count: &l.count}
	d.dec.UseNumber()
	n, err := d.value(0)
	d.advance()
	if err == nil {
		end := int(d.dec.InputOffset())
		l.chunks = append(l.chunks, chunk{value: n, lines: strings.Split(text[:end], "\n"), line: at + 1})
		return d.line - 1, offset + end
	}
	p := Problem{Where: Place{Document: l.doc, Line: d.line}, Rule: "not valid JSON: " + clip(err.Error())}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		p.Rule, p.Fix = "the JSON ends in the middle", "give the whole output"
	}
	end := l.endOfText(at)
	l.yaml(at, end, &p)
	return end, 0
}

// yaml reads the lines as YAML. What is no mapping or list stays text; fault
// says why, if it is known already.
func (l *loader) yaml(at, end int, fault *Problem) {
	text := l.text[l.starts[at]:l.starts[end]]
	lines := strings.Split(text, "\n")
	c := chunk{lines: lines, line: at + 1, fault: fault}
	if !described(lines) {
		n, p := l.yamlValue(text, at)
		switch {
		case p != nil && fault == nil:
			c.fault = p
		case p == nil && (n.shape == mapping || n.shape == list):
			c.value, c.fault = n, nil
		case p == nil && n.shape == null:
			return
		}
	}
	l.chunks = append(l.chunks, c)
}

func (l *loader) yamlValue(text string, at int) (*node, *Problem) {
	var doc yaml.Node
	err := yaml.Load([]byte(text), &doc, yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth))))
	if err != nil {
		p := Problem{Where: Place{Document: l.doc, Line: at + 1}, Rule: "not valid YAML: " + clip(err.Error())}
		var le *yaml.LoadError
		if errors.As(err, &le) && le.Message != "" {
			p.Rule = "not valid YAML: " + clip(le.Message)
			p.Where.Line = at + max(1, le.Mark.Line)
		}
		return nil, &p
	}
	y := yamlReader{doc: l.doc, offset: at, count: &l.count, active: map[*yaml.Node]bool{}}
	n := y.value(&doc, 0)
	if y.problem != nil {
		return nil, y.problem
	}
	return n, nil
}

type jsonReader struct {
	dec   *json.Decoder
	text  string
	seen  int64 // bytes whose lines are counted
	line  int
	count *int
}

// advance counts the lines up to the last token.
func (d *jsonReader) advance() {
	now := d.dec.InputOffset()
	d.line += strings.Count(d.text[d.seen:now], "\n")
	d.seen = now
}

func (d *jsonReader) value(depth int) (*node, error) {
	t, err := d.dec.Token()
	if err != nil {
		return nil, err
	}
	d.advance()
	*d.count++
	if depth > maxDepth || *d.count > maxNodes {
		return nil, fmt.Errorf("more than %d levels or %d values", maxDepth, maxNodes)
	}
	n := &node{line: d.line, shape: scalar}
	switch t := t.(type) {
	case json.Delim:
		if t == '[' {
			n.shape = list
			return n, d.list(n, depth)
		}
		n.shape = mapping
		return n, d.mapping(n, depth)
	case string:
		n.text = t
	case json.Number:
		n.text = t.String()
	case bool:
		n.text = fmt.Sprint(t)
	default:
		n.shape = null
	}
	return n, nil
}

func (d *jsonReader) list(n *node, depth int) error {
	for d.dec.More() {
		item, err := d.value(depth + 1)
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
	}
	_, err := d.dec.Token()
	return err
}

func (d *jsonReader) mapping(n *node, depth int) error {
	names := map[string]bool{}
	for d.dec.More() {
		t, err := d.dec.Token()
		if err != nil {
			return err
		}
		d.advance()
		name, ok := t.(string)
		if !ok {
			return fmt.Errorf("a key that is not a string")
		}
		if names[name] {
			return fmt.Errorf("duplicate key %q", clip(name))
		}
		names[name] = true
		line := d.line
		v, err := d.value(depth + 1)
		if err != nil {
			return err
		}
		n.fields = append(n.fields, field{name, line, v})
	}
	_, err := d.dec.Token()
	return err
}
