package manifest

import (
	"regexp"
	"strings"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// action is an action of a template of Helm or Jinja.
var action = regexp.MustCompile(`(?s)\{\{.*?\}\}|\{%.*?%\}`)

const renderFirst = "render it first, such as: helm template CHART | outrider kube-inject -f -"

// unrendered is the problem of a text that is not YAML because it is a template; else it
// is p, the problem of the text. Text in quotes, comments and block scalars may have
// actions, as in workflows and alerting rules.
func (t *transformer) unrendered(p *problem.Problem) *problem.Problem {
	text := string(t.c.text)
	if !strings.Contains(text, "{{") && !strings.Contains(text, "{%") {
		return p
	}
	line, found := actionLine(text, p.Line)
	if !found || line != p.Line && !t.readsWithout(text) {
		return p
	}
	shown := action.FindString(strings.Split(text, "\n")[line-1])
	out := problem.Invalid("", shown, "unrendered template, which is not YAML", renderFirst).On(line, 0)
	return &out
}

// actionLine is the line of an action where YAML has a value: the line of the problem,
// or the first one.
func actionLine(text string, at int) (line int, found bool) {
	for i, l := range strings.Split(text, "\n") {
		before, isAction := cutAction(l)
		switch {
		case !isAction || strings.Contains(before, "#") || strings.Count(before, `"`)%2+strings.Count(before, "'")%2 > 0:
		case i+1 == at:
			return at, true
		case !found && (before == "" || strings.ContainsAny(before[len(before)-1:], ":-{[,")):
			line, found = i+1, true
		}
	}
	return line, found
}

// readsWithout reports whether the text is YAML without its actions.
func (t *transformer) readsWithout(text string) bool {
	var b strings.Builder
	for l := range strings.Lines(action.ReplaceAllString(text, "{{}}")) {
		if strings.Trim(strings.ReplaceAll(l, "{{}}", ""), " \r\n") == "" {
			l = "\n"
		}
		b.WriteString(strings.ReplaceAll(l, "{{}}", "x"))
	}
	_, p := t.mem.readFallback(b.String())
	return p == nil
}

// cutAction cuts a line at its first action; before has no blanks at its end.
func cutAction(line string) (before string, found bool) {
	i := strings.Index(line, "{{")
	if j := strings.Index(line, "{%"); i < 0 || j >= 0 && j < i {
		i = j
	}
	if i < 0 {
		return line, false
	}
	return strings.TrimRight(line[:i], " \t"), true
}
