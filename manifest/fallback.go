package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	yaml2 "go.yaml.in/yaml/v2"
	yaml4 "go.yaml.in/yaml/v4"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// fallbackDocument is a document that the parser of this package does not support:
// sigs.k8s.io/yaml determines its meaning, as in kubectl, and the nodes of yaml v4
// have its comments and order when it has to be rewritten.
type fallbackDocument struct {
	doc  *document
	tree *yaml4.Node
	json bool
}

// maxFallback bounds such a document, in bytes: two readers hold it several times
// over. Of 4 MB that consist of the smallest values there
// are, they make 3 GB; of pods, a tenth of it.
const maxFallback = 4 << 20

// readFallback reads text with the two libraries. The problem's line counts from the
// start of the text.
func (a *arena) readFallback(text string) (*fallbackDocument, *problem.Problem) {
	if p := notText(text); p != nil {
		return nil, p
	}
	if len(text) > maxFallback {
		return nil, at(1, fmt.Sprintf("documents over %d MiB may only contain plain YAML, without tags, tabs, \"?\" keys or errors", maxFallback>>20),
			"split it into several documents")
	}
	if isObjects(text) {
		if p := duplicateInJSON(text); p != nil {
			return nil, p
		}
		return a.meaning(text, &fallbackDocument{json: true})
	}
	out := &fallbackDocument{tree: &yaml4.Node{}}
	if err := yaml4.Load([]byte(text), out.tree); err != nil {
		out.tree = nil
		if strings.Contains(err.Error(), "alias") { // yaml v4 has no type for these errors
			return nil, yamlProblem(err)
		}
	} else if p := duplicateKey(out.tree); p != nil {
		return nil, p
	}
	converted, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		// yaml v4 reports the column of a syntax error, too.
		if loadErr := yaml4.Load([]byte(text), &yaml4.Node{}); loadErr != nil {
			return nil, yamlProblem(loadErr)
		}
		if p := notFinite(out.tree); p != nil {
			return nil, p
		}
		return nil, yamlProblem(err)
	}
	if p := moreThanOne(text); p != nil {
		return nil, p
	}
	return a.meaning(string(converted), out)
}

// moreThanOne is the problem of text after the document, of which the reader that
// kubectl uses takes no notice.
func moreThanOne(text string) *problem.Problem {
	var value any
	d := yaml2.NewDecoder(strings.NewReader(text))
	if err := d.Decode(&value); err != nil {
		return nil
	}
	err := d.Decode(&value)
	if errors.Is(err, io.EOF) {
		return nil
	}
	p := at(1, "text after the object", `separate objects with lines "---"`)
	if err != nil {
		p.Line = yamlProblem(err).Line
	}
	return p
}

// line is the line of the value at path, or of the last node on the way to it.
func (s *fallbackDocument) line(path []string) int {
	if s.tree == nil || len(s.tree.Content) == 0 {
		return 1
	}
	y := s.tree.Content[0]
	line := y.Line
	for _, step := range path {
		if y.Kind == yaml4.AliasNode {
			y = y.Alias
		}
		var next *yaml4.Node
		for i := 0; i < len(y.Content); i++ {
			switch {
			case y.Kind == yaml4.SequenceNode && strconv.Itoa(i) == step:
				next, line = y.Content[i], y.Content[i].Line
			case y.Kind == yaml4.MappingNode && i%2 == 0 && y.Content[i].Value == step:
				next, line = y.Content[i+1], y.Content[i].Line
			}
		}
		if next == nil {
			break
		}
		y = next
	}
	return line
}

// at is a problem at a line of the document's text.
func at(line int, rule, fix string) *problem.Problem {
	p := problem.Invalid("", "", rule, fix).On(line, 0)
	return &p
}

// duplicate is a key that occurs twice in a mapping, first on another line of the
// document; 0 means unknown.
func duplicate(line int, key string, first int) *problem.Problem {
	p := problem.Duplicate("", key, "key")
	if first > 0 {
		p.Rule += fmt.Sprintf(", first on line %d of the document", first)
	}
	p = p.On(line, 0)
	return &p
}

// meaning parses the JSON of a document.
func (a *arena) meaning(converted string, out *fallbackDocument) (*fallbackDocument, *problem.Problem) {
	out.doc = a.parseJSON(converted)
	if out.doc == nil && a.problem != nil {
		return nil, at(1, a.problem.Rule, a.problem.Fix) // its line is of the JSON
	}
	if out.doc == nil {
		return nil, at(1, fmt.Sprintf("a key exceeds the maximum length of %d", maxKeyLength), "")
	}
	return out, nil
}

