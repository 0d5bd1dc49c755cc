package status

import (
	"time"

	"github.com/outrider-mesh/outrider/explain"
)

// APIVersion is the version of a Report and of a Preview as JSON. Fields are added within a
// version; none is renamed or removed.
const APIVersion = explain.APIVersion

// Report is the status of the pods of a namespace, or of all.
type Report struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"` // Status
	// Namespace is that of the pods; empty for all.
	Namespace string    `json:"namespace,omitempty"`
	Active    Active    `json:"active"`
	Replicas  []Replica `json:"replicas"`
	Summary   Summary   `json:"summary"`
	// Workloads are those whose running pods were injected under other settings.
	Workloads []Workload `json:"workloads"`
	// Missing are the pods that should have a sidecar and have none.
	Missing []Missing `json:"missing"`
	// Sidecars are those with a problem.
	Sidecars []Sidecar `json:"sidecars"`
	// Warnings are what could not be read, and what follows from it.
	Warnings []string `json:"warnings"`
}

// Active are the settings that pods are compared with.
type Active struct {
	// Hash is that of the settings that this program has read, as in the status annotation
	// of pods.
	Hash string `json:"hash"`
	// Source is configmap, last-good or defaults.
	Source string `json:"source"`
	// Since is when they became active, where it is stored.
	Since time.Time `json:"since,omitzero"`
	// NotApplied is why the ConfigMaps are not applied.
	NotApplied string `json:"notApplied,omitempty"`
}

// Summary counts pods that run, or are about to.
type Summary struct {
	Pods      int `json:"pods"`
	Injected  int `json:"injected"` // have a sidecar of this product
	Stale     int `json:"stale"`    // of them, under other settings than the active ones
	Missing   int `json:"missing"`  // should have a sidecar and have none
	Workloads int `json:"workloads"`
}

// Workload is a workload with pods that were injected under other settings than those of a
// pod that is created now.
type Workload struct {
	Object
	Pods []string `json:"pods"`
	// Oldest is when the oldest of them was created.
	Oldest time.Time `json:"oldest"`
	// ConfigHash is that of the settings that they were injected under.
	ConfigHash string `json:"configHash"`
	// Since is when the settings became active that differ from theirs, where it is stored.
	Since time.Time `json:"since,omitzero"`
	// Result is what happens to a pod that is created now: one of the results below.
	Result string `json:"result"`
	// Rule is why it is not injected any more, where it is not.
	Rule *explain.Rule `json:"rule,omitempty"`
	// Problems are why it would be denied.
	Problems    []string     `json:"problems,omitempty"`
	Differences []Difference `json:"differences"`
	// Command applies the active settings; empty where no command does.
	Command string `json:"command,omitempty"`
	// Note is what to do where there is no command, or what else to consider.
	Note string `json:"note,omitempty"`
}

// Object is a workload: the one that kubectl names, or the pod itself.
type Object struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	// File and Line are where a manifest has it.
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
}

// The results for a pod that is created now.
const (
	Injected = explain.Injected
	Skipped  = explain.Skipped // without a sidecar: by the webhook
	Denied   = explain.Denied
)

// Difference is one thing that differs between the running pods and one that is created now.
type Difference struct {
	// Name is that of a setting, or a part of the pod such as "istio-proxy: env".
	Name string `json:"name"`
	// Was and Is are the two values, where they are short enough to show.
	Was string `json:"was"`
	Is  string `json:"is"`
	// Source, Path and Line are where the new value is.
	Source string `json:"source,omitempty"`
	Path   string `json:"path,omitempty"`
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
}

// Missing are pods of a workload that should have a sidecar and have none.
type Missing struct {
	Object
	Pods   []string  `json:"pods"`
	Oldest time.Time `json:"oldest"`
	Cause  Cause     `json:"cause"`
	// Problems are why a pod that is created now would be denied.
	Problems []string `json:"problems,omitempty"`
	Command  string   `json:"command,omitempty"`
	Note     string   `json:"note,omitempty"`
}

// Cause is why pods have no sidecar, as far as there is evidence.
type Cause struct {
	// ID is one of the causes below.
	ID   string `json:"id"`
	Text string `json:"text"`
}

// The causes.
const (
	LabelLater      = "label_later"      // the label that selects them was written after they were created
	RegisteredLater = "registered_later" // the webhook was registered after they were created
	SkippedThen     = "skipped_then"     // the settings of that time did not inject them
	UnknownCause    = "unknown"
)

// Replica is a replica of the webhook or of the control plane.
type Replica struct {
	Name       string   `json:"name"`
	Components []string `json:"components,omitempty"`
	Version    string   `json:"version,omitempty"`
	ConfigHash string   `json:"configHash,omitempty"`
	Source     string   `json:"source,omitempty"`
	NotApplied string   `json:"notApplied,omitempty"`
	// Reported is when it reported this last; Silent is set where that is too long ago.
	Reported time.Time `json:"reported,omitzero"`
	Silent   bool      `json:"silent,omitempty"`
	// Connected, Behind and Rejecting are numbers of sidecars of a replica of the control
	// plane.
	Connected *int `json:"connected,omitempty"`
	Behind    int  `json:"behind,omitempty"`
	Rejecting int  `json:"rejecting,omitempty"`
}

// Sidecar is a sidecar with a problem.
type Sidecar struct {
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	// ID is one of the problems below.
	ID   string `json:"id"`
	Text string `json:"text"`
	// Time is when it was observed last, or began.
	Time time.Time `json:"time,omitzero"`
}

// The problems of a sidecar.
const (
	Rejecting = "rejecting" // it rejects a part of its configuration, and keeps what it had
	Behind    = "behind"    // it has not confirmed the newest configuration
	NotReady  = "not_ready"
)
