package certs

import (
	"bytes"
	"crypto/tls"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

var epoch = time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)

const day = 24 * time.Hour

var testHosts = []string{"outrider.istio-system.svc", "127.0.0.1", "::1"}

// convergedAt is the result of the policy for a state at a time, all published.
func convergedAt(t testing.TB, s State, now time.Time, edit ...func(*Facts)) (State, []string) {
	t.Helper()
	f := Facts{Now: now, Hosts: testHosts, Published: true}
	for _, e := range edit {
		e(&f)
	}
	next, done, err := Converge(s, f, DefaultLifetimes)
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	for _, d := range done {
		reasons = append(reasons, string(d.Action)+"/"+d.Reason)
	}
	return next, reasons
}

// fresh is a state made at epoch from nothing.
func fresh(t testing.TB) State {
	s, _ := convergedAt(t, State{}, epoch)
	return s
}

// rotating is a state whose second CA certificate was issued at the time.
func rotating(t testing.TB, at time.Time) State {
	s := fresh(t)
	s.Key = nil
	s, _ = convergedAt(t, s, at)
	return s
}

func TestPolicy(t *testing.T) {
	unpublished := func(f *Facts) { f.Published = false }
	serving := func(ids ...string) func(*Facts) { return func(f *Facts) { f.Serving = ids } }
	minute := func(n int) time.Time { return epoch.Add(time.Duration(n) * time.Minute) }
	good, turning := fresh(t), rotating(t, epoch)
	turned, _ := convergedAt(t, turning, minute(11))
	older := rotating(t, epoch.Add(-200*day)) // for the skewed clocks
	id := CAID(turned.CACerts[0])
	without := func(edit func(*State)) State { s := good; edit(&s); return s }
	stranger := fresh(t)

	for _, tt := range []struct {
		name  string
		state State
		now   time.Time
		edit  []func(*Facts)
		want  string
	}{
		{"empty", State{}, epoch, nil, "new-ca/ca-missing new-leaf/leaf-missing"},
		{"good", good, epoch, nil, ""},
		{"good for 58 days", good, epoch.Add(58 * day), nil, ""},
		{"leaf due after two thirds", good, epoch.Add(61 * day), nil, "new-leaf/leaf-due"},
		{"leaf due although nothing can be published", good, epoch.Add(61 * day), []func(*Facts){unpublished}, "new-leaf/leaf-due"},
		{"leaf expired", good, epoch.Add(91 * day), nil, "new-leaf/leaf-expiring"},
		{"CA certificate due: the new one is not signing yet", without(func(s *State) { s.Serving = late(t, s) }), epoch.Add(244 * day), nil, "new-ca/ca-due"},
		{"down for years: all at once", good, epoch.Add(900 * day), nil, "new-ca/ca-due new-leaf/leaf-expiring drop-expired/ca-expired"},
		{"leaf lost", without(func(s *State) { s.Serving = nil }), epoch, nil, "new-leaf/leaf-missing"},
		{"CA certificate lost", without(func(s *State) { s.CACerts, s.Key = nil, nil }), epoch, nil, "new-ca/ca-missing new-leaf/leaf-untrusted"},
		{"key lost: what is served stays trusted", without(func(s *State) { s.Key = nil }), epoch, nil, "new-ca/ca-key-lost"},
		{"leaf of another CA", without(func(s *State) { s.Serving = stranger.Serving }), epoch, nil, "new-leaf/leaf-untrusted"},
		{"another host", good, epoch, []func(*Facts){func(f *Facts) { f.Hosts = append(slices.Clone(testHosts), "10.0.0.1") }}, "new-leaf/leaf-hosts"},
		{"fewer hosts", good, epoch, []func(*Facts){func(f *Facts) { f.Hosts = testHosts[:1] }}, ""},
		{"externally managed Secret", State{Serving: stranger.Serving}, epoch, []func(*Facts){func(f *Facts) { f.External = true }}, ""},

		{"new CA certificate, not settled", turning, minute(9), nil, ""},
		{"new CA certificate, not published", turning, minute(600), []func(*Facts){unpublished}, ""},
		{"new CA certificate, settled and published", turning, minute(10), nil, "new-leaf/ca-published"},
		{"never published: before the leaf expires", turning, epoch.Add(76 * day), []func(*Facts){unpublished}, "new-leaf/leaf-expiring"},
		{"overlap too short", turned, minute(70), []func(*Facts){serving(id, id)}, ""},
		{"a replica serves the old one", turned, minute(6000), []func(*Facts){serving(id, CAID(turned.CACerts[1]))}, ""},
		{"a replica serves nothing yet", turned, minute(6000), []func(*Facts){serving(id, "")}, ""},
		{"no replica has reported", turned, minute(6000), nil, ""},
		{"every replica serves the new one", turned, minute(71), []func(*Facts){serving(id, id)}, "drop-old/rotation-complete"},

		{"our clock is half an hour behind the issuer's", good, epoch.Add(-30 * time.Minute), nil, ""},
		{"our clock is two hours behind the issuer's", good, epoch.Add(-2 * time.Hour), nil, "new-ca/ca-not-yet-valid new-leaf/leaf-not-yet-valid"},
		{"behind in the middle of a rotation", turning, epoch.Add(-30 * time.Minute), nil, ""},
		{"far behind with an old CA certificate still valid", older, epoch.Add(-300 * day), nil, "new-ca/ca-not-yet-valid new-leaf/leaf-not-yet-valid"},
		{"our clock jumped ahead by a year", good, epoch.Add(366 * day), nil, "new-ca/ca-due new-leaf/leaf-expiring drop-expired/ca-expired"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			next, reasons := convergedAt(t, tt.state, tt.now, tt.edit...)
			if got := strings.Join(reasons, " "); got != tt.want {
				t.Fatalf("decided %q, want %q", got, tt.want)
			}
			if tt.state.Serving != nil && len(tt.edit) == 0 && len(reasons) > 0 {
				// Whatever was decided, the bundle of the result verifies its certificate now.
				if err := ChainsTo(next.Serving, next.Bundle(), tt.now); err != nil {
					t.Errorf("the serving certificate is not trusted: %v", err)
				}
			}
			if _, again := convergedAt(t, next, tt.now, append(tt.edit, unpublished)...); len(again) > 0 {
				t.Errorf("decided again at once: %v", again)
			}
		})
	}
}

