package certs

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/outrider-mesh/outrider/annotation"
)

func TestManager_FirstStart(t *testing.T) {
	t.Parallel()
	i := install(t)
	shop := i.Namespace(t, map[string]string{"istio.io/rev": i.revision})
	other := i.Namespace(t, nil)
	before := i.mutating()
	r := i.ready()

	bundle := i.registered(1)
	i.holding(shop, bundle)
	if _, err := i.configMap(other); err == nil {
		t.Error("a namespace that is not selected has a ConfigMap")
	}
	served, err := r.GetCertificate(nil)
	i.must(err)
	if _, err := handshake(t, r.GetCertificate, []byte(bundle), "outrider."+i.namespace+".svc", nil); err != nil {
		t.Errorf("a client that trusts the registered bundle: %v", err)
	}
	if s := i.secret(); s.Type != corev1.SecretTypeTLS || !r.options.owns(s.Labels) {
		t.Errorf("Secret of type %s, labels %v", s.Type, s.Labels)
	}
	// Nothing but caBundle was written.
	after := i.mutating()
	for n := range after.Webhooks {
		after.Webhooks[n].ClientConfig.CABundle = nil
	}
	if !reflect.DeepEqual(before.Webhooks, after.Webhooks) || !reflect.DeepEqual(before.Labels, after.Labels) {
		t.Errorf("the webhook configuration was changed beyond caBundle:\n%+v\n%+v", before.Webhooks, after.Webhooks)
	}
	i.eventually("the metrics report it", func() error {
		if got := r.value(t, "outrider_cert_expiry_timestamp_seconds", "serving"); got != float64(served.Leaf.NotAfter.Unix()) {
			return fmt.Errorf("serving certificate expires %v", got)
		}
		if r.value(t, "outrider_cert_expiry_timestamp_seconds", "ca") == 0 || r.value(t, "outrider_leader") != 1 {
			return fmt.Errorf("CA expiry or leader missing")
		}
		if n := r.value(t, "outrider_ca_bundle_patches_total", "patched"); n != 2 {
			return fmt.Errorf("%v patches, want one of each kind", n)
		}
		if r.value(t, "outrider_ca_bundle_trusted") != 2 {
			return fmt.Errorf("not trusted")
		}
		return nil
	})
	// In the desired state nothing is written.
	version, secret := i.mutating().ResourceVersion, i.secret().ResourceVersion
	time.Sleep(4 * quick.Resync)
	if i.mutating().ResourceVersion != version || i.secret().ResourceVersion != secret {
		t.Error("something was written although nothing had changed")
	}
}

func TestManager_RepairsDrift(t *testing.T) {
	t.Parallel()
	i := install(t)
	r := i.ready()
	bundle := i.registered(1)

	// An administrator narrows the selection, which is kept.
	_, err := i.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().Patch(t.Context(), i.registration(), types.JSONPatchType,
		[]byte(`[{"op":"replace","path":"/webhooks/0/namespaceSelector","value":{"matchLabels":{"team":"a"}}}]`), metav1.PatchOptions{})
	i.must(err)
	i.wipe()
	if got := i.registered(1); got != bundle {
		t.Error("repaired with another bundle")
	}
	if s := i.mutating().Webhooks[0].NamespaceSelector; s.MatchLabels["team"] != "a" || len(s.MatchExpressions) > 0 {
		t.Errorf("the selector was rewritten: %+v", s)
	}

	// Without a leader, a replica that is not trusted is not ready.
	i.eventually("ready again", func() error { return r.Ready(nil) })
	r.stop()
	lame := i.start(func(o *Options) { // it serves, and never leads
		o.External, o.CAFile = r.GetCertificate, ""
	})
	strange, _, _ := issue(t, []string{"a"}, time.Now().Add(-time.Hour), 2*time.Hour)
	_, err = i.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().Patch(t.Context(), i.registration(), types.StrategicMergePatchType,
		fmt.Appendf(nil, `{"webhooks":[{"name":"rev.object.sidecar-injector.istio.io","clientConfig":{"caBundle":%q}}]}`, base64Of(strange)), metav1.PatchOptions{})
	i.must(err)
	i.eventually("not ready while another CA certificate is registered", func() error {
		if got := fmt.Sprint(lame.Ready(nil)); !strings.Contains(got, "does not chain to the caBundle of webhook rev.object.sidecar-injector.istio.io") {
			return errors.New("ready: " + got)
		}
		return nil
	})
	i.ready() // a leader starts, and repairs it
	i.eventually("ready when repaired", func() error { return lame.Ready(nil) })
}

