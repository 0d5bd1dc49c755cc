package explain

// APIVersion is the version of an Answer as JSON. Fields are added within a version; none
// is renamed or removed.
const APIVersion = "outrider.dev/v1"

// Answer is everything about one pod.
type Answer struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"` // Explanation
	Object     Object `json:"object"`
	// Result is one of the results below.
	Result   string   `json:"result"`
	Webhook  Webhook  `json:"webhook"`
	Decision Decision `json:"decision"`
	// Running is what a running pod was injected with.
	Running  *Running  `json:"running,omitempty"`
	Settings []Setting `json:"settings"`
	// Warnings are the injection's.
	Warnings     []string  `json:"warnings"`
	Destinations []Traffic `json:"destinations"`
}

// Object is what is explained.
type Object struct {
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// File and Line are where a manifest has it.
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
}

// The results for a pod that is created now.
const (
	Injected    = "injected"
	Skipped     = "skipped"     // by the webhook
	NotSelected = "notSelected" // the API server does not call the webhook
	Denied      = "denied"      // by the webhook, for its settings
)

// Rule is what decides, and where it is.
type Rule struct {
	// ID is the rule's stable code, such as host_network or excluded-range.
	ID string `json:"id"`
	// Text is the rule as a sentence.
	Text string `json:"text"`
	// Source is the text or object that has the rule: "annotation NAME", a ConfigMap and
	// its key, "ServiceEntry shop/a", "default", "built-in".
	Source string `json:"source"`
	// Path is the field or key in the source; Line is its line, 0 where it is unknown.
	Path string `json:"path,omitempty"`
	Line int    `json:"line,omitempty"`
	// File is the file of an object that was read from one.
	File string `json:"file,omitempty"`
	// Fix is what changes the outcome; empty where nothing does.
	Fix string `json:"fix,omitempty"`
}

// Webhook is the first stage: whether the API server calls the webhook for the pod.
type Webhook struct {
	// Result is selected, notSelected or unknown.
	Result string `json:"result"`
	Rule   Rule   `json:"rule"`
	// Conditions are the names of matchConditions, which are not evaluated: the API server
	// calls the webhook only if all of them are true.
	Conditions []string `json:"conditions,omitempty"`
	// Others are webhooks of other injectors that select the pod.
	Others []string `json:"others,omitempty"`

	label    string // that selects
	ofObject bool   // it is the pod's, not the namespace's
}

// SelectedBy is the label that the pod is selected by, and whether it is the pod's own;
// empty where none is required.
func (w Webhook) SelectedBy() (label string, ofPod bool) { return w.label, w.ofObject }

// The results of the first stage.
const (
	Selected = "selected"
	Unknown  = "unknown"
)

// Decision is the second stage: what the webhook does.
type Decision struct {
	// Result is injected, skipped or denied.
	Result string `json:"result"`
	Rule   Rule   `json:"rule"`
	// Problems are why it is denied.
	Problems []string `json:"problems,omitempty"`
}

// Running is the injection of a running pod.
type Running struct {
	Injected   bool   `json:"injected"`
	Revision   string `json:"revision,omitempty"`
	ConfigHash string `json:"configHash,omitempty"`
	// Current reports that a pod that is created now has the same configuration.
	Current bool `json:"current"`
}

// Setting is one effective setting of a pod that is created now.
type Setting struct {
	Name   string `json:"name"`
	Value  string `json:"value"`
	Source string `json:"source"`
	Path   string `json:"path,omitempty"`
	Line   int    `json:"line,omitempty"`
	File   string `json:"file,omitempty"`
	// Evidence is the source of the ranges that a name in a list expands to.
	Evidence string `json:"evidence,omitempty"`
	// Running is the value of the running pod, where it is another one.
	Running *string `json:"running,omitempty"`
}

// Traffic is what happens to connections to one destination.
type Traffic struct {
	To    string       `json:"to"` // as it was asked for
	Notes []string     `json:"notes,omitempty"`
	Paths []Connection `json:"paths"`
}

// The outcomes of a connection.
const (
	Forwarded   = "forwarded"   // redirected, and forwarded by the sidecar
	Answered    = "answered"    // redirected, and answered by the sidecar itself
	Blocked     = "blocked"     // redirected, and blocked by the sidecar
	Bypassed    = "bypassed"    // a rule of the redirect lets it bypass the sidecar
	NotCaptured = "notCaptured" // the pod has no redirect at all
)

// Connection is one way to connect to a destination.
type Connection struct {
	Family   string `json:"family"` // IPv4 or IPv6
	Address  string `json:"address"`
	Port     uint16 `json:"port"`
	Protocol string `json:"protocol"`       // http, tls or tcp
	Name     string `json:"name,omitempty"` // the Host of HTTP, or the SNI of TLS
	// Assumed is set where the address is not known, and one in none of the lists is
	// assumed.
	Assumed bool   `json:"assumed,omitempty"`
	Outcome string `json:"outcome"`
	// Redirect is the rule of the redirect that decides.
	Redirect Rule `json:"redirect"`
	// Sidecar is what the sidecar does with a redirected connection.
	Sidecar *Sidecar `json:"sidecar,omitempty"`
}

// Sidecar is what a sidecar does with a connection or request.
type Sidecar struct {
	// Rule decides; Others are further objects that the result depends on.
	Rule   Rule   `json:"rule"`
	Others []Rule `json:"others,omitempty"`
	// Status is that of the sidecar's own response.
	Status int `json:"status,omitempty"`
	// Route is the route's name in access logs.
	Route    string    `json:"route,omitempty"`
	Clusters []Cluster `json:"clusters,omitempty"`
	// Timeout is a duration such as 3s; empty: none.
	Timeout string `json:"timeout,omitempty"`
}

// Cluster is a destination of the sidecar, as access logs name it.
type Cluster struct {
	Name   string `json:"name"`
	Weight uint32 `json:"weight"`
	// To are the names or addresses that it connects to; none for the original
	// destination.
	To []string `json:"to,omitempty"`
}