// late is a leaf as the policy would have renewed it on day 240.
func late(t testing.TB, s *State) *tls.Certificate {
	t.Helper()
	leaf, err := ca{s.CACerts[0], s.Key}.newLeaf(testHosts, epoch.Add(240*day), epoch.Add(330*day))
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}

// A client holds the bundle of some moment, and a replica serves the leaf of
// some moment, not far apart: the client must accept it.
func TestConverge_RotationNeverBreaksTrust(t *testing.T) {
	type moment struct {
		bundle []byte
		state  State
	}
	const step, lag = 6 * time.Hour, 2 // a client or replica may be two steps behind
	s, history := State{}, []moment{}
	seen := map[string]int{}
	for now := epoch; now.Before(epoch.Add(800 * day)); now = now.Add(step) {
		f := Facts{Now: now, Hosts: testHosts, Published: true}
		if n := len(history); n > lag {
			// One replica is up to date, another as far behind as may be.
			f.Serving = []string{signerID(history[n-1].state.Serving.Leaf), signerID(history[n-lag].state.Serving.Leaf)}
			f.Published = bytes.Equal(history[n-lag].bundle, s.Bundle())
		}
		next, done, err := Converge(s, f, DefaultLifetimes)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range done {
			seen[d.Reason]++
		}
		s = next
		history = append(history, moment{s.Bundle(), s})
		if len(done) == 0 && len(history) > 2*lag {
			continue // nothing new to check until the next change
		}
		for i := max(0, len(history)-1-lag); i < len(history); i++ {
			for j := max(0, len(history)-1-lag); j < len(history); j++ {
				if err := ChainsTo(history[j].state.Serving, history[i].bundle, now); err != nil && i > 0 {
					t.Fatalf("day %d: bundle of step %d, leaf of step %d: %v", int(now.Sub(epoch)/day), i, j, err)
				}
			}
		}
		if len(s.CACerts) > 2 {
			t.Fatalf("day %d: %d CA certificates", int(now.Sub(epoch)/day), len(s.CACerts))
		}
	}
	for reason, want := range map[string]int{"ca-due": 3, "ca-published": 3, "rotation-complete": 3} {
		if seen[reason] != want {
			t.Errorf("%s: %d times in 800 days, want %d; all: %v", reason, seen[reason], want, seen)
		}
	}
	if seen["leaf-expiring"]+seen["leaf-untrusted"] > 0 {
		t.Errorf("a rotation ended in an emergency: %v", seen)
	}
}

func TestConverge_BundleIsBounded(t *testing.T) {
	s := fresh(t)
	for i := range 50 {
		s.Key = nil // it is removed each time
		s, _ = convergedAt(t, s, epoch.Add(time.Duration(i)*time.Second), func(f *Facts) { f.Published = false })
		if s.signer() == nil {
			t.Fatalf("after %d times the serving certificate is not trusted", i)
		}
	}
	if len(s.CACerts) > maxCACerts {
		t.Errorf("%d CA certificates", len(s.CACerts))
	}
}

