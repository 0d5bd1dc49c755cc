package certs

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// asEarlier stores a new CA and a serving certificate in the form of earlier versions:
// the CA key beside the serving certificate.
func (i *installation) asEarlier() State {
	i.t.Helper()
	s, _, err := Converge(State{}, Facts{Now: time.Now(), Hosts: []string{"outrider." + i.namespace + ".svc", "127.0.0.1"}}, DefaultLifetimes)
	i.must(err)
	data, key, err := s.Data()
	i.must(err)
	data[CAKeyFile] = key[CAKeyFile]
	o := Options{Revision: i.revision}
	_, err = i.Client.CoreV1().Secrets(i.namespace).Create(i.t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: o.name(SecretName), Namespace: i.namespace, Labels: o.ownLabels()},
		Type:       corev1.SecretTypeTLS, Data: data,
	}, metav1.CreateOptions{})
	i.must(err)
	return s
}

// keyMoved waits until the CA key is in its own Secret alone.
func (i *installation) keyMoved() {
	i.t.Helper()
	i.eventually("the CA key is moved", func() error {
		if len(i.secret().Data[CAKeyFile]) > 0 {
			return errors.New("it is beside the serving certificate")
		}
		return nil
	})
	s, err := ParseState(i.secret().Data, i.secretOf(KeySecretName).Data)
	i.must(err)
	if s.Key == nil {
		i.t.Error("the key does not match the newest CA certificate")
	}
}

// After an upgrade the CA key is moved into its own Secret, and nothing else changes. An
// earlier version that is rolled back to issues a new CA certificate, whose key is moved
// after the next upgrade.
func TestManager_MovesTheKey(t *testing.T) {
	t.Parallel()
	i := install(t)
	before := i.asEarlier()
	r := i.ready()
	i.keyMoved()
	if got := i.registered(1); got != string(before.Bundle()) {
		t.Error("the upgrade has issued another CA certificate")
	}
	if now, err := r.GetCertificate(nil); err != nil || !now.Leaf.Equal(before.Serving.Leaf) {
		t.Errorf("the upgrade has changed the serving certificate: %v", err)
	}
	if n := r.value(t, "outrider_cert_decisions_total"); n != 0 {
		t.Errorf("%v certificates were issued", n)
	}
	r.stop()

	// The earlier version finds no key, and writes its own beside the certificate.
	state, err := ParseState(i.secret().Data, nil)
	i.must(err)
	rotated, _, err := Converge(state, Facts{Now: time.Now(), Hosts: []string{"127.0.0.1"}}, DefaultLifetimes)
	i.must(err)
	data, key, err := rotated.Data()
	i.must(err)
	data[CAKeyFile] = key[CAKeyFile]
	secret := i.secret()
	secret.Data = data
	_, err = i.Client.CoreV1().Secrets(i.namespace).Update(t.Context(), secret, metav1.UpdateOptions{})
	i.must(err)

	r = i.ready()
	i.keyMoved()
	if got := i.registered(2); got != string(rotated.Bundle()) || !strings.HasSuffix(got, string(before.Bundle())) {
		t.Error("after the rollback and the next upgrade other CA certificates are trusted")
	}
	if got := i.secretOf(KeySecretName).Data[CAKeyFile]; !bytes.Equal(got, key[CAKeyFile]) {
		t.Error("the key is not that of the earlier version")
	}
	if now, err := r.GetCertificate(nil); err != nil || !now.Leaf.Equal(before.Serving.Leaf) {
		t.Errorf("the serving certificate has changed: %v", err)
	}
}

// A Secret of another owner is not overwritten, and the replica that serves goes on.
func TestManager_KeySecretOfAnother(t *testing.T) {
	t.Parallel()
	i := install(t)
	o := Options{Revision: i.revision}
	_, err := i.Client.CoreV1().Secrets(i.namespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: o.name(KeySecretName), Namespace: i.namespace}, Data: map[string][]byte{"mine": []byte("1")},
	}, metav1.CreateOptions{})
	i.must(err)
	before := i.asEarlier()
	r := i.ready(func(o *Options) { o.Registration = i.registration() })
	i.eventually("it serves", func() error {
		now, err := r.GetCertificate(nil)
		if err == nil && !now.Leaf.Equal(before.Serving.Leaf) {
			err = errors.New("another certificate")
		}
		return err
	})
	time.Sleep(4 * quick.Resync)
	if got := i.secretOf(KeySecretName).Data; len(got) != 1 || len(i.secret().Data[CAKeyFile]) == 0 {
		t.Errorf("it was overwritten: %v", fmt.Sprint(got))
	}
}