// clientsKeepTrusting verifies the certificate of every replica, again and again,
// as a client with the registered bundle, and as a sidecar of the namespace.
func (i *installation) clientsKeepTrusting(namespace string, replicas ...*replica) (stop func()) {
	var connections atomic.Int32
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ; ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
			c, err := i.Client.CoreV1().ConfigMaps(namespace).Get(ctx, ConfigMapName+"-"+i.revision, metav1.GetOptions{})
			if err != nil {
				continue
			}
			bundles := []string{c.Data[keyBundle]}
			m, err := i.Client.AdmissionregistrationV1().MutatingWebhookConfigurations().Get(ctx, i.registration(), metav1.GetOptions{})
			if err == nil {
				bundles = append(bundles, string(m.Webhooks[0].ClientConfig.CABundle))
			}
			for _, r := range replicas {
				served, err := r.GetCertificate(nil)
				if err != nil {
					continue
				}
				for n, bundle := range bundles {
					if err := ChainsTo(served, []byte(bundle), time.Now()); err != nil {
						i.t.Errorf("during the rotation client %d rejected a replica: %v", n, err)
					}
					connections.Add(1)
				}
			}
		}
	}()
	return func() {
		cancel()
		<-done
		if connections.Load() < 10 {
			i.t.Errorf("only %d checks were made", connections.Load())
		}
	}
}

func TestManager_RotationOverlaps(t *testing.T) {
	t.Parallel()
	i := install(t)
	i.lifetimes = Lifetimes{CA: 24 * time.Hour, Leaf: 24 * time.Hour, Backdate: time.Hour, Settle: time.Second, Overlap: time.Second}
	shop := i.Namespace(t, map[string]string{"istio.io/rev": i.revision})
	i.behind.Store(int64(17 * time.Hour)) // what is issued now is due when the clocks are correct again
	a, b := i.ready(), i.ready()
	old := i.registered(1)
	i.holding(shop, old)
	first, err := a.GetCertificate(nil)
	i.must(err)

	// A third replica is live, and does not load the new certificate.
	slow := Options{Namespace: i.namespace, Revision: i.revision, Identity: "slow", Timing: quick, Now: time.Now}
	reporting, quit := context.WithCancel(t.Context())
	reported := make(chan struct{})
	go func() {
		defer close(reported)
		for reporting.Err() == nil {
			if err := report(reporting, i.Client, &slow, signerID(first.Leaf), nil); err != nil && reporting.Err() == nil {
				t.Error(err)
			}
			time.Sleep(quick.Report)
		}
	}()
	defer func() { quit(); <-reported }()
	i.eventually("the slow replica is reported", func() error {
		_, err := i.Client.CoordinationV1().Leases(i.namespace).Get(t.Context(), replicaLease+"-slow", metav1.GetOptions{})
		return err
	})
	stop := i.clientsKeepTrusting(shop, a, b)

	i.behind.Store(0)
	both := i.registered(2)
	if !strings.HasSuffix(both, old) {
		t.Error("the old CA certificate is not among the two")
	}
	i.holding(shop, both)
	i.eventually("both replicas serve a certificate of the new CA", func() error {
		for _, r := range []*replica{a, b} {
			c, err := r.GetCertificate(nil)
			i.must(err)
			if signerID(c.Leaf) == signerID(first.Leaf) {
				return fmt.Errorf("%s still serves the old one", r.options.Identity)
			}
			if err := ChainsTo(c, []byte(both), time.Now()); err != nil {
				return err
			}
		}
		return nil
	})
	// The slow one keeps the old CA certificate trusted as long as it is live.
	time.Sleep(i.lifetimes.Overlap + 5*quick.Resync)
	if i.registered(2) != both {
		t.Error("the bundle changed")
	}
	quit()
	<-reported
	last := i.registered(1)
	i.holding(shop, last)
	if last == old || !strings.HasPrefix(both, last) {
		t.Error("the remaining CA certificate is not the new one")
	}
	stop()
	if _, err := i.Client.CoordinationV1().Leases(i.namespace).Get(t.Context(), replicaLease+"-slow", metav1.GetOptions{}); err == nil {
		i.eventually("the slow one's lease is deleted", func() error {
			if _, err := i.Client.CoordinationV1().Leases(i.namespace).Get(t.Context(), replicaLease+"-slow", metav1.GetOptions{}); err == nil {
				return fmt.Errorf("still there")
			}
			return nil
		})
	}
}

