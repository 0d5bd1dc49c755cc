package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// tables are the names that a version of Envoy has.
type tables struct {
	operators  map[string][]string // by the form of their arguments
	classes    []string
	retryOn    []string
	components []string
	lacks      []lacking
}

// lacking is another version, and the operators and components that it does not have.
type lacking struct {
	version               string
	operators, components []string
}

func (t tables) commands() (n int) {
	for _, names := range t.operators {
		n += len(names)
	}
	return n
}

// form is a form of what may follow the name of a command operator, by examples. egress
// has a pattern for each, in format.go.
type form struct {
	name             string
	accepts, rejects []string
}

// forms differ by their examples: no two accept and reject the same.
var forms = []form{
	{"none", []string{""}, []string{"(a)", "(SNI_FIRST:HOST)", ":5"}},
	{"length", []string{"", ":5"}, []string{"(a)", "(WQ)"}},
	{"time", []string{"", "(%s)", "(a)", "(a:b)"}, []string{":5", "(%s):5"}},
	{"header", []string{"(a)", "(:a?B)", "(a):5"}, []string{"", "(a b)", "(a:b)"}},
	{"filter state", []string{"(a)", "(a:PLAIN)", "(a:FIELD:b):5"}, []string{"", "(a:X)"}},
	{"name", []string{"(a)", "(a b)", "(a:X)", "(a):5"}, []string{""}},
	{"metadata", []string{"(a)", "(a:X)"}, []string{"", "(a):5"}},
	{"kind of metadata", []string{"(ROUTE:a)", "(LISTENER_FILTER_CHAIN:a:b):5"}, []string{"", "(a)", "(X:a)"}},
	{"path", []string{"", "(WQ)", "(NQ:ORIG):5", ":5"}, []string{"(a)", "(WQ:PATH_OR_ORIG)"}},
	{"server name", []string{"", "(SNI_FIRST:HOST)", "(SNI_ONLY:)"}, []string{"(a)", ":5"}},
	{"part of XFCC", []string{"(URI)", "(by)", "(Hash):5"}, []string{"", "(a)", "(uri:uri)"}},
	{"points in time", []string{"(A:B)", "(A:B:ns)"}, []string{"", "(a)", "(A:B:x)"}},
	{"expression", []string{"(request.path)", "(size(request.path) + 1):5"}, []string{"", "(a b)", "(a:b)"}},
	{"operators", []string{`({"operators": ["PROTOCOL"]})`, `({"operators": ["PROTOCOL"]}):5`}, []string{"", "(a)"}},
}

// nonsense is no name of an operator.
const nonsense = "OUTRIDER_NONSENSE"

// bare are formats of the operators, without arguments, and of one that there is not.
func bare(operators []string) []string {
	out := []string{"%" + nonsense + "%"}
	for _, name := range operators {
		out = append(out, "%"+name+"%")
	}
	return out
}

// tablesOf asks an Envoy for all names in its program, and in the tables as they are.
func tablesOf(ctx context.Context, program string, before []byte) (tables, error) {
	operators, conditions, err := wordsOf(program, before)
	if err != nil {
		return tables{}, err
	}
	q := questions{formats: bare(operators), conditions: conditions, components: true}
	for _, name := range classNames() {
		q.expressions = append(q.expressions, `\p{`+name+`}`)
	}
	a, err := ask(ctx, program, q)
	if err != nil {
		return tables{}, err
	}
	t := tables{components: a.components, retryOn: a.conditions}
	for _, name := range classNames() {
		if _, rejected := a.expressions[`\p{`+name+`}`]; !rejected {
			t.classes = append(t.classes, name)
		}
	}
	known := a.known(operators)
	q = questions{}
	for _, name := range known {
		for _, f := range forms {
			for _, rest := range slices.Concat(f.accepts, f.rejects) {
				q.formats = append(q.formats, "%"+name+rest+"%")
			}
		}
	}
	if a, err = ask(ctx, program, q); err != nil {
		return tables{}, err
	}
	t.operators, err = classify(known, func(name, rest string) bool {
		_, rejected := a.formats["%"+name+rest+"%"]
		return !rejected
	})
	return t, err
}

// classify finds the form of each operator. One that has none is an error: it needs a
// row here, and a pattern in egress.
func classify(names []string, accepts func(name, rest string) bool) (map[string][]string, error) {
	out := map[string][]string{}
	var unknown []error
	for _, name := range names {
		var matching []string
		for _, f := range forms {
			if !slices.ContainsFunc(f.accepts, func(rest string) bool { return !accepts(name, rest) }) &&
				!slices.ContainsFunc(f.rejects, func(rest string) bool { return accepts(name, rest) }) {
				matching = append(matching, f.name)
			}
		}
		if len(matching) == 1 {
			out[matching[0]] = append(out[matching[0]], name)
			continue
		}
		var taken []string
		for _, f := range forms {
			for _, rest := range slices.Concat(f.accepts, f.rejects) {
				if text := "%" + name + rest + "%"; accepts(name, rest) && !slices.Contains(taken, text) {
					taken = append(taken, text)
				}
			}
		}
		unknown = append(unknown, fmt.Errorf("operator %s has the forms %q; Envoy accepts %q: add a form to hack/envoytables/tables.go and its pattern to egress/format.go", name, matching, taken))
	}
	return out, errors.Join(unknown...)
}

// known are those of the operators that Envoy has. One that needs arguments is rejected
// for another reason than an unknown one.
func (a answers) known(operators []string) []string {
	return slices.DeleteFunc(slices.Clone(operators), func(name string) bool {
		why, rejected := a.formats["%"+name+"%"]
		return rejected && why == strings.ReplaceAll(a.formats["%"+nonsense+"%"], nonsense, name)
	})
}

// without asks another version of Envoy for the tables' names. The classes and conditions
// that it lacks are removed from the tables: a route is for sidecars of all versions.
// Operators and components that it lacks are listed.
func (t *tables) without(ctx context.Context, version, program string) error {
	q := questions{conditions: t.retryOn, components: true}
	for _, name := range t.classes {
		q.expressions = append(q.expressions, `\p{`+name+`}`)
	}
	for _, f := range forms {
		for _, name := range t.operators[f.name] {
			for _, rest := range f.accepts {
				q.formats = append(q.formats, "%"+name+rest+"%")
			}
		}
	}
	a, err := ask(ctx, program, q)
	if err != nil {
		return err
	}
	t.classes = slices.DeleteFunc(t.classes, func(name string) bool { _, rejected := a.expressions[`\p{`+name+`}`]; return rejected })
	t.retryOn = a.conditions
	lacks := lacking{version: version}
	for _, f := range forms {
		for _, name := range t.operators[f.name] {
			if slices.ContainsFunc(f.accepts, func(rest string) bool { _, rejected := a.formats["%"+name+rest+"%"]; return rejected }) {
				lacks.operators = append(lacks.operators, name)
			}
		}
	}
	slices.Sort(lacks.operators)
	for _, name := range t.components {
		if !slices.Contains(a.components, name) {
			lacks.components = append(lacks.components, name)
		}
	}
	t.lacks = append(t.lacks, lacks)
	return nil
}
