// Package revision is the one rule of revisions: how several control planes
// share a cluster. A revision's objects have its name behind theirs, and an
// object or namespace that names a revision belongs to that one alone. The
// revision "default", which may also be written as the empty string, has no
// suffix.
package revision

// Default is the name of the revision that a cluster has without naming one.
const Default = "default"

// Revision is the name of a control plane's revision; empty means Default.
type Revision string

// IsDefault reports the revision whose objects have no suffix.
func (r Revision) IsDefault() bool { return r == "" || r == Default }

// String is the revision's name, never empty.
func (r Revision) String() string {
	if r.IsDefault() {
		return Default
	}
	return string(r)
}

// Name is the name of this revision's object: "istio" or "istio-canary".
func (r Revision) Name(base string) string {
	if r.IsDefault() {
		return base
	}
	return base + "-" + string(r)
}

// Matches reports whether a label istio.io/rev with this value, or its absence
// where value is empty, names this revision.
func (r Revision) Matches(value string) bool { return Revision(value).String() == r.String() }

// Reads reports whether this revision reads an object whose label istio.io/rev
// has this value: without the label, every revision does.
func (r Revision) Reads(label string) bool { return label == "" || r.Matches(label) }

// Tag is the name of a revision tag: a second value of the label istio.io/rev that
// selects a revision, and can be moved to another one without labeling namespaces
// again.
type Tag string

// DefaultTag is the tag that istio-injection and objects without a revision belong to.
const DefaultTag Tag = Default

// Configuration is the name of the MutatingWebhookConfiguration of the tag. It is
// Istio's: two products with a tag of one name would inject the same pods, and an
// installation of the second fails.
func (t Tag) Configuration() string { return "istio-revision-tag-" + string(t) }
