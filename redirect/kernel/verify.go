//go:build linux

package kernel

import (
	"bytes"
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"

	"github.com/outrider-mesh/outrider/redirect"
)

// Difference is the error of rules in the kernel that differ from the plan.
type Difference struct{ Found []string }

func (d *Difference) Error() string {
	return "kernel rules differ from the plan: " + strings.Join(d.Found, "; ")
}

// Verify reads the table and compares it with the plan: chains and their hooks,
// sets with every element, rules in order with every condition. The error is a
// *Difference, or that of the kernel when the table cannot be read.
func Verify(p redirect.Plan) error {
	conn, err := open()
	if err != nil {
		return diagnose("read the redirect rules", err)
	}
	tables, err := conn.ListTablesOfFamily(tableOf(p.Family).Family)
	if err != nil {
		return diagnose("read the redirect rules", err)
	}
	v := verifier{conn: conn, table: tableOf(p.Family), plan: p}
	exists := slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == redirect.TableName })
	switch {
	case exists && len(p.Rules) == 0:
		v.differ("unexpected table %s", redirect.TableName)
	case !exists && len(p.Rules) > 0:
		v.differ("table %s is missing", redirect.TableName)
	case exists:
		for _, step := range []func() error{v.chains, v.sets} {
			if err := step(); err != nil {
				return diagnose("read the redirect rules", err)
			}
		}
	}
	if len(v.found) > 0 {
		return &Difference{Found: v.found}
	}
	return nil
}

type verifier struct {
	conn  *nftables.Conn
	table *nftables.Table
	plan  redirect.Plan
	found []string
}

func (v *verifier) differ(format string, args ...any) {
	v.found = append(v.found, fmt.Sprintf(format, args...))
}

func (v *verifier) chains() error {
	all, err := v.conn.ListChainsOfTableFamily(v.table.Family)
	if err != nil {
		return err
	}
	got := map[string]*nftables.Chain{}
	for _, c := range all {
		if c.Table.Name == v.table.Name {
			got[c.Name] = c
		}
	}
	want := chainsOf(v.table, v.plan)
	for _, w := range want {
		g := got[w.chain.Name]
		delete(got, w.chain.Name)
		switch {
		case g == nil:
			v.differ("chain %s is missing", w.chain.Name)
			continue
		case g.Type != w.chain.Type || !reflect.DeepEqual(g.Hooknum, w.chain.Hooknum) ||
			!reflect.DeepEqual(g.Priority, w.chain.Priority) || !reflect.DeepEqual(g.Policy, w.chain.Policy):
			v.differ("chain %s differs in type, hook, priority or policy", w.chain.Name)
		}
		if err := v.rules(w); err != nil {
			return err
		}
	}
	for _, name := range sortedKeys(got) {
		v.differ("unexpected chain %s", name)
	}
	return nil
}

func (v *verifier) rules(c chain) error {
	got, err := v.conn.GetRules(v.table, c.chain)
	if err != nil {
		return err
	}
	if len(got) != len(c.rules) {
		v.differ("chain %s has %d rules instead of %d", c.chain.Name, len(got), len(c.rules))
		return nil
	}
	for i, w := range c.rules {
		label, _ := userdata.GetString(got[i].UserData, userdata.TypeComment)
		if label != w.comment {
			v.differ("rule %d of chain %s is %q instead of %q", i+1, c.chain.Name, label, w.comment)
		} else if !reflect.DeepEqual(comparable(got[i].Exprs), comparable(w.exprs(nil))) {
			v.differ("rule %d (%s) of chain %s differs from the plan", i+1, w.comment, c.chain.Name)
		}
	}
	return nil
}

// natProtoSpecified is NF_NAT_RANGE_PROTO_SPECIFIED: a port is set.
const natProtoSpecified = 2

// comparable clears what differs between a rule sent and the same rule read:
// the counts, the transaction's set numbers, and what the kernel fills in.
func comparable(es []expr.Any) []expr.Any {
	out := slices.Clone(es)
	for i, e := range out {
		switch e := e.(type) {
		case *expr.Counter:
			out[i] = &expr.Counter{}
		case *expr.Lookup:
			l := *e
			l.SetID = 0
			out[i] = &l
		case *expr.Redir:
			r := *e
			if r.RegisterProtoMax == r.RegisterProtoMin {
				r.RegisterProtoMax = 0
			}
			r.Flags &^= natProtoSpecified
			out[i] = &r
		}
	}
	return out
}

func (v *verifier) sets() error {
	all, err := v.conn.GetSets(v.table)
	if err != nil {
		return err
	}
	got := map[string]*nftables.Set{}
	for _, s := range all {
		got[s.Name] = s
	}
	for _, s := range v.plan.Sets {
		g, w := got[s.Name], setOf(v.table, s)
		delete(got, s.Name)
		if g == nil {
			v.differ("set %s is missing", s.Name)
			continue
		}
		if g.KeyType.Name != w.KeyType.Name || g.Interval != w.Interval || g.IsMap {
			v.differ("set %s differs in type", s.Name)
			continue
		}
		read, err := readElements(v.table, s.Name)
		if err != nil {
			return err
		}
		v.elements(s, read)
	}
	for _, name := range sortedKeys(got) {
		v.differ("unexpected set %s", name)
	}
	return nil
}

func (v *verifier) elements(s redirect.Set, got []boundary) {
	want := boundaries(s)
	slices.SortFunc(got, compare)
	slices.SortFunc(want, compare)
	if !slices.Equal(got, want) {
		v.differ("set %s: its %d elements differ from the %d of the plan", s.Name, len(got), len(want))
	}
}

// compare orders elements by key, and an end before a start.
func compare(a, b boundary) int {
	if c := bytes.Compare(a.key[:], b.key[:]); c != 0 {
		return c
	}
	n := func(x bool) int {
		if x {
			return 0
		}
		return 1
	}
	return cmp.Compare(n(a.end), n(b.end))
}

func sortedKeys[T any](m map[string]T) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
