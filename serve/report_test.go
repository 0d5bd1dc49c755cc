package serve

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/config/active"
	"github.com/outrider-mesh/outrider/egress/xds"
	"github.com/outrider-mesh/outrider/status"
)

// TestReport: a replica reports its version and its components, and of its sidecars so many
// that a Lease stays small, whatever their messages are.
func TestReport(t *testing.T) {
	o := Options{Version: "v1.2.3", Components: []Component{Webhook}}
	got := o.reportOf(active.Status{Hash: "abc", Source: active.FromConfigMaps}, nil, time.Now())
	if got[annotation.ReplicaVersion] != "v1.2.3" || got[annotation.ReplicaComponents] != "webhook" || got[annotation.ConfigHash] != "abc" || got[annotation.ReplicaSidecars] != "" {
		t.Errorf("%v", got)
	}
	if got = (&Options{}).reportOf(active.Status{}, nil, time.Now()); got[annotation.ReplicaComponents] != "webhook,xds" {
		t.Errorf("%v", got)
	}
	c := xds.Conditions{Connected: 3000, Behind: 1000, Rejecting: 2000}
	for i := range 3000 {
		p := xds.Condition{Identity: xds.Identity{Namespace: strings.Repeat("n", 63), Pod: fmt.Sprintf("%0253d", i)}, Since: time.Now()}
		p.Rejected = &xds.Rejection{TypeURL: "type.googleapis.com/a.b.Listener", Resources: []string{"80"}, Reason: strings.Repeat("\x1b<", 100_000)}
		c.Problems = append(c.Problems, p)
	}
	text := connectedOf(c)
	var read status.Connected
	if err := json.Unmarshal([]byte(text), &read); err != nil || read.Connected != 3000 || len(read.Problems) != status.MaxReported || len(text) > 32<<10 {
		t.Errorf("%v: %d bytes, %d problems", err, len(text), len(read.Problems))
	}
	t.Logf("%d bytes", len(text))
}
