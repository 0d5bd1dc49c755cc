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

// reportFloods: pods of several namespaces send reports with their own tokens, as fast as
// they can: new names in the name of the neighbor, messages of megabytes, bytes that are
// no message, messages of nothing, and streams that are opened and closed. The
// neighbor's hosts and reports go on, and nothing of the others is among its reports.
func reportFloods(t *testing.T, b *battery) {
	var all []string
	for i := range 4 {
		all = append(all, fmt.Sprintf("reports-%d", i))
		b.namespace(t, all[i], false)
	}
	to := b.targets(t, 15012)
	a := b.attack(t, all, "reports names "+to, "reports huge "+to, "reports malformed "+to, "reports empty "+to, "reports churn "+to)
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
