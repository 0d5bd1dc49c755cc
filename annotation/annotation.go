// Package annotation holds the one table of annotations and labels: name,
// where it may stand, type and parser of its value, default, level of support,
// one line of meaning. Validation (webhook, kube-inject, the warn-only entry on
// workloads) and the reference page come from this table and nowhere else.
//
// Everything here is a pure function of its arguments and safe for concurrent
// use. Check allocates nothing for a pod that carries none of these names.
package annotation

import (
	"fmt"
	"strings"
)

// Support says what happens to an annotation or label of the table.
type Support uint8

const (
	// Supported: the value is checked and has the meaning Istio gives it.
	Supported Support = iota
	// NoEffect: accepted, does nothing here; a warning says so.
	NoEffect
	// Refused: the pod is refused with the reason, because ignoring it would be unsafe.
	Refused
	// Written: the injector writes it; a user's value is replaced.
	Written
	// Untouched: read by somebody else; left alone, no warning.
	Untouched
)

// String returns the word the reference page uses.
func (s Support) String() string {
	switch s {
	case Supported:
		return "supported"
	case NoEffect:
		return "no effect"
	case Refused:
		return "refused"
	case Written:
		return "written"
	case Untouched:
		return "untouched"
	}
	return "unknown"
}

// Place is a set of places where a name may stand.
type Place uint8

const (
	// OnPod is a pod's metadata, or the metadata of a workload's pod template.
	OnPod Place = 1 << iota
	// OnNamespace is a Namespace's metadata.
	OnNamespace
	// OnWorkload is the metadata of a Deployment, Job and so on itself.
	OnWorkload
	// OnService is a Service's metadata.
	OnService
	// OnWebhook is a MutatingWebhookConfiguration's metadata.
	OnWebhook
)

// String lists the places in words: "pod, namespace".
func (p Place) String() string {
	var words []string
	for _, w := range []struct {
		bit  Place
		word string
	}{{OnPod, "pod"}, {OnNamespace, "namespace"}, {OnWorkload, "workload"}, {OnService, "service"}, {OnWebhook, "webhook configuration"}} {
		if p&w.bit != 0 {
			words = append(words, w.word)
		}
	}
	return strings.Join(words, ", ")
}

// Row is one line of the table. A name that is both an annotation and a label
// has two rows.
type Row struct {
	Name    string
	IsLabel bool
	Places  Place
	Type    string // of the value, for people: `range list or "*"`
	Default string // what holds when the name is absent, for people
	Support Support
	Meaning string // one line
	Why     string // NoEffect, Refused: why, and what to do instead

	check func(value string) []fault // of a Supported row; nil: any value
	warn  func(value string) []fault // of a Supported row; nil: nothing to say
	moot  func(value string) bool    // of a NoEffect row: the value asks for just what happens anyway
}

// Problem is one error or warning about one annotation or label.
type Problem struct {
	Name    string
	IsLabel bool
	Value   string // as written; Error cuts it
	Rule    string // what is wrong, in terms of the rule
	Fix     string // what to write or do instead
}

// maxQuoted bounds how much of a value a message repeats.
const maxQuoted = 128

// Error is one line: name, value, rule and fix.
func (p Problem) Error() string {
	kind := "annotation"
	if p.IsLabel {
		kind = "label"
	}
	s := kind + " " + quote(p.Name) + ": value " + quote(p.Value) + ": " + p.Rule
	if p.Fix != "" {
		s += "; " + p.Fix
	}
	return s
}

func quote(s string) string {
	if len(s) <= maxQuoted {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q... (%d bytes)", strings.ToValidUTF8(s[:maxQuoted], ""), len(s))
}

// fault is what a value parser finds wrong: the rule that is broken and the fix.
type fault struct{ rule, fix string }
