package egress

import (
	"fmt"
	"slices"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// CrossNamespaceConflicts returns warnings about what of a ServiceEntry does not
// apply in other namespaces, with the object that takes precedence there, and about
// the objects that it takes precedence over. They are not among the problems of
// Build: it is correct that several namespaces declare a host, but the result in the
// others may surprise.
func (m *Model) CrossNamespaceConflicts(kind, namespace, name string) problem.List {
	c := m.Conflicts()
	c.only = &Meta{Namespace: namespace, Name: name}
	return c.Of(kind, namespace, name)
}

// Conflicts are the CrossNamespaceConflicts of all objects: what does not apply in a
// namespace is found once. It is not for use by several goroutines.
type Conflicts struct {
	m        *Model
	audience map[string]map[Meta][]omission
	only     *Meta // the object that is asked for, by its name; nil: any
	own      *ownPrecedence
	entries  map[Meta]*Host // the first host of each
}

// omission is that a namespace does not have a host of an object, and why.
type omission struct {
	of Meta
	leftOut
}

// Conflicts prepares those of all objects.
func (m *Model) Conflicts() *Conflicts {
	return &Conflicts{m: m, audience: map[string]map[Meta][]omission{}}
}

// Of are those of one object.
func (c *Conflicts) Of(kind, namespace, name string) problem.List {
	i := slices.IndexFunc(c.m.hosts, func(h Host) bool { return h.Meta.Namespace == namespace && h.Meta.Name == name })
	if kind != KindServiceEntry || i < 0 {
		return nil
	}
	own := c.m.hosts[i]
	var out problem.List
	r := reporter{kind, own.Meta, &out}
	reported := map[Meta]bool{} // by its host, which is enough
	for _, audience := range c.m.audiences(own) {
		for _, o := range c.in(audience)[own.Meta] {
			c.warnLeftOut(own.Meta, o, reported, r)
		}
	}
	if c.own == nil {
		c.own = c.m.ownPrecedence()
	}
	return append(out, c.own.all(func(m Meta) bool { return m == own.Meta })...)
}

// maxPrecedence bounds the namespaces, beside one without objects, that Precedence looks
// at: each takes as long as the hosts of a view.
const maxPrecedence = 32

// Precedence are the warnings of CrossNamespaceConflicts for all objects: of both, the
// one that does not apply somewhere and the one that takes precedence. They are for the
// objects' status. The namespaces are one without objects, and the first ones that
// objects are exported to by name.
func (m *Model) Precedence() problem.List {
	var out problem.List
	c, reported := m.Conflicts(), map[Meta]map[Meta]bool{}
	for _, audience := range m.exportedTo(maxPrecedence) {
		for own, omitted := range c.in(audience) {
			if own.Namespace == audience {
				continue
			}
			if reported[own] == nil {
				reported[own] = map[Meta]bool{}
			}
			for _, o := range omitted {
				c.warnLeftOut(own, o, reported[own], reporter{KindServiceEntry, own, &out})
			}
		}
	}
	out = append(out, m.ownPrecedence().all(func(Meta) bool { return true })...)
	slices.SortStableFunc(out, compareSources)
	return out
}

// exportedTo are namespaces that entries of others are exported to: one without objects,
// which has an empty name, and the first ones by name.
func (m *Model) exportedTo(limit int) []string {
	var out []string
	seen := map[string]bool{}
	add := func(ns string) {
		if !seen[ns] && len(out) <= limit {
			seen[ns] = true
			out = append(out, ns)
		}
	}
	for i := range m.hosts {
		if m.hosts[i].exports.all {
			add("")
		}
		for _, ns := range m.hosts[i].exports.namespaces {
			if ns != m.hosts[i].Meta.Namespace {
				add(ns)
			}
		}
	}
	return out
}

// in is what a namespace does not have, by the object that is omitted and by the one that
// takes precedence.
func (c *Conflicts) in(audience string) map[Meta][]omission {
	if found, ok := c.audience[audience]; ok {
		return found
	}
	found := map[Meta][]omission{}
	claims := newClaims(audience, c.m.mesh.rootNamespace, len(c.m.hosts))
	claims.note = func(h *Host, l leftOut) {
		if l.by != (Meta{}) && l.by.Namespace == audience { // in its own namespace, each has precedence
			return
		}
		if c.wants(h.Meta) {
			found[h.Meta] = append(found[h.Meta], omission{h.Meta, l})
		}
		if l.by != h.Meta && l.by != (Meta{}) && c.wants(l.by) {
			found[l.by] = append(found[l.by], omission{h.Meta, l})
		}
	}
	hosts, _ := c.m.seen(audience, nil)
	for _, h := range ranked(hosts, claims.rank, func(h *Host) Meta { return h.Meta }) {
		claims.add(&h)
	}
	c.audience[audience] = found
	return found
}

func (c *Conflicts) wants(m Meta) bool {
	return c.only == nil || m.Namespace == c.only.Namespace && m.Name == c.only.Name
}

// maxAudiences bounds the namespaces that the precedence of an entry's hosts is
// determined for, each of which takes as long as a view's hosts.
const maxAudiences = 8

// audiences are other namespaces that see an entry: one without objects, which has
// an empty name, and those that it or another is exported to by name.
func (m *Model) audiences(own Host) []string {
	var out []string
	if own.exports.all {
		out = append(out, "")
	}
	add := func(e exports) {
		for _, ns := range e.namespaces {
			if len(out) < maxAudiences && ns != own.Meta.Namespace && own.exports.to(ns) && !slices.Contains(out, ns) {
				out = append(out, ns)
			}
		}
	}
	add(own.exports)
	for i := range m.hosts {
		if m.hosts[i].Meta.Namespace != own.Meta.Namespace {
			add(m.hosts[i].exports)
		}
	}
	return out
}

// warnLeftOut warns about a host that is omitted, if it or what precedes it is of
// an object.
func (c *Conflicts) warnLeftOut(own Meta, l omission, reported map[Meta]bool, r reporter) {
	switch {
	case l.of == own && l.by == (Meta{}):
		r.add(l.AsWarning())
	case l.of == own && l.by.Namespace != own.Namespace:
		r.warn(l.Path, l.Value, fmt.Sprintf("%s takes precedence in other namespaces (%s)", c.entryFor(own.Namespace, l.by), c.m.precedenceReason(l.by, own)), `set exportTo: ["."] to limit this one to its namespace`)
	case l.by == own && !reported[l.of]:
		reported[l.of] = true
		r.warn(l.Path, l.Value, fmt.Sprintf("takes precedence over %s in other namespaces (%s)", c.entryFor(own.Namespace, l.of), c.m.precedenceReason(own, l.of)), "set exportTo to limit it")
	}
}

// entryFor is the name of an entry in a message to the author of another one.
func (c *Conflicts) entryFor(namespace string, of Meta) string {
	if h := c.entry(of); h != nil {
		return h.nameIn(namespace)
	}
	return (&Host{Meta: of}).nameIn(namespace)
}

// entry is the first host of an entry. There may be as many warnings as hosts, so they are
// found by an index.
func (c *Conflicts) entry(of Meta) *Host {
	if c.entries == nil {
		c.entries = make(map[Meta]*Host, len(c.m.hosts))
		for i := range c.m.hosts {
			if h := &c.m.hosts[i]; c.entries[h.Meta] == nil {
				c.entries[h.Meta] = h
			}
		}
	}
	return c.entries[of]
}

// precedenceReason is why one object takes precedence over another.
func (m *Model) precedenceReason(first, second Meta) string {
	switch {
	case first.Namespace == m.mesh.rootNamespace && second.Namespace != m.mesh.rootNamespace:
		return "root namespace"
	case first.Created.Before(second.Created):
		return "older"
	}
	return "alphabetical order"
}

// checkExports warns about an entry whose exportTo names other namespaces, where a
// part of it does not apply whatever they declare.
func (m *Model) checkExports(problems *problem.List) {
	for i := range m.hosts {
		h := &m.hosts[i]
		root := h.Meta.Namespace == m.mesh.rootNamespace
		if h.Protocol != ProtocolTCP && len(h.Addresses) == 0 || !h.exports.stated && !root || !h.exports.beyond(h.Meta.Namespace) {
			continue
		}
		r := reporter{KindServiceEntry, h.Meta, problems}
		c := newClaims("", m.mesh.rootNamespace, 1)
		c.note = func(_ *Host, l leftOut) { r.add(l.AsWarning()) }
		alone := *h
		c.add(&alone)
	}
}

// checkViewPorts warns about ports that other namespaces have no listener for,
// because all namespaces together have too many.
func (m *Model) checkViewPorts(problems *problem.List) {
	if !m.manyPorts {
		return
	}
	has := map[uint32]bool{}
	for _, p := range m.View("").Ports() {
		has[p.Number] = true
	}
	type place struct {
		meta Meta
		port uint32
	}
	omitted := map[place]bool{}
	for i := range m.hosts {
		h := &m.hosts[i]
		at := place{h.Meta, h.Port}
		if has[h.Port] || omitted[at] || !h.exports.all || h.AnyAddress || h.Meta.Namespace == m.mesh.rootNamespace {
			continue
		}
		omitted[at] = true
		reporter{KindServiceEntry, h.Meta, problems}.warn("spec.ports", fmt.Sprint(h.Port),
			fmt.Sprintf("no effect in other namespaces: the entries of all namespaces have more than the %d ports that a sidecar listens on, and namespace %s has its share of them", m.limits.ViewPorts, h.Meta.Namespace),
			`use fewer ports, or set exportTo: ["."]`)
	}
}
