package certs

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

// Lifetimes are the durations the policy goes by.
type Lifetimes struct {
	// Authority and Leaf are how long what is issued is valid from now on. Each
	// is replaced when two thirds of its validity are over.
	Authority, Leaf time.Duration
	// Backdate is how much earlier than now the validity begins, so that a
	// client whose clock is behind takes the certificate.
	Backdate time.Duration
	// Settle is how long a new authority has existed, published, before it
	// signs what is served. The kubelet brings a changed ConfigMap into running
	// pods within its sync period (1 minute) and the time it caches (1 minute).
	Settle time.Duration
	// Overlap is how long the old authority stays trusted at least after
	// nothing it signed is served any more.
	Overlap time.Duration
}

// DefaultLifetimes replace a leaf after two months and an authority after eight.
var DefaultLifetimes = Lifetimes{
	Authority: 365 * 24 * time.Hour, Leaf: 90 * 24 * time.Hour,
	Backdate: time.Hour, Settle: 10 * time.Minute, Overlap: time.Hour,
}

// Facts are what the policy has to know beside the state.
type Facts struct {
	Now time.Time
	// Hosts are the names and addresses the serving certificate must be for.
	Hosts []string
	// Published says that every place clients look at holds the state's bundle.
	Published bool
	// Serving names, for each replica that is alive, the authority that signed
	// what it serves; "" for one that serves nothing yet.
	Serving []string
	// Foreign says that somebody else keeps the Secret.
	Foreign bool
}

// Action is what to do with the state.
type Action string

// The actions.
const (
	Keep         Action = "keep"          // all is well
	NewAuthority Action = "new-authority" // make one; what is served stays
	NewLeaf      Action = "new-leaf"      // have the newest authority sign a new one
	DropExpired  Action = "drop-expired"  // trust expired authorities no more
	DropOld      Action = "drop-old"      // trust the newest authority alone
)

// Decision is an action and the reason for it, as a code and as a sentence.
type Decision struct {
	Action Action
	Reason string
	Why    string
}

// rule is one step of the policy. holds returns the sentence when it applies.
type rule struct {
	reason string
	action Action
	holds  func(s State, f Facts, l Lifetimes) string
}

// rules are asked in this order, and the first that applies decides. First
// comes what must not be touched, then what is broken, the authority before the
// leaf since it signs the leaf; then what is due; last what can go.
var rules = []rule{
	// A Secret that cert-manager or a person keeps is served and published;
	// whoever keeps it also renews it.
	{"foreign", Keep, func(_ State, f Facts, _ Lifetimes) string {
		return when(f.Foreign, "the Secret is kept by somebody else")
	}},

	{"authority-missing", NewAuthority, func(s State, _ Facts, _ Lifetimes) string {
		return when(len(s.Authorities) == 0, "there is no authority")
	}},
	// The old authority stays trusted: what it signed is still served.
	{"authority-key-lost", NewAuthority, func(s State, _ Facts, _ Lifetimes) string {
		return when(s.Key == nil, "the newest authority's key is missing or not its own")
	}},
	// Whoever issued it had a clock more than Backdate ahead, or ours is behind.
	// Clients go by a third clock; a certificate of now is the best guess.
	{"authority-not-yet-valid", NewAuthority, func(s State, f Facts, _ Lifetimes) string {
		return when(f.Now.Before(s.Authorities[0].NotBefore), "the newest authority is valid from %s", s.Authorities[0].NotBefore)
	}},
	{"authority-due", NewAuthority, func(s State, f Facts, _ Lifetimes) string {
		return when(!f.Now.Before(due(s.Authorities[0], 2, 3)), "two thirds of the authority's validity are over; it ends %s", s.Authorities[0].NotAfter)
	}},

	// Without a good certificate nothing works, so these do not wait until a new
	// authority is published.
	{"leaf-missing", NewLeaf, func(s State, _ Facts, _ Lifetimes) string {
		return when(s.Serving == nil, "there is no serving certificate")
	}},
	{"leaf-untrusted", NewLeaf, func(s State, _ Facts, _ Lifetimes) string {
		return when(s.signer() == nil, "no trusted authority signed the serving certificate")
	}},
	{"leaf-not-yet-valid", NewLeaf, func(s State, f Facts, _ Lifetimes) string {
		return when(f.Now.Before(s.Serving.Leaf.NotBefore), "the serving certificate is valid from %s", s.Serving.Leaf.NotBefore)
	}},
	{"leaf-hosts", NewLeaf, func(s State, f Facts, _ Lifetimes) string {
		host := missingHost(s.Serving.Leaf, f.Hosts)
		return when(host != "", "the serving certificate is not for %s", host)
	}},
	// Waiting for a place that cannot be written must not end in an expired
	// certificate: five sixths is fifteen days before, by default.
	{"leaf-expiring", NewLeaf, func(s State, f Facts, _ Lifetimes) string {
		return when(!f.Now.Before(due(s.Serving.Leaf, 5, 6)), "the serving certificate ends %s", s.Serving.Leaf.NotAfter)
	}},

	// The switch of a rotation.
	{"authority-published", NewLeaf, func(s State, f Facts, l Lifetimes) string {
		issued := s.Authorities[0].NotBefore.Add(l.Backdate)
		settled := f.Published && !f.Now.Before(issued.Add(l.Settle))
		return when(!s.servedByNewest() && settled, "clients have had the new authority for %s", f.Now.Sub(issued).Round(time.Second))
	}},
	{"leaf-due", NewLeaf, func(s State, f Facts, _ Lifetimes) string {
		old := !f.Now.Before(due(s.Serving.Leaf, 2, 3))
		return when(s.servedByNewest() && old, "two thirds of the serving certificate's validity are over; it ends %s", s.Serving.Leaf.NotAfter)
	}},

	// An authority outlives what it signed, so nothing served needs these.
	{"authority-expired", DropExpired, func(s State, f Facts, _ Lifetimes) string {
		return when(slices.ContainsFunc(s.Authorities, expired(f.Now)), "an authority has expired")
	}},
	// The end of a rotation: every replica alive has said what it serves.
	{"rotation-complete", DropOld, func(s State, f Facts, l Lifetimes) string {
		over := len(s.Authorities) > 1 && s.servedByNewest() &&
			!f.Now.Before(s.Serving.Leaf.NotBefore.Add(l.Backdate+l.Overlap))
		for _, id := range f.Serving {
			over = over && id == AuthorityID(s.Authorities[0])
		}
		return when(over && len(f.Serving) > 0, "all %d replicas serve under the new authority", len(f.Serving))
	}},
}