// parseJSON parses JSON; characters that are no part of YAML are escaped first.
func (a *arena) parseJSON(text string) *document {
	if cleanText(text) {
		return a.parse(text, 0)
	}
	var b strings.Builder
	for _, r := range text {
		if r < utf8.RuneSelf && (cleanByte[r] || r == '\r') || cleanRune(r) {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return a.parse(b.String(), 0)
}

// notText finds the first byte that is not allowed in text.
func notText(text string) *problem.Problem {
	for i := 0; i < len(text); {
		c, size := rune(text[i]), 1
		if c >= utf8.RuneSelf {
			c, size = utf8.DecodeRuneInString(text[i:])
		}
		rule, fix := "", ""
		switch {
		case c == utf8.RuneError && size == 1:
			rule, fix = fmt.Sprintf("byte 0x%02x is not UTF-8", text[i]), "manifests must be UTF-8 text"
		case c < ' ' && c != '\t' && c != '\n' && c != '\r', c == 0x7f:
			rule, fix = fmt.Sprintf("control character 0x%02x", c), "manifests must be text files"
		}
		if rule != "" {
			return at(1+strings.Count(text[:i], "\n"), rule, fix)
		}
		i += size
	}
	return nil
}

// duplicateInJSON finds the first key that occurs twice in an object of a valid
// JSON text.
func duplicateInJSON(text string) *problem.Problem {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	type level struct {
		keys map[string]bool // nil in an array
		key  bool            // a key is next
	}
	var levels []level
	for {
		token, err := d.Token()
		if err != nil {
			return nil
		}
		if delim, ok := token.(json.Delim); ok {
			switch delim {
			case '{':
				levels = append(levels, level{map[string]bool{}, true})
				continue
			case '[':
				levels = append(levels, level{})
				continue
			}
			levels = levels[:len(levels)-1]
		}
		if len(levels) == 0 {
			continue
		}
		top := &levels[len(levels)-1]
		if key, ok := token.(string); ok && top.key {
			if top.keys[key] {
				return duplicate(1+strings.Count(text[:d.InputOffset()], "\n"), key, 0)
			}
			top.keys[key] = true
			top.key = false
			continue
		}
		top.key = top.keys != nil
	}
}

// duplicateKey finds the first key that occurs twice in a mapping.
func duplicateKey(n *yaml4.Node) *problem.Problem {
	if n.Kind == yaml4.MappingNode {
		seen := make(map[string]*yaml4.Node, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i]
			if key.Kind != yaml4.ScalarNode {
				continue
			}
			// By its name in JSON: 0x10 and 16 are the same key to the API server.
			name := keyText(key)
			if first := seen[name]; first != nil {
				return duplicate(key.Line, name, first.Line)
			}
			seen[name] = key
		}
	}
	for _, child := range n.Content {
		if p := duplicateKey(child); p != nil {
			return p
		}
	}
	return nil
}

// notFinite finds the first number that JSON does not have: .inf or .nan.
func notFinite(n *yaml4.Node) *problem.Problem {
	if n == nil {
		return nil
	}
	if n.Kind == yaml4.ScalarNode && n.ShortTag() == "!!float" {
		if v, err := strconv.ParseFloat(strings.ReplaceAll(n.Value, ".", ""), 64); err == nil && (math.IsInf(v, 0) || math.IsNaN(v)) {
			p := problem.Invalid("", n.Value, "expected a string, got a number that is not finite", "put it in quotes").On(n.Line, n.Column)
			return &p
		}
	}
	for _, child := range n.Content {
		if p := notFinite(child); p != nil {
			return p
		}
	}
	return nil
}

var errorLine = regexp.MustCompile(`\bline (\d+):\s*`)

// yamlProblem turns a YAML library's error into a problem.
func yamlProblem(err error) *problem.Problem {
	var load *yaml4.LoadError
	if errors.As(err, &load) {
		line := load.Mark.Line
		if line == 0 || strings.Contains(load.ContextMsg, "simple key") {
			line = load.ContextMark.Line // where the line starts that is no key
		}
		text := load.Message
		if load.ContextMsg != "" {
			text = load.ContextMsg + ": " + text
		}
		p := at(max(line, 1), "not valid YAML: "+text, "")
		if line == load.Mark.Line {
			p.Column = load.Mark.Column
		}
		return p
	}
	text, line := err.Error(), 1
	if m := errorLine.FindStringSubmatchIndex(text); m != nil {
		line, _ = strconv.Atoi(text[m[2]:m[3]])
		text = text[:m[0]] + text[m[1]:]
	}
	return at(line, "not valid YAML: "+strings.TrimSpace(strings.TrimPrefix(text, "yaml: ")), "")
}
