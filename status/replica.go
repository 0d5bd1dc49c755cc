package status

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/revision"
)

// ReplicaLabels select the Leases of replicas.
func ReplicaLabels() map[string]string {
	return map[string]string{annotation.ManagedBy: "outrider", annotation.AppComponent: "replica"}
}

// Connected is what a replica of the control plane reports of its sidecars, in the
// annotation annotation.ReplicaSidecars of its Lease.
type Connected struct {
	Connected int `json:"connected"`
	Behind    int `json:"behind,omitempty"`
	Rejecting int `json:"rejecting,omitempty"`
	// Problems are of some of them: MaxReported, with messages of MaxReason bytes.
	Problems []Sidecar `json:"problems,omitempty"`
}

// MaxReported and MaxReason bound the annotation to 32 KiB: 20 times two names of at most 63
// and 253 bytes, and a message of which JSON may escape each byte as six.
const (
	MaxReported = 20
	MaxReason   = 200
)

// replicas are the replicas of a revision, and the sidecars that they report.
func replicas(leases []coordinationv1.Lease, r revision.Revision, now time.Time) (out []Replica, sidecars []Sidecar) {
	out = []Replica{}
	for i := range leases {
		l := &leases[i]
		if !r.Matches(l.Labels[annotation.Rev]) {
			continue
		}
		a := l.Annotations
		of := Replica{
			Name: strings.TrimPrefix(l.Name, "outrider-replica-"), Version: a[annotation.ReplicaVersion],
			ConfigHash: known(a[annotation.ConfigHash]), Source: known(a[annotation.ConfigSource]), NotApplied: known(a[annotation.ConfigReason]),
		}
		if names := a[annotation.ReplicaComponents]; names != "" {
			of.Components = strings.Split(names, ",")
		}
		if t := l.Spec.RenewTime; t != nil {
			of.Reported = t.Time.UTC().Truncate(time.Second)
			of.Silent = l.Spec.LeaseDurationSeconds != nil && now.Sub(t.Time) > time.Duration(*l.Spec.LeaseDurationSeconds)*time.Second
		}
		var c Connected
		if text := a[annotation.ReplicaSidecars]; text != "" && json.Unmarshal([]byte(text), &c) == nil {
			of.Connected, of.Behind, of.Rejecting = &c.Connected, c.Behind, c.Rejecting
			sidecars = append(sidecars, c.Problems...)
		}
		out = append(out, of)
	}
	slices.SortFunc(out, func(a, b Replica) int {
		return cmp.Or(strings.Compare(strings.Join(a.Components, ","), strings.Join(b.Components, ",")), strings.Compare(a.Name, b.Name))
	})
	return out, sidecars
}

// known is a value of an annotation that has "none" where there is none.
func known(value string) string {
	if value == "none" {
		return ""
	}
	return value
}
