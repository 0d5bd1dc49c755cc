package check

import "cmp"

// APIVersion is the version of a Report as JSON. Fields are added within a version; none is
// renamed or removed.
const APIVersion = "outrider.dev/v1"

// Status is the result of a check.
type Status string

// The statuses, worst last.
const (
	Passed  Status = "passed"
	Skipped Status = "skipped" // its facts could not be read, or do not exist yet
	Warning Status = "warning"
	Failed  Status = "failed"
)

var severity = map[Status]int{Passed: 0, Skipped: 1, Warning: 2, Failed: 3}

// Compare orders statuses, worst last.
func (s Status) Compare(other Status) int { return cmp.Compare(severity[s], severity[other]) }

// Group is what a check is about.
type Group string

// The groups, in the order of a report.
const (
	Kubernetes   Group = "Kubernetes"
	Installation Group = "Installation"
	Webhook      Group = "Webhook"
	Namespaces   Group = "Namespaces"
	Ranges       Group = "Ranges"
	Platform     Group = "Platform"
	Proxy        Group = "Sidecar"
	Traffics     Group = "Traffic"
)

// Report is the result of all checks.
type Report struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"` // CheckReport
	// Status is the worst of the results.
	Status  Status   `json:"status"`
	Results []Result `json:"results"`
	// Traffic is what was tried with --traffic.
	Traffic *Traffic `json:"traffic,omitempty"`
}

// Result is what a check found. A check without a finding has one result, which passed or
// was skipped.
type Result struct {
	// Check is the check's ID, which is an anchor of docs/checks.md.
	Check  string `json:"check"`
	Group  Group  `json:"group"`
	Status Status `json:"status"`
	// What is a sentence.
	What string `json:"what"`
	// Details are facts behind it.
	Details []string `json:"details,omitempty"`
	// Fix is what to do; Commands are shell commands that do it, where they are known.
	Fix      string   `json:"fix,omitempty"`
	Commands []string `json:"commands,omitempty"`
}

// findings collects the results of one check.
type findings struct{ results []Result }

func (f *findings) fail(what, fix string, commands ...string) { f.add(Failed, what, fix, commands) }
func (f *findings) warn(what, fix string, commands ...string) { f.add(Warning, what, fix, commands) }

// skip is for a check whose facts are missing.
func (f *findings) skip(why string) { f.add(Skipped, why, "", nil) }

// pass is what the check has established.
func (f *findings) pass(what string) { f.add(Passed, what, "", nil) }

func (f *findings) add(s Status, what, fix string, commands []string) {
	f.results = append(f.results, Result{Status: s, What: what, Fix: fix, Commands: commands})
}

// detail adds facts to the last result.
func (f *findings) detail(details ...string) {
	last := &f.results[len(f.results)-1]
	last.Details = append(last.Details, details...)
}
