// Package annotation holds the one table of annotations and labels: name, the
// objects it is allowed on, type and parser of its value, default, level of
// support, one line of meaning. Validation (webhook, kube-inject, warnings about
// workloads) and the reference page are made from this table only.
//
// Everything here is a pure function of its arguments and safe for concurrent
// use. Check allocates nothing for a pod that has none of these names.
//
// Files, each using only those before it: annotation.go (Row and its types),
// names.go, parse.go, volumes.go and proxyconfig.go (parsers of values),
// overlay.go, rows.go and rows_other.go (the rows), table.go (Lookup), check.go.
package annotation

import (
	"strings"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// Support is how an annotation or label of the table is treated.
type Support uint8

const (
	// Supported: the value is checked and has the meaning Istio gives it.
	Supported Support = iota
	// NoEffect: accepted and ignored, with a warning.
	NoEffect
	// Rejected: the pod is denied with the reason, because ignoring it would be unsafe.
	Rejected
	// Written: the injector writes it; a user's value is replaced.
	Written
	// External: another program reads it; it stays unchanged, without a warning.
	External
)

// String returns the word the reference page uses.
func (s Support) String() string {
	switch s {
	case Supported:
		return "supported"
	case NoEffect:
		return "no effect"
	case Rejected:
		return "rejected"
	case Written:
		return "written"
	case External:
		return "external"
	}
	return "unknown"
}

// Place is a set of kinds of objects that a name is allowed on.
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
	Default string // the effective setting without the name, for people
	Support Support
	Meaning string // one line
	Why     string // NoEffect, Rejected: why, and the fix

	check func(value string) problem.List // of a Supported row; nil: any value
	warn  func(value string) problem.List // of a Supported row; nil: no warning
	inert func(value string) bool         // of a NoEffect row: the value requests what happens anyway, which needs no warning
}

// Path names an annotation or a label in a problem: "annotation NAME" or
// "label NAME".
func Path(name string, isLabel bool) string {
	if isLabel {
		return "label " + name
	}
	return "annotation " + name
}