func TestManager_LeaderChange(t *testing.T) {
	t.Parallel()
	i := install(t)
	// A leader that died without releasing its Lease.
	_, err := i.Client.CoordinationV1().Leases(i.namespace).Create(t.Context(), &coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Name: leaderLease + "-" + i.revision},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: new("dead"), LeaseDurationSeconds: new(int32(1)),
			AcquireTime: new(metav1.NowMicro()), RenewTime: new(metav1.NowMicro())},
	}, metav1.CreateOptions{})
	i.must(err)
	a, b := i.ready(), i.ready()
	bundle := i.registered(1)
	leads := func(r *replica) bool { return r.value(t, "outrider_leader") == 1 }
	if leads(a) == leads(b) {
		t.Fatalf("leaders: %v, %v", leads(a), leads(b))
	}
	if leads(b) {
		a, b = b, a
	}
	served, err := b.GetCertificate(nil)
	i.must(err)
	a.stop()
	began := time.Now()
	i.wipe()
	if i.registered(1) != bundle {
		t.Error("the new leader has another CA certificate")
	}
	t.Logf("repaired by the new leader %s after the old one left", time.Since(began).Round(time.Millisecond))
	if !leads(b) {
		t.Error("another replica repaired it")
	}
	if now, err := b.GetCertificate(nil); err != nil || now != served {
		t.Errorf("a change of leader changed the certificate: %v", err)
	}
	// A third one, which starts now, serves the same.
	c := i.ready()
	if now, err := c.GetCertificate(nil); err != nil || !now.Leaf.Equal(served.Leaf) {
		t.Errorf("the third replica serves something else: %v", err)
	}
	// Deleting the key requests a new CA certificate.
	i.must(i.Client.CoreV1().Secrets(i.namespace).Delete(t.Context(), KeySecretName+"-"+i.revision, metav1.DeleteOptions{}))
	if both := i.registered(2); !strings.HasSuffix(both, bundle) {
		t.Error("the old CA certificate is not trusted any more")
	}
	// The Secret is deleted. The serving certificate is still valid and stays trusted:
	// the leader restores it beside a new CA certificate.
	i.must(i.Client.CoreV1().Secrets(i.namespace).Delete(t.Context(), SecretName+"-"+i.revision, metav1.DeleteOptions{}))
	if all := i.registered(3); !strings.HasSuffix(all, bundle) {
		t.Error("the CA certificate of the serving certificate is not trusted any more")
	}
	for _, r := range []*replica{b, c} {
		if now, err := r.GetCertificate(nil); err != nil || !now.Leaf.Equal(served.Leaf) || r.Ready(nil) != nil {
			t.Errorf("after the Secret was deleted: %v, ready: %v", err, r.Ready(nil))
		}
	}
}

