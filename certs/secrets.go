package certs

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// secrets are the two Secrets; one that does not exist is nil.
type secrets struct{ serving, key *corev1.Secret }

// data is that of a Secret.
func data(s *corev1.Secret) map[string][]byte {
	if s == nil {
		return nil
	}
	return s.Data
}

// converged is what the policy makes of the Secrets.
type converged struct {
	state    State
	done     []Decision
	restored bool  // from memory
	invalid  error // of what counts as lost
}

// reconcileSecrets brings the Secrets to what the policy decides. The state is nil
// after a concurrent modification, which triggers the next pass, and where what is due
// cannot be written.
func (l *leader) reconcileSecrets(ctx context.Context) (*State, error) {
	have := secrets{l.stored(l.secret, SecretName), l.stored(l.keySecret, KeySecretName)}
	next, err := l.converge(have)
	if err == nil && !l.differs(have, next) {
		l.logInvalid(next.invalid)
		return &next.state, nil
	}
	// The two are watched each by itself: one may be newer than the other, as after the
	// last pass. What is written is decided from what the API server has.
	if have, err = l.read(ctx); err != nil {
		return nil, err
	}
	if next, err = l.converge(have); err != nil {
		return nil, fmt.Errorf("reconcile Secret %s/%s: %w", l.options.Namespace, l.options.name(SecretName), err)
	}
	l.logInvalid(next.invalid)
	if !l.differs(have, next) {
		return &next.state, nil
	}
	err = l.store(ctx, have, next.state)
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return nil, nil
	}
	if err != nil && len(next.done) == 0 && !next.restored {
		return &next.state, err // only the key's place differs
	}
	if err != nil {
		return nil, err
	}
	l.report(have, next)
	return &next.state, nil
}

// report logs and counts what was written.
func (l *leader) report(have secrets, next converged) {
	if next.restored {
		l.log.Info("restored missing Secret data from memory", "namespace", l.options.Namespace, "name", l.options.name(SecretName))
	}
	if len(data(have.serving)[CAKeyFile]) > 0 {
		l.log.Info("CA key moved", "namespace", l.options.Namespace, "from", l.options.name(SecretName), "to", l.options.name(KeySecretName))
	}
	for _, d := range next.done {
		l.metrics.issued.WithLabelValues(string(d.Action), d.Reason).Inc()
		l.log.Info("certificates changed", "action", string(d.Action), "reason", d.Reason, "because", d.Why, "caCertificates", len(next.state.CACerts))
	}
}

// read reads both from the API server.
func (l *leader) read(ctx context.Context) (out secrets, err error) {
	api := l.client.CoreV1().Secrets(l.options.Namespace)
	for base, to := range map[string]**corev1.Secret{SecretName: &out.serving, KeySecretName: &out.key} {
		s, err := api.Get(ctx, l.options.name(base), metav1.GetOptions{})
		if err == nil {
			*to = s
		} else if !apierrors.IsNotFound(err) {
			return out, fmt.Errorf("read Secret %s/%s: %w", l.options.Namespace, l.options.name(base), err)
		}
	}
	return out, nil
}

// external reports whether another owner manages the certificate. An empty Secret may be
// created in advance, for Outrider to fill.
func (l *leader) external(s *corev1.Secret) bool {
	return s != nil && !l.options.owns(s.Labels) && len(s.Data[CertificateFile]) > 0
}

// converge is what the policy makes of the Secrets.
func (l *leader) converge(have secrets) (out converged, err error) {
	state, invalid := ParseState(data(have.serving), data(have.key))
	out.invalid = invalid
	external := l.external(have.serving)
	if !external {
		state, out.restored = state.restoredFrom(l.last.Load())
	}
	out.state, out.done, err = Converge(state, l.facts(state, external), l.options.Lifetimes)
	return out, err
}

// differs reports whether the Secrets must be written.
func (l *leader) differs(have secrets, next converged) bool {
	if len(next.done) > 0 || next.restored {
		return true
	}
	// Earlier versions stored the CA key beside the serving certificate.
	return !l.external(have.serving) && len(data(have.serving)[CAKeyFile]) > 0
}

// store writes the state to the versions of the Secrets it was made from, and to no
// others. The key is first: one whose certificate is not in the bundle yet is not used,
// while a certificate without its key cannot sign.
func (l *leader) store(ctx context.Context, old secrets, s State) error {
	data, keyData, err := s.Data()
	if err != nil {
		return err
	}
	if old.key == nil || !maps.EqualFunc(old.key.Data, keyData, bytes.Equal) {
		if old.key != nil && len(old.key.Data) > 0 && !l.options.owns(old.key.Labels) {
			return fmt.Errorf("secret %s/%s exists but is not managed by Outrider; delete it, or add its labels: %v",
				old.key.Namespace, old.key.Name, l.options.ownLabels())
		}
		if err := l.write(ctx, old.key, KeySecretName, corev1.SecretTypeOpaque, keyData); err != nil {
			return err
		}
	}
	return l.write(ctx, old.serving, SecretName, corev1.SecretTypeTLS, data)
}

// write creates or updates one Secret.
func (l *leader) write(ctx context.Context, old *corev1.Secret, base string, kind corev1.SecretType, data map[string][]byte) (err error) {
	api, name := l.client.CoreV1().Secrets(l.options.Namespace), l.options.name(base)
	next := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: l.options.Namespace}, Type: kind}
	if old != nil {
		next = old.DeepCopy()
	}
	if next.Labels == nil {
		next.Labels = map[string]string{}
	}
	maps.Copy(next.Labels, l.options.ownLabels())
	next.Data = data
	if old == nil {
		_, err = api.Create(ctx, next, metav1.CreateOptions{FieldManager: managedBy})
	} else {
		_, err = api.Update(ctx, next, metav1.UpdateOptions{FieldManager: managedBy})
	}
	if err != nil {
		return fmt.Errorf("write Secret %s/%s: %w", l.options.Namespace, name, err)
	}
	return nil
}

func (l *leader) facts(state State, external bool) Facts {
	serving, _ := l.replicas.live(time.Now(), reportsMissed*l.options.Timing.Report)
	bundle := state.Bundle()
	return Facts{
		Now: l.options.Now(), Hosts: l.options.Hosts, Serving: serving, External: external,
		Published: l.registrations.hold(bundle) && l.publisher.holds(bundle),
	}
}

// logInvalid logs an error of the Secret, once.
func (l *leader) logInvalid(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != "" && text != l.invalid {
		l.log.Error(err, "a Secret contains invalid data, ignoring it", "namespace", l.options.Namespace, "names", l.options.name(SecretName)+", "+l.options.name(KeySecretName))
	}
	l.invalid = text
}
