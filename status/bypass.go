package status

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/outrider-mesh/outrider/redirect"
)

// Service is a Service with the addresses and ports that its clients connect to.
type Service struct {
	Name         string // NAMESPACE/NAME
	Destinations []netip.AddrPort
}

// redirection is the redirect of a pod. The zero value is that of a pod without one.
type redirection struct{ plan *redirect.Plan }

func redirectionOf(p *corev1.Pod) redirection {
	if p == nil {
		return redirection{}
	}
	for _, c := range containers(p) {
		if c.Name != "istio-init" {
			continue
		}
		config, _, err := redirect.ParseArgs(c.Args, func(name string) string {
			i := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == name })
			if i < 0 {
				return ""
			}
			return c.Env[i].Value
		})
		if err != nil {
			break // not the built-in template's
		}
		plan := redirect.NewPlan(config, redirect.Inet)
		return redirection{&plan}
	}
	return redirection{}
}

// captures reports whether an application's connections to a destination are redirected.
func (r redirection) captures(to netip.AddrPort) bool {
	return r.plan != nil && r.plan.Decide(redirect.Connection{Destination: to}).Captured
}

// changes are the Services whose connections an edit changes.
type changes struct {
	differences      []Difference
	bypass, captured []string
}

// changed compares what two settings make of a pod.
func (c *Collector) changed(was, is outcome, at places) changes {
	out := changes{differences: c.differences(was, is, at)}
	id := was.record + "\n" + is.record
	if found := c.bypassed[id]; found != nil && !is.readsPod {
		out.bypass, out.captured = found.bypass, found.captured
		return out
	}
	found := c.compareServices(redirectionOf(was.pod()), redirectionOf(is.pod()))
	c.bypassed[id] = found
	out.bypass, out.captured = found.bypass, found.captured
	return out
}

// compareServices finds the Services whose connections one redirect captures and the other
// does not.
func (c *Collector) compareServices(before, after redirection) *changes {
	out := &changes{}
	for _, s := range c.in.Services {
		var bypass, captured bool
		for _, to := range s.Destinations {
			had, has := before.captures(to), after.captures(to)
			bypass, captured = bypass || had && !has, captured || !had && has
		}
		if bypass {
			out.bypass = append(out.bypass, s.Name)
		}
		if captured {
			out.captured = append(out.captured, s.Name)
		}
	}
	out.bypass, out.captured = slices.Compact(slices.Sorted(slices.Values(out.bypass))), slices.Compact(slices.Sorted(slices.Values(out.captured)))
	return out
}
