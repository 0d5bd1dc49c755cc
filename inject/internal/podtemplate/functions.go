package podtemplate

import (
	"slices"
	"text/template"
	"text/template/parse"
)

// absentFuncs are the names that a template calls and that are no functions,
// sorted. A text that is not a template has none: parsing it reports its fault.
func absentFuncs(name, source string, known template.FuncMap) []string {
	tree := parse.New(name)
	tree.Mode = parse.SkipFuncCheck
	trees := map[string]*parse.Tree{}
	if _, err := tree.Parse(source, "", "", trees); err != nil {
		return nil
	}
	var absent []string
	for _, t := range trees {
		eachIdentifier(t.Root, func(fn string) {
			if _, ok := known[fn]; !ok && !slices.Contains(predefined, fn) && !slices.Contains(absent, fn) {
				absent = append(absent, fn)
			}
		})
	}
	slices.Sort(absent)
	return absent
}

// predefined are the functions of text/template itself.
var predefined = []string{
	"and", "break", "call", "continue", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print", "printf", "println", "slice", "urlquery",
}

// eachIdentifier visits the names of functions in a node and below it.
func eachIdentifier(n parse.Node, visit func(name string)) {
	switch n := n.(type) {
	case *parse.ListNode:
		if n == nil {
			return
		}
		for _, item := range n.Nodes {
			eachIdentifier(item, visit)
		}
	case *parse.ActionNode:
		eachIdentifier(n.Pipe, visit)
	case *parse.IfNode:
		eachIdentifierOf(&n.BranchNode, visit)
	case *parse.WithNode:
		eachIdentifierOf(&n.BranchNode, visit)
	case *parse.RangeNode:
		eachIdentifierOf(&n.BranchNode, visit)
	case *parse.TemplateNode:
		eachIdentifier(n.Pipe, visit)
	case *parse.PipeNode:
		if n == nil {
			return
		}
		for _, command := range n.Cmds {
			for _, arg := range command.Args {
				eachIdentifier(arg, visit)
			}
		}
	case *parse.ChainNode:
		eachIdentifier(n.Node, visit)
	case *parse.IdentifierNode:
		visit(n.Ident)
	}
}

func eachIdentifierOf(n *parse.BranchNode, visit func(name string)) {
	eachIdentifier(n.Pipe, visit)
	eachIdentifier(n.List, visit)
	eachIdentifier(n.ElseList, visit)
}
