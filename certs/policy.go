package certs

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"slices"
	"time"
)

// Lifetimes are the durations of the policy.
type Lifetimes struct {
	// CA and Leaf are how long an issued certificate is valid from now on. Each is
	// replaced after two thirds of its lifetime.
	CA, Leaf time.Duration
	// Backdate is how much earlier than now the validity begins, so that a
	// client whose clock is behind accepts the certificate.
	Backdate time.Duration
	// Settle is how long a new CA certificate has been published before it signs
	// the serving certificate. The kubelet brings a changed ConfigMap into running
	// pods within its sync period (1 minute) and the time it caches (1 minute).
	Settle time.Duration
	// Overlap is how long the old CA certificate stays trusted at least after no
	// certificate that it signed is served any more.
	Overlap time.Duration
}

// DefaultLifetimes replace a leaf after two months and a CA certificate after eight.
var DefaultLifetimes = Lifetimes{
	CA: 365 * 24 * time.Hour, Leaf: 90 * 24 * time.Hour,
	Backdate: time.Hour, Settle: 10 * time.Minute, Overlap: time.Hour,
}

func (l Lifetimes) withDefaults() Lifetimes {
	d := DefaultLifetimes
	return Lifetimes{
		CA: cmp.Or(l.CA, d.CA), Leaf: cmp.Or(l.Leaf, d.Leaf), Backdate: cmp.Or(l.Backdate, d.Backdate),
		Settle: cmp.Or(l.Settle, d.Settle), Overlap: cmp.Or(l.Overlap, d.Overlap),
	}
}

// Facts are what the policy reads beside the state.
type Facts struct {
	Now time.Time
	// Hosts are the SANs that the serving certificate must have.
	Hosts []string
	// Published is true when every place that clients read has the state's bundle.
	Published bool
	// Serving is, for each live replica, the ID of the CA certificate that signed
	// what it serves; "" for one without a certificate.
	Serving []string
	// External is true when the Secret is externally managed.
	External bool
}

// Action is what to do with the state.
type Action string

// The actions.
const (
	Keep        Action = "keep"         // nothing to do
	NewCA       Action = "new-ca"       // issue a CA certificate; the serving certificate stays
	NewLeaf     Action = "new-leaf"     // issue a serving certificate, signed by the newest CA certificate
	DropExpired Action = "drop-expired" // remove expired CA certificates from the bundle
	DropOld     Action = "drop-old"     // remove all but the newest CA certificate from the bundle
)

// Decision is an action and the reason for it, as a code and as a sentence.
type Decision struct {
	Action Action
	Reason string
	Why    string
}

// rule is one step of the policy. holds returns the message when it applies.
type rule struct {
	reason string
	action Action
	holds  func(s State, f Facts, l Lifetimes) string
}

// rules are evaluated in this order, and the first that applies decides: first
// what must not be changed, then what is broken, the CA certificate before the
// leaf since it signs the leaf; then what is due; last what can be removed.
var rules = []rule{
	// A Secret that cert-manager or a user manages is served and published; its
	// owner also renews it.
	{"external", Keep, func(_ State, f Facts, _ Lifetimes) string {
		return when(f.External, "Secret is externally managed")
	}},

	{"ca-missing", NewCA, func(s State, _ Facts, _ Lifetimes) string {
		return when(len(s.CACerts) == 0, "no CA certificate")
	}},
	// The old CA certificate stays trusted: what it signed is still served.
	{"ca-key-lost", NewCA, func(s State, _ Facts, _ Lifetimes) string {
		return when(s.Key == nil, "CA key missing or mismatched")
	}},
	// Its issuer's clock was more than Backdate ahead, or this replica's is behind.
	// Clients use a third clock; a certificate of now is the best guess.
	{"ca-not-yet-valid", NewCA, func(s State, f Facts, _ Lifetimes) string {
		return when(f.Now.Before(s.CACerts[0].NotBefore), "CA certificate is not valid before %s", s.CACerts[0].NotBefore)
	}},
	{"ca-due", NewCA, func(s State, f Facts, _ Lifetimes) string {
		return when(!f.Now.Before(due(s.CACerts[0], 2, 3)), "CA certificate is past 2/3 of its lifetime (expires %s)", s.CACerts[0].NotAfter)
	}},

	// Without a valid certificate nothing works, so these do not wait until a new
	// CA certificate is published.
	{"leaf-missing", NewLeaf, func(s State, _ Facts, _ Lifetimes) string {
		return when(s.Serving == nil, "no serving certificate")
	}},
	{"leaf-untrusted", NewLeaf, func(s State, _ Facts, _ Lifetimes) string {
		return when(s.signer() == nil, "serving certificate is not signed by a trusted CA")
	}},
	{"leaf-not-yet-valid", NewLeaf, func(s State, f Facts, _ Lifetimes) string {
		return when(f.Now.Before(s.Serving.Leaf.NotBefore), "serving certificate is not valid before %s", s.Serving.Leaf.NotBefore)
	}},
	{"leaf-hosts", NewLeaf, func(s State, f Facts, _ Lifetimes) string {
		host := missingHost(s.Serving.Leaf, f.Hosts)
		return when(host != "", "SANs of the serving certificate do not include %s", host)
	}},
	// Waiting for an object that cannot be written must not end in an expired
	// certificate: five sixths is fifteen days before, by default.
	{"leaf-expiring", NewLeaf, func(s State, f Facts, _ Lifetimes) string {
		return when(!f.Now.Before(due(s.Serving.Leaf, 5, 6)), "serving certificate expires %s", s.Serving.Leaf.NotAfter)
	}},

	// The switch of a rotation.
	{"ca-published", NewLeaf, func(s State, f Facts, l Lifetimes) string {
		issued := s.CACerts[0].NotBefore.Add(l.Backdate)
		settled := f.Published && !f.Now.Before(issued.Add(l.Settle))
		return when(!s.servedByNewest() && settled, "new CA distributed for %s", f.Now.Sub(issued).Round(time.Second))
	}},
	{"leaf-due", NewLeaf, func(s State, f Facts, _ Lifetimes) string {
		old := !f.Now.Before(due(s.Serving.Leaf, 2, 3))
		return when(s.servedByNewest() && old, "serving certificate is past 2/3 of its lifetime (expires %s)", s.Serving.Leaf.NotAfter)
	}},

	// A CA certificate outlives what it signed, so no serving certificate needs these.
	{"ca-expired", DropExpired, func(s State, f Facts, _ Lifetimes) string {
		return when(slices.ContainsFunc(s.CACerts, expired(f.Now)), "a CA certificate has expired")
	}},
	// The end of a rotation: every live replica has reported what it serves.
	{"rotation-complete", DropOld, func(s State, f Facts, l Lifetimes) string {
		over := len(s.CACerts) > 1 && s.servedByNewest() &&
			!f.Now.Before(s.Serving.Leaf.NotBefore.Add(l.Backdate+l.Overlap))
		for _, id := range f.Serving {
			over = over && id == CAID(s.CACerts[0])
		}
		return when(over && len(f.Serving) > 0, "all %d replicas serve a certificate of the new CA", len(f.Serving))
	}},
}

