package egress

import (
	"fmt"
	"slices"

	meshconfig "istio.io/api/mesh/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// visibility is serviceEntryVisibility of the mesh, where it applies to sidecars.
type visibility struct {
	byDefault level
	policies  []visibilityPolicy
}

// level is how far a ServiceEntry is visible at most.
type level int

// The levels, the narrowest first.
const (
	levelNone level = iota
	levelNamespace
	levelPublic
)

func (l level) String() string { return [...]string{"NONE", "NAMESPACE", "PUBLIC"}[l] }

// visibilityPolicy is the level of the entries of some namespaces.
type visibilityPolicy struct {
	level     level
	selectors []labels.Selector // all of which match
}

// readVisibility reads the setting; nil where it does not apply to sidecars. Of a policy
// with an error it is not known which entries are meant: it applies to all of them, if
// that shows less.
func readVisibility(s *meshconfig.ServiceEntryVisibility, r reporter) *visibility {
	if s == nil {
		return nil
	}
	const path = "serviceEntryVisibility"
	if !s.ApplyToSidecars {
		r.add(problem.NoEffect(path, "", "without applyToSidecars it is for ambient proxies only, and exportTo alone decides who sees a ServiceEntry", "set applyToSidecars: true"))
		return nil
	}
	v := &visibility{byDefault: levelOf(s.DefaultVisibility)}
	for i, p := range s.Policies {
		at := fmt.Sprintf("%s.policies[%d]", path, i)
		policy, ok := readPolicy(p, at, r)
		if !ok {
			v.byDefault = min(v.byDefault, policy.level)
			for j := range v.policies {
				v.policies[j].level = min(v.policies[j].level, policy.level)
			}
			continue
		}
		v.policies = append(v.policies, policy)
	}
	return v
}

func readPolicy(p *meshconfig.ServiceEntryVisibility_Policy, at string, r reporter) (out visibilityPolicy, ok bool) {
	out.level, ok = levelOf(p.GetVisibility()), true
	for i, rule := range p.GetMatchingRules() {
		at := fmt.Sprintf("%s.matchingRules[%d]", at, i)
		s := rule.GetNamespaceSelector()
		if s == nil {
			ok = false
			r.add(problem.Required(at+".namespaceSelector", "add matchLabels or matchExpressions"))
			continue
		}
		spec := &metav1.LabelSelector{MatchLabels: s.MatchLabels}
		for _, e := range s.MatchExpressions {
			spec.MatchExpressions = append(spec.MatchExpressions, metav1.LabelSelectorRequirement{Key: e.GetKey(), Operator: metav1.LabelSelectorOperator(e.GetOperator()), Values: e.GetValues()})
		}
		selector, err := metav1.LabelSelectorAsSelector(spec)
		if err != nil {
			ok = false
			r.error(at+".namespaceSelector", "", "invalid label selector: "+err.Error(), "use matchLabels, or matchExpressions with In, NotIn, Exists or DoesNotExist")
			continue
		}
		out.selectors = append(out.selectors, selector)
	}
	return out, ok
}

// nameLabel is the label that the API server gives every namespace: its name. Nobody can
// change it.
const nameLabel = "kubernetes.io/metadata.name"

// needsLabels reports whether labels of namespaces make a difference, other than their
// names.
func (v *visibility) needsLabels() bool {
	return v != nil && slices.ContainsFunc(v.policies, func(p visibilityPolicy) bool { return !p.byName() })
}

// byName reports whether the name of a namespace alone decides whether a policy applies.
func (p visibilityPolicy) byName() bool {
	for _, s := range p.selectors {
		requirements, _ := s.Requirements()
		if slices.ContainsFunc(requirements, func(r labels.Requirement) bool { return r.Key() != nameLabel }) {
			return false
		}
	}
	return true
}

func levelOf(v meshconfig.ServiceEntryVisibility_Visibility) level {
	switch v {
	case meshconfig.ServiceEntryVisibility_NONE:
		return levelNone
	case meshconfig.ServiceEntryVisibility_NAMESPACE:
		return levelNamespace
	case meshconfig.ServiceEntryVisibility_VISIBILITY_UNSPECIFIED, meshconfig.ServiceEntryVisibility_PUBLIC:
		return levelPublic
	}
	return levelNone // a later version's
}

// of is the level of a namespace's entries. Where its labels decide and are not known, it is
// the narrowest that they could have.
func (v *visibility) of(namespace string, all map[string]map[string]string) level {
	of, known := all[namespace]
	set := labels.Merge(of, labels.Set{nameLabel: namespace})
	narrowest := levelPublic
	for _, p := range v.policies {
		switch {
		case !known && !p.byName():
			narrowest = min(narrowest, p.level)
		case p.matches(set):
			return min(narrowest, p.level)
		}
	}
	return min(narrowest, v.byDefault)
}

func (p visibilityPolicy) matches(set labels.Set) bool {
	for _, s := range p.selectors {
		if !s.Matches(set) {
			return false
		}
	}
	return true
}

// narrow are the exports of an entry without the namespaces that it is not visible in.
// Where its author has stated more, there is a warning.
func (v *visibility) narrow(e exports, namespace string, all map[string]map[string]string, r reporter) exports {
	if v == nil {
		return e
	}
	out := e
	switch l := v.of(namespace, all); {
	case l == levelNone && !e.none():
		out = exports{stated: e.stated}
		r.add(problem.NoEffect("spec", "", "serviceEntryVisibility of the mesh is NONE for namespace "+namespace+": no namespace sees this entry", "ask the administrator of the mesh"))
	case l == levelNamespace && e.beyond(namespace):
		out = exports{stated: e.stated}
		if e.to(namespace) {
			out.namespaces = []string{namespace}
		}
		if e.stated {
			r.add(problem.NoEffect("spec.exportTo", "", "serviceEntryVisibility of the mesh is NAMESPACE for namespace "+namespace+": no other one sees this entry", `use ["."], or ask the administrator of the mesh`))
		}
	}
	return out
}
