package xds

import "time"

// Observer is told what happens; nil members are left out. The functions are
// called from the streams and must not wait.
type Observer struct {
	// Connected is called when a stream is authenticated, Disconnected when it
	// ends.
	Connected, Disconnected func(Identity)
	// Refused is called when a stream is not let in.
	Refused func(error)
	// Sent is called for every response.
	Sent func(typeURL string, resources, bytes int)
	// Rejected is called when a sidecar does not take a response.
	Rejected func(Rejection)
	// Failed is called when a view cannot be made; its streams stay with what
	// they have.
	Failed func(namespace string, err error)
}

// Rejection is a response that a sidecar did not take. It keeps what it had,
// silently, and only its next start would show it.
type Rejection struct {
	Identity  Identity
	Node      string // what the sidecar calls itself
	TypeURL   string
	Resources []string // the response's, sorted
	Reason    string   // Envoy's words
}

// RejectionSummary is one thing that sidecars do not take.
type RejectionSummary struct {
	TypeURL   string
	Resources []string
	Reason    string // Envoy's words
	Sidecars  int    // how many
	Example   Identity
}

func (o Observer) connected(i Identity) {
	if o.Connected != nil {
		o.Connected(i)
	}
}

func (o Observer) disconnected(i Identity) {
	if o.Disconnected != nil {
		o.Disconnected(i)
	}
}

func (o Observer) refused(err error) error {
	if o.Refused != nil {
		o.Refused(err)
	}
	return err
}

func (o Observer) sent(typeURL string, resources, bytes int) {
	if o.Sent != nil {
		o.Sent(typeURL, resources, bytes)
	}
}

func (o Observer) rejected(r Rejection) {
	if o.Rejected != nil {
		o.Rejected(r)
	}
}

func (o Observer) failed(namespace string, err error) {
	if o.Failed != nil {
		o.Failed(namespace, err)
	}
}

// StreamStatus is one connected sidecar.
type StreamStatus struct {
	Identity   Identity
	Node       string // what the sidecar calls itself
	Since      time.Time
	Generation uint64 // the last that it was led to
	// Sent has the version of every resource it was sent, by type and name; an
	// empty version is one that it was told is missing.
	Sent map[string]map[string]string
	// Pending are the responses that it has neither taken nor rejected yet.
	Pending int
	// Rejected has the last rejection by type that was not followed by an
	// acceptance.
	Rejected map[string]Rejection
}