// Decide is the first rule that applies, or Keep.
func Decide(s State, f Facts, l Lifetimes) Decision {
	for _, r := range rules {
		if why := r.holds(s, f, l); why != "" {
			return Decision{r.action, r.reason, why}
		}
	}
	return Decision{Keep, "good", "nothing is missing or due"}
}

// maxSteps is more than any state needs: an authority, a leaf, and both drops.
const maxSteps = 6

// Settled decides and acts until there is nothing more to do at this time. It
// returns the state to store and what was decided on the way.
func Settled(s State, f Facts, l Lifetimes) (State, []Decision, error) {
	var done []Decision
	for range maxSteps {
		d := Decide(s, f, l)
		if d.Action == Keep {
			return s, done, nil
		}
		var err error
		if s, err = apply(s, d.Action, f, l); err != nil {
			return s, done, fmt.Errorf("%s, because %s: %w", d.Action, d.Why, err)
		}
		// Nobody has seen what was made just now.
		f.Published = false
		done = append(done, d)
	}
	return s, done, fmt.Errorf("the certificates do not settle: after %d steps still %s", maxSteps, done[len(done)-1].Why)
}

// maxAuthorities bounds the bundle where somebody takes the key away again and
// again.
const maxAuthorities = 8

func apply(s State, a Action, f Facts, l Lifetimes) (State, error) {
	from := f.Now.Add(-l.Backdate).Truncate(time.Second)
	switch a {
	case NewAuthority:
		made, err := newAuthority(from, f.Now.Add(l.Authority))
		if err != nil {
			return s, err
		}
		old := s.Authorities
		if signer := s.signer(); len(old) >= maxAuthorities {
			old = old[:maxAuthorities-2]
			if signer != nil && !slices.Contains(old, signer) {
				old = append(slices.Clone(old), signer)
			}
		}
		s.Authorities, s.Key = append([]*x509.Certificate{made.certificate}, old...), made.key
	case NewLeaf:
		to := f.Now.Add(l.Leaf)
		if end := s.Authorities[0].NotAfter; to.After(end) {
			to = end
		}
		leaf, err := authority{s.Authorities[0], s.Key}.newLeaf(f.Hosts, from, to)
		if err != nil {
			return s, err
		}
		s.Serving = leaf
	case DropExpired:
		s.Authorities = slices.DeleteFunc(slices.Clone(s.Authorities), expired(f.Now))
	case DropOld:
		s.Authorities = s.Authorities[:1:1]
	case Keep:
	}
	return s, nil
}

// due is when part of whole of the certificate's validity is over.
func due(c *x509.Certificate, part, whole time.Duration) time.Time {
	return c.NotBefore.Add(c.NotAfter.Sub(c.NotBefore) / whole * part)
}

func expired(now time.Time) func(*x509.Certificate) bool {
	return func(c *x509.Certificate) bool { return now.After(c.NotAfter) }
}

// when is the sentence if the condition holds, with times as RFC 3339.
func when(holds bool, format string, args ...any) string {
	if !holds {
		return ""
	}
	for i, a := range args {
		if t, ok := a.(time.Time); ok {
			args[i] = t.UTC().Format(time.RFC3339)
		}
	}
	return fmt.Sprintf(format, args...)
}