// A replica that loses the lead keeps serving, and takes part in the next election.
func TestManager_LeaderElectionFailover(t *testing.T) {
	t.Parallel()
	i := install(t)
	r := i.ready()
	bundle := i.registered(1)
	leading := func() bool { return r.value(t, "outrider_leader") == 1 }
	i.eventually("it leads", func() error {
		if !leading() {
			return errors.New("not yet")
		}
		return nil
	})
	leases := i.Client.CoordinationV1().Leases(i.namespace)
	patch := fmt.Sprintf(`{"spec":{"holderIdentity":"thief","leaseDurationSeconds":3,"renewTime":%q}}`, time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000000Z"))
	_, err := leases.Patch(t.Context(), leaderLease+"-"+i.revision, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	i.must(err)
	i.eventually("it no longer leads", func() error {
		if leading() {
			return errors.New("still leading")
		}
		return nil
	})
	if err := r.Ready(nil); err != nil {
		t.Errorf("without the lead it does not serve: %v", err)
	}
	i.wipe()
	if i.registered(1) != bundle { // once it leads again
		t.Error("repaired with another bundle")
	}
}

func TestPublisher_FollowsNamespacesAndPods(t *testing.T) {
	t.Parallel()
	i := install(t)
	own := i.Namespace(t, map[string]string{"istio.io/rev": i.revision})
	users := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: ConfigMapName + "-" + i.revision}, Data: map[string]string{"mine": "1"}}
	_, err := i.Client.CoreV1().ConfigMaps(own).Create(t.Context(), users, metav1.CreateOptions{})
	i.must(err)
	shop := i.Namespace(t, map[string]string{"istio.io/rev": i.revision})
	late, optedIn, byHand := i.Namespace(t, nil), i.Namespace(t, nil), i.Namespace(t, nil)
	r := i.ready()
	bundle := i.registered(1)
	i.holding(shop, bundle)

	label := func(namespace, value string) {
		t.Helper()
		_, err := i.Client.CoreV1().Namespaces().Patch(t.Context(), namespace, types.MergePatchType,
			[]byte(`{"metadata":{"labels":{"istio.io/rev":`+value+`}}}`), metav1.PatchOptions{})
		i.must(err)
	}
	gone := func(namespace string) {
		t.Helper()
		i.eventually("the ConfigMap of "+namespace+" is removed", func() error {
			if c, err := i.configMap(namespace); err == nil {
				return fmt.Errorf("still there: %v", c.Labels)
			}
			return nil
		})
	}
	// No webhook is running here, so the pods are created before the labels.
	pods := i.Client.CoreV1().Pods(late)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "sleep"}, Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "sleep", Image: "sleep"}},
		Volumes: []corev1.Volume{{Name: "outrider-xds", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
			Sources: []corev1.VolumeProjection{{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: ConfigMapName + "-" + i.revision}}}},
		}}}},
	}}
	_, err = pods.Create(t.Context(), pod, metav1.CreateOptions{})
	i.must(err)
	label(late, `"`+i.revision+`"`)
	i.holding(late, bundle)

	maps := i.Client.CoreV1().ConfigMaps(late)
	_, err = maps.Patch(t.Context(), ConfigMapName+"-"+i.revision, types.MergePatchType, []byte(`{"data":{"ca.pem":"junk","more":"x"}}`), metav1.PatchOptions{})
	i.must(err)
	i.holding(late, bundle)
	i.must(maps.Delete(t.Context(), ConfigMapName+"-"+i.revision, metav1.DeleteOptions{}))
	i.holding(late, bundle)

	// It stays while a pod mounts it.
	label(late, "null")
	time.Sleep(4 * quick.Resync)
	i.holding(late, bundle)
	i.must(pods.Delete(t.Context(), "sleep", metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}))
	gone(late)

	// A pod that opts in by label, in a namespace without labels.
	ask := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "ask"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "a"}}}}
	_, err = i.Client.CoreV1().Pods(optedIn).Create(t.Context(), ask, metav1.CreateOptions{})
	i.must(err)
	_, err = i.Client.CoreV1().Pods(optedIn).Patch(t.Context(), "ask", types.MergePatchType,
		[]byte(`{"metadata":{"labels":{"istio.io/rev":"`+i.revision+`"}}}`), metav1.PatchOptions{})
	i.must(err)
	i.holding(optedIn, bundle)
	i.must(i.Client.CoreV1().Pods(optedIn).Delete(t.Context(), "ask", metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}))
	gone(optedIn)

	// A pod injected from a file, without labels, in a namespace without labels.
	injected := pod.DeepCopy()
	injected.Annotations = map[string]string{annotation.SidecarStatus: `{"revision":"` + i.revision + `","configHash":"1"}`}
	_, err = i.Client.CoreV1().Pods(byHand).Create(t.Context(), injected, metav1.CreateOptions{})
	i.must(err)
	i.holding(byHand, bundle)
	i.must(i.Client.CoreV1().Pods(byHand).Delete(t.Context(), injected.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64(0))}))
	gone(byHand)

	// The user's ConfigMap was never changed, selected or not.
	label(own, "null")
	time.Sleep(2 * quick.Resync)
	if c, err := i.configMap(own); err != nil || !reflect.DeepEqual(c.Data, users.Data) || len(c.Labels) > 0 {
		t.Errorf("the user's ConfigMap: %v, %+v", err, c)
	}
	if n := r.value(t, "outrider_ca_configmap_writes_total", "failed"); n != 0 {
		t.Errorf("%v writes failed", n)
	}
}

