package certs

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A replica that follows waits for the leader's certificate, reports what it serves,
// keeps it when the leader is gone, and writes nothing else.
func TestManager_Follow(t *testing.T) {
	t.Parallel()
	i := install(t)
	shop := i.Namespace(t, map[string]string{"istio.io/rev": i.revision})
	follow := func(o *Options) { o.Follow, o.Registration, o.Hosts = true, "", nil }
	follower := i.start(follow)
	i.eventually("it reports that it has no certificate", func() error {
		lease, err := i.Client.CoordinationV1().Leases(i.namespace).Get(t.Context(), replicaLease+"-"+follower.options.Identity, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if *lease.Spec.HolderIdentity != follower.options.Identity {
			return fmt.Errorf("holder %s", *lease.Spec.HolderIdentity)
		}
		return nil
	})
	if got := fmt.Sprint(follower.Ready(nil)); !strings.Contains(got, "waiting for the leader to create Secret "+i.namespace+"/outrider-certs-"+i.revision) {
		t.Errorf("without a leader: %s", got)
	}
	if secrets, err := i.Client.CoreV1().Secrets(i.namespace).List(t.Context(), metav1.ListOptions{}); err != nil || len(secrets.Items) > 0 {
		t.Errorf("it has created a Secret: %v, %v", secrets.Items, err)
	}

	leader := i.ready()
	i.holding(shop, i.registered(1))
	i.eventually("the follower is ready", func() error { return follower.Ready(nil) })
	same := func() error {
		a, err1 := leader.GetCertificate(nil)
		b, err2 := follower.GetCertificate(nil)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		if !a.Leaf.Equal(b.Leaf) {
			return errors.New("they serve different certificates")
		}
		return nil
	}
	i.must(same())

	// The leader goes, and the Secret with it.
	leader.stop()
	i.must(i.Client.CoreV1().Secrets(i.namespace).Delete(t.Context(), SecretName+"-"+i.revision, metav1.DeleteOptions{}))
	if err := follower.Ready(nil); err != nil {
		t.Errorf("without a leader it is not ready: %v", err)
	}
	if n := follower.value(t, "outrider_leader"); n != 0 {
		t.Error("it leads")
	}
	// Another leader issues another certificate.
	leader = i.ready()
	i.eventually("the follower serves it", same)
	i.eventually("the follower is ready", func() error { return follower.Ready(nil) })
}
