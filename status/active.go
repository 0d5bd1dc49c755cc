package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/internal/revision"
)

// Configurations are those of a cluster.
type Configurations struct {
	// ConfigMaps are the texts of the two ConfigMaps, and None is set where there are none.
	ConfigMaps config.Texts
	None       bool
	// History are those that the webhook has stored, newest first.
	History config.History
	// Leases are those of the replicas; Unread is set where they may not be read.
	Leases []coordinationv1.Lease
	Unread bool
}

// Chosen is the active configuration.
type Chosen struct {
	Texts  config.Texts
	Active Active // without its hash, which follows from compiling the texts
	// Stored are the configurations from the active one on, newest first; none where it is
	// not stored.
	Stored   config.History
	Warnings []string

	reported []string // hashes of the webhook's replicas
}

// Choose finds the active configuration: that of the ConfigMaps, or the last good one where
// the webhook's replicas report that they do not apply these.
func (c Configurations) Choose(r revision.Revision, now time.Time) Chosen {
	out := Chosen{Texts: c.ConfigMaps, Active: Active{Source: "configmap"}}
	if c.None {
		out.Active.Source = "defaults"
	}
	all, _ := replicas(c.Leases, r, now)
	all = slices.DeleteFunc(all, func(o Replica) bool {
		return o.Silent || o.ConfigHash == "" || len(o.Components) > 0 && !slices.Contains(o.Components, "webhook")
	})
	for _, o := range all {
		if !slices.Contains(out.reported, o.ConfigHash) {
			out.reported = append(out.reported, o.ConfigHash)
		}
	}
	slices.Sort(out.reported)
	if len(all) == 0 && !c.Unread {
		out.Warnings = append(out.Warnings, "no replica of revision "+r.String()+" reports its configuration: pods are compared with the ConfigMaps")
	}
	if i := slices.IndexFunc(all, func(o Replica) bool { return o.NotApplied != "" }); i >= 0 {
		out.lastGood(c.History, all[i])
	}
	for i, record := range c.History {
		if record.Is(out.Texts) {
			out.Stored, out.Active.Since = c.History[i:], record.Time.UTC()
			break
		}
	}
	return out
}

// lastGood is what a replica reports that does not apply the ConfigMaps.
func (c *Chosen) lastGood(h config.History, o Replica) {
	c.Active.NotApplied = o.NotApplied
	for _, record := range h {
		if !record.Known(o.ConfigHash) {
			continue
		}
		texts, err := record.Read()
		if err != nil {
			c.Warnings = append(c.Warnings, err.Error())
			break
		}
		c.Texts, c.Active.Source = texts, "last-good"
		return
	}
	c.Warnings = append(c.Warnings, "the last good configuration "+o.ConfigHash+", which is active, could not be read: pods are compared with the ConfigMaps, which are not applied")
}

// Compiled sets the hash of the compiled texts. It reports where the replicas have another
// one: the comparison is then with settings that pods do not get.
func (c *Chosen) Compiled(hash, version string) {
	c.Active.Hash = hash
	if len(c.reported) == 0 || slices.Equal(c.reported, []string{hash}) {
		return
	}
	if slices.Contains(c.reported, hash) {
		c.Warnings = append(c.Warnings, fmt.Sprintf("the replicas of the webhook have different configurations: %s; pods are compared with %s", strings.Join(c.reported, ", "), hash))
		return
	}
	c.Warnings = append(c.Warnings, fmt.Sprintf("the webhook has configuration %s, and this program, version %s, has %s: either an edit is not applied yet, or the versions differ; use the version of the webhook",
		strings.Join(c.reported, ", "), version, hash))
}