func TestParseState(t *testing.T) {
	s := rotating(t, epoch)
	data, keyData, err := s.Data()
	if err != nil {
		t.Fatal(err)
	}
	if data[CAKeyFile] != nil {
		t.Error("the CA key is beside the serving certificate")
	}
	got, err := ParseState(data, keyData)
	if err != nil || !got.Key.Equal(s.Key) || !bytes.Equal(got.Bundle(), s.Bundle()) || !got.Serving.Leaf.Equal(s.Serving.Leaf) {
		t.Errorf("read back: %v", err)
	}
	other, otherKey, _ := fresh(t).Data()
	for _, tt := range []struct {
		name  string
		edit  func(map[string][]byte)
		error string
		lost  func(State) bool
	}{
		{"junk for the bundle", func(d map[string][]byte) { d[BundleFile] = []byte("junk") }, "key ca.crt: no PEM certificate found", func(s State) bool { return s.CACerts == nil && s.Key == nil && s.Serving != nil }},
		{"a key in the bundle", func(d map[string][]byte) { d[BundleFile] = append(d[BundleFile], d[KeyFile]...) }, `PEM block 3: unexpected PEM type "PRIVATE KEY"`, func(s State) bool { return len(s.CACerts) == 2 && s.Key != nil }},
		{"another CA's key", func(d map[string][]byte) { d[CAKeyFile] = otherKey[CAKeyFile] }, "private key does not match the first certificate", func(s State) bool { return s.Key == nil && s.Serving != nil }},
		{"junk for the key", func(d map[string][]byte) { d[CAKeyFile] = []byte("junk") }, "no PEM private key found", func(s State) bool { return s.Key == nil }},
		{"another leaf's key", func(d map[string][]byte) { d[KeyFile] = other[KeyFile] }, "key tls.crt, tls.key", func(s State) bool { return s.Serving == nil && s.Key != nil }},
		{"no leaf key", func(d map[string][]byte) { delete(d, KeyFile) }, "key tls.crt, tls.key", func(s State) bool { return s.Serving == nil }},
		{"nothing", func(d map[string][]byte) { clear(d) }, "", func(s State) bool { return s.Serving == nil && s.Key == nil && s.CACerts == nil }},
	} {
		// The cases of the key are edits of its own Secret.
		data, keyData, _ := s.Data()
		data[CAKeyFile] = keyData[CAKeyFile]
		tt.edit(data)
		keyData = map[string][]byte{CAKeyFile: data[CAKeyFile]}
		delete(data, CAKeyFile)
		got, err := ParseState(data, keyData)
		if (err == nil) != (tt.error == "") || err != nil && !strings.Contains(err.Error(), tt.error) || !tt.lost(got) {
			t.Errorf("%s: %v, %+v", tt.name, err, got)
		}
	}
}

// Earlier versions stored the CA key beside the serving certificate. After an upgrade it
// signs on; after a rollback the earlier version, which reads that Secret alone, does
// not find it and rotates: what clients trust, and what is served, stays. After the next
// upgrade its key is used, and not the one that it has replaced.
func TestParseState_EarlierVersions(t *testing.T) {
	s := fresh(t)
	data, keyData, err := s.Data()
	if err != nil {
		t.Fatal(err)
	}
	earlier := maps.Clone(data)
	earlier[CAKeyFile] = keyData[CAKeyFile]
	got, err := ParseState(earlier, nil)
	if err != nil || !got.Key.Equal(s.Key) {
		t.Errorf("upgraded: %v, key %v", err, got.Key)
	}
	lost, err := ParseState(data, nil)
	if err != nil || lost.Key != nil {
		t.Errorf("rolled back: %v, key %v", err, lost.Key)
	}
	rotated, done := convergedAt(t, lost, epoch.Add(time.Minute), func(f *Facts) { f.Published = false })
	if !slices.Equal(done, []string{"new-ca/ca-key-lost"}) {
		t.Fatalf("rolled back: %q", done)
	}
	if !strings.HasSuffix(string(rotated.Bundle()), string(s.Bundle())) || !rotated.Serving.Leaf.Equal(s.Serving.Leaf) {
		t.Error("the earlier version does not keep the CA certificate trusted and the serving certificate in use")
	}
	data, newKey, err := rotated.Data()
	if err != nil {
		t.Fatal(err)
	}
	data[CAKeyFile] = newKey[CAKeyFile] // where the earlier version writes it
	if again, err := ParseState(data, keyData); err != nil || !again.Key.Equal(rotated.Key) {
		t.Errorf("upgraded again: %v, key %v", err, again.Key)
	}
}

func TestState_RestoredFrom(t *testing.T) {
	s := fresh(t)
	if got, changed := (State{}).restoredFrom(&s); !changed || got.Key != nil || got.Serving != s.Serving || got.signer() == nil {
		t.Errorf("all lost: %+v", got)
	}
	if got, changed := s.restoredFrom(&State{}); changed || got.Key != s.Key {
		t.Errorf("nothing to restore: %+v", got)
	}
	if _, changed := s.restoredFrom(nil); changed {
		t.Error("nothing before")
	}
	other := fresh(t)
	if got, changed := other.restoredFrom(&s); changed || got.Serving != other.Serving {
		t.Error("a complete state was changed")
	}
}

func FuzzParseState(f *testing.F) {
	data, keyData, err := fresh(f).Data()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data[BundleFile], keyData[CAKeyFile], data[CertificateFile], data[KeyFile])
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), []byte{}, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, bundle, key, cert, leafKey []byte) {
		s, _ := ParseState(map[string][]byte{BundleFile: bundle, CertificateFile: cert, KeyFile: leafKey}, map[string][]byte{CAKeyFile: key})
		// Whatever it was, the policy converges to a state that serves.
		next, _, err := Converge(s, Facts{Now: epoch, Hosts: testHosts}, DefaultLifetimes)
		if err != nil || next.Serving == nil || next.signer() == nil {
			t.Fatalf("%v: %+v", err, next)
		}
	})
}
