package manifest

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	yaml4 "go.yaml.in/yaml/v4"
	"sigs.k8s.io/yaml"
)

// slowDocument is a document that the parser of this package leaves to others:
// sigs.k8s.io/yaml says what it means, as it does in kubectl, and the nodes of
// yaml v4 carry its comments and order when it has to be written anew.
type slowDocument struct {
	doc  *document
	tree *yaml4.Node
	json bool
}

// maxSlow bounds what is read the slow way, in bytes: two readers hold the
// document several times over. Of 4 MB that consist of the smallest values there
// are, they make 3 GB; of pods, a tenth of it.
const maxSlow = 4 << 20

// readSlow reads text the slow way. The problem's line counts from the start of
// the text.
func (a *arena) readSlow(text string) (*slowDocument, *Problem) {
	if problem := notText(text); problem != nil {
		return nil, problem
	}
	if len(text) > maxSlow {
		return nil, &Problem{Line: 1, Text: fmt.Sprintf("the document is larger than %d MiB, and something in it (a tag, a tab, "+
			"a key behind \"?\", an error) is beyond plain YAML, which takes too long to read in one that large; split it into several documents", maxSlow>>20)}
	}
	if trimmed := strings.TrimLeft(text, " \t\r\n"); strings.HasPrefix(trimmed, "{") && json.Valid([]byte(text)) {
		if problem := duplicateInJSON(text); problem != nil {
			return nil, problem
		}
		return a.meaning(text, &slowDocument{json: true})
	}
	out := &slowDocument{tree: &yaml4.Node{}}
	if err := yaml4.Load([]byte(text), out.tree); err != nil {
		out.tree = nil
		if problem := yamlProblem(err); problem != nil && strings.Contains(problem.Text, "alias") {
			return nil, problem
		}
	} else if problem := duplicateKey(out.tree); problem != nil {
		return nil, problem
	}
	converted, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		// yaml v4 tells more of a syntax error: its column too.
		if loadErr := yaml4.Load([]byte(text), &yaml4.Node{}); loadErr != nil {
			if problem := yamlProblem(loadErr); problem != nil {
				return nil, problem
			}
		}
		return nil, yamlProblem(err)
	}
	return a.meaning(string(converted), out)
}

// line is the line of the text on which the value at path stands, or the last
// thing on the way to it.
func (s *slowDocument) line(path []string) int {
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

// meaning parses the JSON that a document stands for.
func (a *arena) meaning(converted string, out *slowDocument) (*slowDocument, *Problem) {
	out.doc = a.parseJSON(converted)
	if out.doc == nil && a.problem != nil {
		return nil, &Problem{Line: 1, Text: a.problem.Text} // its line is of the JSON
	}
	if out.doc == nil {
		return nil, &Problem{Line: 1, Text: fmt.Sprintf("a key is longer than %d characters; no Kubernetes object has one", maxKeyLength)}
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

// notText finds the first byte that no text has.
func notText(text string) *Problem {
	for i := 0; i < len(text); {
		c, size := rune(text[i]), 1
		if c >= utf8.RuneSelf {
			c, size = utf8.DecodeRuneInString(text[i:])
		}
		bad := ""
		switch {
		case c == utf8.RuneError && size == 1:
			bad = fmt.Sprintf("byte 0x%02x is not UTF-8; manifests must be UTF-8 text", text[i])
		case c < ' ' && c != '\t' && c != '\n' && c != '\r', c == 0x7f:
			bad = fmt.Sprintf("control character 0x%02x; this is not a text file, or it is damaged", c)
		}
		if bad != "" {
			return &Problem{Line: 1 + strings.Count(text[:i], "\n"), Text: bad}
		}
		i += size
	}
	return nil
}

// duplicateInJSON finds the first key that occurs twice in an object of a valid
// JSON text.
func duplicateInJSON(text string) *Problem {
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
				return &Problem{
					Line: 1 + strings.Count(text[:d.InputOffset()], "\n"),
					Text: fmt.Sprintf("key %q occurs twice in one object; remove one of the two", key),
				}
			}
			top.keys[key] = true
			top.key = false
			continue
		}
		top.key = top.keys != nil
	}
}

// duplicateKey finds the first key that occurs twice in a mapping.
func duplicateKey(n *yaml4.Node) *Problem {
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
				return &Problem{Line: key.Line, Text: fmt.Sprintf("key %s occurs twice in one mapping, first on line %d "+
					"of the document; remove one of the two", quoteKey(name), first.Line)}
			}
			seen[name] = key
		}
	}
	for _, child := range n.Content {
		if problem := duplicateKey(child); problem != nil {
			return problem
		}
	}
	return nil
}

var errorLine = regexp.MustCompile(`\bline (\d+):\s*`)

// yamlProblem turns a YAML library's error into a problem.
func yamlProblem(err error) *Problem {
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
		if load.Mark.Column > 0 && line == load.Mark.Line {
			text = fmt.Sprintf("column %d: %s", load.Mark.Column, text)
		}
		return &Problem{Line: max(line, 1), Text: "not valid YAML: " + text}
	}
	text, line := err.Error(), 1
	if m := errorLine.FindStringSubmatchIndex(text); m != nil {
		line, _ = strconv.Atoi(text[m[2]:m[3]])
		text = text[:m[0]] + text[m[1]:]
	}
	return &Problem{Line: line, Text: "not valid YAML: " + strings.TrimSpace(strings.TrimPrefix(text, "yaml: "))}
}
