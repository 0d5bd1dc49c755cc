package attack

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var egressReports = schema.GroupVersionResource{Group: "outrider.dev", Version: "v1alpha1", Resource: "egressreports"}

// reportFloods: pods of several namespaces send entries with their own tokens, as fast as
// they can: new names in the name of the neighbor, messages of megabytes, bytes that are
// no message, messages of nothing, and streams that are opened and closed.
func reportFloods(t *testing.T, b *battery) {
	b.reports(t, "reports", "names", "huge", "malformed", "empty", "churn")
}

// countFloods: the same with counts.
func countFloods(t *testing.T, b *battery) {
	b.reports(t, "counts", "counters", "counters-huge", "counters-malformed", "counters-empty", "counters-churn")
}

// reports has reports of each kind from pods of several namespaces. The neighbor's hosts and
// reports go on, and nothing of the others is among its reports.
func (b *battery) reports(t *testing.T, name string, kinds ...string) {
	t.Helper()
	var all, commands []string
	for i := range 4 {
		all = append(all, fmt.Sprintf("%s-%d", name, i))
		b.namespace(t, all[i], false)
	}
	to := b.targets(t, 15012)
	for _, kind := range kinds {
		commands = append(commands, "reports "+kind+" "+to)
	}
	a := b.attack(t, all, commands...)
	b.neighbor.goesOn(t, 8)
	host := fmt.Sprintf("seen-%d.example.com", time.Now().Unix())
	took := eventually(t, "the neighbor's report has what its pod has just tried", func() error {
		b.neighbor.get(t, "http://"+host+"/")
		list, err := b.objects.Resource(egressReports).Namespace(bank).List(ended, metav1.ListOptions{})
		if err != nil {
			return err
		}
		text := fmt.Sprint(list.Items)
		if strings.Contains(text, "stolen-") || strings.Contains(text, "churn.bank") {
			t.Fatalf("names of the attackers are in the neighbor's report: %.2000s", text)
		}
		if !strings.Contains(text, host) {
			time.Sleep(3 * time.Second)
			return fmt.Errorf("%s is not in %d reports", host, len(list.Items))
		}
		return nil
	})
	a.stop(t)
	t.Logf("the neighbor's report has a new host after %s; %v streams over a limit", took.Round(time.Second), b.metric(t, "outrider_xds_limit_exceeded_total"))
}