func TestManager_ExternalCertificates(t *testing.T) {
	t.Parallel()
	i := install(t)
	shop := i.Namespace(t, map[string]string{"istio.io/rev": i.revision})
	ca, cert, key := issue(t, []string{"127.0.0.1"}, time.Now().Add(-time.Hour), 24*time.Hour)
	pair, err := tls.X509KeyPair(cert, key)
	i.must(err)
	external := func(file string) func(*Options) {
		return func(o *Options) {
			o.External = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &pair, nil }
			o.CAFile = file
		}
	}
	dir := t.TempDir()
	right, wrong := filepath.Join(dir, "right"), filepath.Join(dir, "wrong")
	strange, _, _ := issue(t, []string{"127.0.0.1"}, time.Now().Add(-time.Hour), 24*time.Hour)
	i.must(os.WriteFile(right, ca, 0o600))
	i.must(os.WriteFile(wrong, strange, 0o600))

	for _, file := range []string{"", wrong} { // no bundle; one that would disconnect every client
		r := i.ready(external(file))
		time.Sleep(4 * quick.Resync)
		if got := i.bundles(); len(got) != 1 || got[0] != "" {
			t.Errorf("CA file %q: caBundle was patched to %q", file, got)
		}
		r.stop()
	}
	i.ready(external(right))
	i.holding(shop, i.registered(1))
	if i.registered(1) != string(ca) {
		t.Error("another bundle than the file's was published")
	}
	if _, err := i.Client.CoreV1().Secrets(i.namespace).Get(t.Context(), SecretName+"-"+i.revision, metav1.GetOptions{}); err == nil {
		t.Error("a Secret was created")
	}

	// The same in an externally managed Secret: served, published, unchanged.
	j := install(t)
	theirs := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: SecretName + "-" + j.revision, Namespace: j.namespace}, Type: corev1.SecretTypeTLS,
		Data: map[string][]byte{CertificateFile: cert, KeyFile: key, BundleFile: ca},
	}
	_, err = j.Client.CoreV1().Secrets(j.namespace).Create(t.Context(), theirs, metav1.CreateOptions{})
	j.must(err)
	j.ready()
	if j.registered(1) != string(ca) {
		t.Error("another bundle than the Secret's was published")
	}
	if !reflect.DeepEqual(j.secret().Data, theirs.Data) {
		t.Error("the externally managed Secret was changed")
	}
}
