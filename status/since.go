package status

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/outrider-mesh/outrider/explain"
	"github.com/outrider-mesh/outrider/inject"
)

// compiled is an earlier configuration, compiled once.
func (c *Collector) compiled(n int) *inject.Injector {
	if i, ok := c.earlier[n]; ok {
		return i
	}
	i := c.in.Earlier[n].Compile()
	c.earlier[n] = i
	return i
}

// sinceWhen is when the settings became active that differ from those of a pod: the first
// ones after its own, of those that are stored. Pods with one record and one outcome have
// one answer.
func (c *Collector) sinceWhen(p *corev1.Pod, subject explain.Subject, n explain.Namespace, was, now outcome) time.Time {
	if len(c.in.Earlier) == 0 {
		return time.Time{}
	}
	id := fmt.Sprintf("%s %s %s", was.with.OverlayHash, now.with.OverlayHash, now.decision.Rule.ID)
	if at, ok := c.since[id]; ok {
		return at
	}
	at := c.in.Earlier[0].Time
	for i := 1; i < len(c.in.Earlier); i++ {
		e := c.in.Earlier[i]
		if e.Known(was.with.ConfigHash) {
			break
		}
		injector := c.compiled(i)
		if injector == nil || len(differences(was, c.under(Settings{Injector: injector}, subject, n, p), nil)) == 0 {
			break
		}
		at = e.Time
	}
	c.since[id] = at
	return at
}

// then is what the configuration that was active when a pod was created makes of the pods of
// its group; nil where that is the active one, or is not stored.
func (c *Collector) then(g *group, p *corev1.Pod) *settled {
	at := slices.IndexFunc(c.in.Earlier, func(e Earlier) bool { return !e.Time.After(p.CreationTimestamp.Time) })
	if at <= 0 {
		return nil
	}
	if found, ok := g.then[at]; ok {
		return found
	}
	var out *settled
	injector := c.compiled(at)
	if subject, err := explain.SubjectOf(p); err == nil && injector != nil {
		o := c.under(Settings{Injector: injector}, subject, c.namespace(p.Namespace).Namespace, p)
		out = &settled{c.in.Earlier[at].Hash, o.decision}
	}
	g.then[at] = out
	return out
}