// Decide is the first rule that applies, or Keep.
func Decide(s State, f Facts, l Lifetimes) Decision {
	for _, r := range rules {
		if why := r.holds(s, f, l); why != "" {
			return Decision{r.action, r.reason, why}
		}
	}
	return Decision{Keep, "good", "certificates are up to date"}
}

// maxSteps is more than any state needs: a CA certificate, a leaf, and both drops.
const maxSteps = 6

// Converge decides and acts until there is nothing more to do at this time. It
// returns the state to store and the decisions on the way.
func Converge(s State, f Facts, l Lifetimes) (State, []Decision, error) {
	var done []Decision
	for range maxSteps {
		d := Decide(s, f, l)
		if d.Action == Keep {
			return s, done, nil
		}
		var err error
		if s, err = apply(s, d.Action, f, l); err != nil {
			return s, done, fmt.Errorf("%s (%s): %w", d.Action, d.Why, err)
		}
		// What was issued just now is not published.
		f.Published = false
		done = append(done, d)
	}
	return s, done, fmt.Errorf("certificate policy did not converge: after %d steps still %s", maxSteps, done[len(done)-1].Why)
}

// maxCACerts bounds the bundle where the key is removed again and again.
const maxCACerts = 8

func apply(s State, a Action, f Facts, l Lifetimes) (State, error) {
	from := f.Now.Add(-l.Backdate).Truncate(time.Second)
	switch a {
	case NewCA:
		made, err := newCA(from, f.Now.Add(l.CA))
		if err != nil {
			return s, err
		}
		old := s.CACerts
		if signer := s.signer(); len(old) >= maxCACerts {
			old = old[:maxCACerts-2]
			if signer != nil && !slices.Contains(old, signer) {
				old = append(slices.Clone(old), signer)
			}
		}
		s.CACerts, s.Key = append([]*x509.Certificate{made.certificate}, old...), made.key
	case NewLeaf:
		to := f.Now.Add(l.Leaf)
		if end := s.CACerts[0].NotAfter; to.After(end) {
			to = end
		}
		leaf, err := ca{s.CACerts[0], s.Key}.newLeaf(f.Hosts, from, to)
		if err != nil {
			return s, err
		}
		s.Serving = leaf
	case DropExpired:
		s.CACerts = slices.DeleteFunc(slices.Clone(s.CACerts), expired(f.Now))
	case DropOld:
		s.CACerts = s.CACerts[:1:1]
	case Keep:
	}
	return s, nil
}

// due is when part of whole of the certificate's lifetime is over.
func due(c *x509.Certificate, part, whole time.Duration) time.Time {
	return c.NotBefore.Add(c.NotAfter.Sub(c.NotBefore) / whole * part)
}

func expired(now time.Time) func(*x509.Certificate) bool {
	return func(c *x509.Certificate) bool { return now.After(c.NotAfter) }
}

// when is the message if the condition holds, with times as RFC 3339.
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
