package check

import (
	"fmt"
	"slices"
)

// Wanted is what is to happen to a connection of a way, where the mode of
// outboundTrafficPolicy is known.
func Wanted(w Way, mode string) Outcome {
	switch {
	case w == Bypass:
		return Bypassed
	case w == Passthrough && mode == "REGISTRY_ONLY":
		return Blocked
	}
	return Forwarded
}

func trafficPods(f *Facts, out *findings) {
	t := f.Traffic
	if s := t.Stopped; s != nil {
		out.fail(s.What, s.Fix, s.Commands...)
		out.detail(s.Details...)
		return
	}
	out.pass(fmt.Sprintf("The pods ran in namespace %s, with image %s.", t.Namespace, t.Image))
	out.detail(t.Notes...)
}

// titles are what passes, by what was to happen.
var titles = map[Way]map[Outcome]string{
	Passthrough: {Forwarded: "An undeclared host is reached through the sidecar", Blocked: "An undeclared host is blocked by the sidecar, as REGISTRY_ONLY has it"},
	Controlled:  {Forwarded: "A declared host is reached through the sidecar"},
	Bypass:      {Bypassed: "An excluded address bypasses the sidecar"},
}

// trafficWay is the check of a way.
func trafficWay(w Way) func(*Facts, *findings) {
	return func(f *Facts, out *findings) {
		if f.Traffic.Stopped != nil {
			out.skip("The pods did not run: see traffic-pods.")
			return
		}
		total := 0
		var good []*Trial
		bad := map[string][]*Trial{}
		var order []string
		for i := range f.Traffic.Trials {
			t := &f.Traffic.Trials[i]
			if t.Way != w {
				continue
			}
			total++
			if t.Outcome == t.Want && !t.undeclared() {
				good = append(good, t)
				continue
			}
			text := t.wrong()
			if bad[text] == nil {
				order = append(order, text)
			}
			bad[text] = append(bad[text], t)
		}
		for _, text := range order {
			first := bad[text][0]
			fix, commands := first.remedy()
			out.fail(fmt.Sprintf("%s (%d of %d connections).", text, len(bad[text]), total), fix, commands...)
			for _, t := range bad[text] {
				out.detail(t.lines()...)
			}
		}
		switch {
		case len(good) > 0 && len(order) == 0:
			out.pass(fmt.Sprintf("%s (%d connections).", titles[w][good[0].Want], len(good)))
			for _, t := range good {
				out.detail(t.lines()...)
			}
		case len(order) == 0:
			out.skip("It was not tried: see traffic-pods.")
		}
	}
}

// undeclared reports a declared host that the sidecar forwards as an undeclared one.
func (t *Trial) undeclared() bool {
	return t.Way == Controlled && t.Outcome == Forwarded && t.cluster() == "PassthroughCluster"
}

// wrong is what is wrong with a connection.
func (t *Trial) wrong() string {
	what := map[Way]string{Passthrough: "to an undeclared host", Controlled: "to a declared host", Bypass: "to an excluded address"}[t.Way]
	switch {
	case t.Outcome == Untried:
		return "A connection " + what + " was not made"
	case t.undeclared():
		return "A connection " + what + " is forwarded as if the host were not declared"
	case t.Outcome == Bypassed:
		return "A bypass that should not be: a connection " + what + " does not go through the sidecar"
	case t.Outcome == Blocked:
		return "A block that should not be: the sidecar blocks a connection " + what
	case t.Outcome == Lost && t.captured():
		return "A connection " + what + " does not arrive: the sidecar cannot connect"
	case t.Outcome == Lost && t.Want != Bypassed:
		return "A bypass that should not be: a connection " + what + " does not go through the sidecar, and does not arrive"
	case t.Outcome == Lost:
		return "A connection " + what + " does not arrive, and does not go through the sidecar"
	case t.Want == Blocked:
		return "A connection " + what + " is forwarded, and should be blocked"
	}
	return "A connection " + what + " goes through the sidecar, and should not"
}

// configured are the outcomes as the configuration is explained.
var configured = map[Outcome][]string{
	Forwarded: {"forwarded"}, Blocked: {"blocked", "answered"}, Bypassed: {"bypassed", "notCaptured"},
}

// remedy is what to do about a connection: what the configuration has, or what to look at
// where the configuration is not the cause.
func (t *Trial) remedy() (fix string, commands []string) {
	switch {
	case t.Outcome == Lost:
		return "allow the connection: in NetworkPolicies, and in firewalls between the nodes",
			[]string{"kubectl get networkpolicies -A"}
	case t.Configured != "" && slices.Contains(configured[t.Outcome], t.Configured):
		fix = "the configuration has it: " + t.By
		if t.Fix != "" {
			fix += "; to change it: " + t.Fix
		}
		return fix, nil
	case t.Outcome == Bypassed && t.Seen.KernelError == "" && len(t.Seen.Kernel) == 0:
		return "the kernel of the pod has none of the rules: another program removes them, or the pod has another init container", []string{"kubectl get mutatingwebhookconfigurations"}
	case t.Outcome == Bypassed:
		return "the configuration redirects it, and the rules in the kernel do not: another webhook changes the pod, or another program its rules; see the rules that have counted the connection", []string{"kubectl get mutatingwebhookconfigurations"}
	case t.Configured == "":
		return "see which objects apply: outrider explain requires the permission to list them", nil
	}
	return fmt.Sprintf("by the configuration the connection is %s (%s): see whether the sidecars have the newest configuration", t.Configured, t.By), []string{"outrider status -A"}
}

func trafficLeftovers(f *Facts, out *findings) {
	var removed []string
	for _, l := range f.Traffic.Leftovers {
		if l.Removed {
			removed = append(removed, l.Name)
			continue
		}
		out.warn(fmt.Sprintf("%s of another run is still there: %s", l.Name, l.Note), "wait until the other run has ended, or delete it", l.Command)
	}
	switch {
	case len(out.results) > 0:
	case len(removed) > 0:
		out.pass("What earlier runs have left was removed.")
		out.detail(removed...)
	default:
		out.pass("Nothing is left of earlier runs.")
	}
}
