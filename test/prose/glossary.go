package prose

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Glossary is the list of words not to be used, as Vale reads it.
type Glossary struct {
	Swap       map[string]string `yaml:"swap"`       // regular expression to the words to use
	Exceptions []string          `yaml:"exceptions"` // matches that are fine

	pattern *regexp.Regexp
	terms   []string // in the order of the pattern's groups
}

// Finding is one word of the glossary in a text.
type Finding struct{ Word, Use string }

// Load reads a glossary.
func Load(file string) (*Glossary, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read the glossary: %w", err)
	}
	g := &Glossary{}
	if err := yaml.Load(text, g); err != nil {
		return nil, fmt.Errorf("read the glossary %s: %w", file, err)
	}
	for term := range g.Swap {
		g.terms = append(g.terms, term)
	}
	// Vale tries the longest first, too.
	slices.SortFunc(g.terms, func(a, b string) int {
		if len(a) != len(b) {
			return len(b) - len(a)
		}
		return strings.Compare(a, b)
	})
	g.pattern, err = regexp.Compile(`(?i)\b(?:(` + strings.ReplaceAll(strings.Join(g.terms, ")|("), " ", `\s+`) + `))\b`)
	if err != nil {
		return nil, fmt.Errorf("read the glossary %s: %w", file, err)
	}
	return g, nil
}

// Find returns the glossary's words in a text, in their order.
func (g *Glossary) Find(text string) []Finding {
	var out []Finding
	for _, m := range g.pattern.FindAllStringSubmatchIndex(text, -1) {
		word := text[m[0]:m[1]]
		if slices.ContainsFunc(g.Exceptions, func(e string) bool { return strings.EqualFold(e, word) }) {
			continue
		}
		for i := range g.terms {
			if m[2*i+2] >= 0 {
				out = append(out, Finding{word, g.Swap[g.terms[i]]})
				break
			}
		}
	}
	return out
}
