package podtemplate

import (
	"slices"
	"text/template"
	"text/template/parse"
)

// analysis finds out, by reading a template's syntax tree, which printed values
// stem from the pod, and rewrites the tree so that the writer learns of them
// and of every loop pass. It errs on the side of the pod: what it cannot follow
// counts as the pod's.
type analysis struct {
	origins  map[string]Origin
	vars     map[string]Origin // by name over all scopes: a name is as bad as its worst value
	changed  bool
	rewrite  bool
	readsPod bool
	mutates  bool
	tree     string              // the named template being read
	calls    map[string][]string // who calls whom
	unknown  []string            // fields that the data does not have
}

// scope is what "." means at a place.
type scope struct {
	root bool   // "." is the data itself
	dot  Origin // else: where "." comes from
}

// run first repeats reading until no variable gets worse, as loops assign
// variables after the text that reads them, and then rewrites once.
func (a *analysis) run(t *template.Template) {
	for a.changed = true; a.changed; {
		a.changed = false
		a.trees(t)
	}
	a.rewrite = true
	a.trees(t)
}

// cycle returns a template that calls itself, directly or not; "" for none.
// Recursion would end only where the stack does.
func (a *analysis) cycle() string {
	const active, done = 1, 2
	state := map[string]int{}
	var visit func(name string) string
	visit = func(name string) string {
		if state[name] == active {
			return name
		}
		if state[name] == done {
			return ""
		}
		state[name] = active
		for _, callee := range a.calls[name] {
			if found := visit(callee); found != "" {
				return found
			}
		}
		state[name] = done
		return ""
	}
	for name := range a.calls {
		if found := visit(name); found != "" {
			return found
		}
	}
	return ""
}

// trees walks the main template with the data as "." and named ones, which can
// be called with anything, with a "." of the pod.
func (a *analysis) trees(t *template.Template) {
	for _, each := range t.Templates() {
		if each.Tree == nil || each.Root == nil {
			continue
		}
		a.tree = each.Name()
		a.list(each.Root, scope{root: a.tree == t.Name(), dot: FromPod})
		if a.rewrite && a.tree != t.Name() {
			countPasses(each.Root) // templates that call each other twice double, too
		}
	}
}

func (a *analysis) list(l *parse.ListNode, s scope) {
	if l == nil {
		return
	}
	for _, n := range l.Nodes {
		a.statement(n, s)
	}
}

func (a *analysis) statement(n parse.Node, s scope) {
	switch n := n.(type) {
	case *parse.ActionNode:
		origin := a.pipe(n.Pipe, s)
		if a.rewrite && len(n.Pipe.Decl) == 0 && origin > FromConfig {
			mark(n.Pipe)
		}
	case *parse.IfNode:
		a.pipe(n.Pipe, s)
		a.list(n.List, s)
		a.list(n.ElseList, s)
	case *parse.WithNode:
		a.list(n.List, scope{dot: a.pipe(n.Pipe, s)})
		a.list(n.ElseList, s)
	case *parse.RangeNode:
		a.list(n.List, scope{dot: a.pipe(n.Pipe, s)})
		a.list(n.ElseList, s)
		if a.rewrite {
			countPasses(n.List)
		}
	case *parse.TemplateNode:
		// The called template is read with a "." of the pod; so is this call.
		a.readsPod = true
		a.calls[a.tree] = append(a.calls[a.tree], n.Name)
		if n.Pipe != nil {
			a.pipe(n.Pipe, s)
		}
	}
}

// pipe returns the worst origin of anything a pipeline reads, and hands it to
// the variables it declares or assigns.
func (a *analysis) pipe(p *parse.PipeNode, s scope) Origin {
	worst := FromConfig
	for _, c := range p.Cmds {
		for _, arg := range c.Args {
			worst = max(worst, a.operand(arg, s))
		}
	}
	for _, v := range p.Decl {
		if name := v.Ident[0]; worst > a.vars[name] {
			a.vars[name] = worst
			a.changed = true
		}
	}
	return worst
}

func (a *analysis) operand(n parse.Node, s scope) Origin {
	switch n := n.(type) {
	case *parse.DotNode:
		if s.root {
			return a.field("")
		}
		return s.dot
	case *parse.FieldNode:
		if s.root {
			return a.field(n.Ident[0])
		}
		return s.dot
	case *parse.VariableNode:
		if n.Ident[0] != "$" {
			return a.vars[n.Ident[0]]
		}
		if len(n.Ident) == 1 {
			return a.field("")
		}
		return a.field(n.Ident[1])
	case *parse.ChainNode:
		return a.operand(n.Node, s)
	case *parse.PipeNode:
		return a.pipe(n, s)
	case *parse.IdentifierNode:
		a.mutates = a.mutates || mutatingFuncs[n.Ident]
	}
	return FromConfig // constants and names of functions
}

// field classifies a top-level field; "" is the data as a whole.
func (a *analysis) field(name string) Origin {
	origin, known := a.origins[name]
	if !known {
		origin = FromPod
	}
	if !known && name != "" && !slices.Contains(a.unknown, name) {
		a.unknown = append(a.unknown, name)
	}
	if origin == FromPod {
		a.readsPod = true
	}
	return origin
}

// structural are the helpers whose result is a whole YAML or JSON value and
// stays one, whatever went in.
var structural = map[string]bool{
	"toJSON": true, "toJson": true, "toYaml": true, "structToJSON": true, "protoToJSON": true,
	"toRawJson": true, "toPrettyJson": true, "mustToJson": true, "mustToRawJson": true, "mustToPrettyJson": true,
	"quote": true, "squote": true,
}

// layout are the helpers that may follow without breaking it.
var layout = map[string]bool{"indent": true, "nindent": true, "trim": true}

// mark ends a pipeline with the marker function of its kind.
func mark(p *parse.PipeNode) {
	name := markText
	if isStructural(p) {
		name = markValue
	}
	p.Cmds = append(p.Cmds, call(name, p.Position()))
}

// isStructural reports that a pipeline's result is a value made by a structural
// helper, at most laid out afterwards.
func isStructural(p *parse.PipeNode) bool {
	for i := len(p.Cmds) - 1; i >= 0; i-- {
		fn, ok := p.Cmds[i].Args[0].(*parse.IdentifierNode)
		switch {
		case !ok:
			inner, parenthesised := p.Cmds[i].Args[0].(*parse.PipeNode)
			return parenthesised && len(p.Cmds[i].Args) == 1 && isStructural(inner)
		case structural[fn.Ident]:
			return true
		case !layout[fn.Ident]:
			return false
		}
		// {{ indent 4 (toYaml x) }}: the value is an argument, not piped.
		if last, ok := p.Cmds[i].Args[len(p.Cmds[i].Args)-1].(*parse.PipeNode); ok && i == 0 {
			return isStructural(last)
		}
	}
	return false
}

// countPasses makes every pass of a loop visible to the writer.
func countPasses(l *parse.ListNode) {
	pipe := &parse.PipeNode{NodeType: parse.NodePipe, Pos: l.Pos, Cmds: []*parse.CommandNode{call(markPass, l.Pos)}}
	l.Nodes = append([]parse.Node{&parse.ActionNode{NodeType: parse.NodeAction, Pos: l.Pos, Pipe: pipe}}, l.Nodes...)
}

func call(name string, pos parse.Pos) *parse.CommandNode {
	return &parse.CommandNode{
		NodeType: parse.NodeCommand,
		Pos:      pos,
		Args:     []parse.Node{parse.NewIdentifier(name).SetTree(nil).SetPos(pos)},
	}
}
