package config

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Selector is one compiled label selector of neverInjectSelector or
// alwaysInjectSelector.
type Selector struct {
	Spec metav1.LabelSelector

	compiled labels.Selector // nil: matches nothing
}

// NewSelector compiles a selector.
func NewSelector(spec metav1.LabelSelector) (Selector, error) {
	c, err := metav1.LabelSelectorAsSelector(&spec)
	if err != nil {
		return Selector{}, err
	}
	if c.Empty() {
		c = nil
	}
	return Selector{Spec: spec, compiled: c}, nil
}

// Matches reports whether the labels satisfy the selector. An empty selector
// matches nothing here: that is Istio's rule, and not Kubernetes' own.
func (s Selector) Matches(l map[string]string) bool {
	return s.compiled != nil && s.compiled.Matches(labels.Set(l))
}

// String is the selector in kubectl's form: "app=web,tier in (a,b)".
func (s Selector) String() string {
	if s.compiled == nil {
		return "<none>"
	}
	return s.compiled.String()
}
