package check

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/lifecycle"
	"github.com/outrider-mesh/outrider/redirect"
	"github.com/outrider-mesh/outrider/status"
)

func (s *Sidecar) name() string { return s.Pod.Namespace + "/" + s.Pod.Name }

func (s *Sidecar) logs(container string) string {
	return fmt.Sprintf("kubectl -n %s logs %s -c %s", s.Pod.Namespace, s.Pod.Name, container)
}

func (s *Sidecar) describe() string {
	return fmt.Sprintf("kubectl -n %s describe pod %s", s.Pod.Namespace, s.Pod.Name)
}

// injected reports a pod with a sidecar. Without one only proxy-injected has a result.
func (s *Sidecar) injected() bool {
	_, ok := inject.InjectedWith(s.Pod.Annotations)
	return ok && s.has(ProxyContainer) != nil
}

func proxyInjected(f *Facts, out *findings) {
	s := f.Sidecar
	with, ok := inject.InjectedWith(s.Pod.Annotations)
	explain := fmt.Sprintf("outrider explain -n %s %s", s.Pod.Namespace, s.Pod.Name)
	switch {
	case ok && s.has(ProxyContainer) != nil:
		out.pass(fmt.Sprintf("Pod %s was injected by revision %s, with configuration %s.", s.name(), with.Revision, with.ConfigHash))
		return
	case ok:
		out.fail(fmt.Sprintf("Pod %s has the annotation of an injection, and no container %s: its manifest was copied from an injected pod.", s.name(), ProxyContainer),
			"remove the annotation sidecar.istio.io/status from the manifest, and create the pod again", explain)
		return
	case s.has(ProxyContainer) != nil:
		out.fail(fmt.Sprintf("Container %s of pod %s was not injected by Outrider: it is that of another mesh, or of the pod itself.", ProxyContainer, s.name()), "see what injects it", explain)
		return
	}
	out.fail(fmt.Sprintf("Pod %s has no sidecar.", s.name()), "see the rule, and create the pod again", explain)
	if s.Compared == nil {
		return
	}
	for _, m := range s.Compared.Missing {
		r := &out.results[0]
		r.Details = append(append(r.Details, m.Cause.Text), m.Problems...)
		if m.Command != "" {
			r.Fix, r.Commands = "create the pod again", append(r.Commands, m.Command)
		}
	}
}

// stateText is why a container does not run; empty where it does.
func stateText(c *corev1.ContainerStatus) string {
	switch {
	case c == nil:
		return "it has not been created yet"
	case c.State.Waiting != nil:
		return strings.TrimSuffix(fmt.Sprintf("%s: %s", c.State.Waiting.Reason, c.State.Waiting.Message), ": ")
	case c.State.Terminated != nil:
		return strings.TrimSuffix(fmt.Sprintf("it has ended with exit code %d: %s", c.State.Terminated.ExitCode, c.State.Terminated.Reason), ": ")
	}
	return ""
}

func proxyRunning(f *Facts, out *findings) {
	s := f.Sidecar
	if !s.injected() {
		return
	}
	c := s.container(ProxyContainer)
	switch text := stateText(c); {
	case text != "":
		out.fail(fmt.Sprintf("Container %s of pod %s does not run: %s.", ProxyContainer, s.name(), text), "see the events of the pod, and the log of the container", s.describe(), s.logs(ProxyContainer))
	case c.RestartCount > 0 && c.LastTerminationState.Terminated != nil:
		last := c.LastTerminationState.Terminated
		fix := "see the log of the container that has ended"
		if last.Reason == "OOMKilled" {
			fix = "raise the memory limit: annotation sidecar.istio.io/proxyMemoryLimit, or global.proxy.resources; and see the log"
		}
		out.warn(fmt.Sprintf("Container %s of pod %s has restarted %d times, the last time after exit code %d (%s).", ProxyContainer, s.name(), c.RestartCount, last.ExitCode, last.Reason), fix, s.logs(ProxyContainer)+" --previous")
	default:
		text := "The sidecar runs"
		if a := s.Admin; a != nil && a.Version != "" {
			text += ", Envoy " + a.Version
		}
		out.pass(text + ".")
	}
}

func proxyReady(f *Facts, out *findings) {
	s := f.Sidecar
	if !s.injected() {
		return
	}
	c := s.container(ProxyContainer)
	state := ""
	if s.Admin != nil {
		state = s.Admin.State
	}
	switch {
	case c == nil || c.State.Running == nil:
		out.skip("The sidecar does not run: see proxy-running.")
	case s.Silent != "":
		out.fail("The sidecar is not ready: its administration interface does not respond. It listens when it has received its first configuration.", "see proxy-xds", s.logs(ProxyContainer))
		out.detail(s.Silent)
	case state == "DRAINING":
		out.warn("The sidecar drains its connections, because the pod is about to end.", "nothing, unless the pod stays")
	case state != "" && state != "LIVE":
		out.fail(fmt.Sprintf("The sidecar is not ready: its state is %s. It has not received its first configuration.", state), "see proxy-xds", s.logs(ProxyContainer))
	case !c.Ready:
		out.fail("The readiness probe of the sidecar fails, so that the pod gets no traffic of Services.", "see proxy-xds, and the events of the pod", s.describe())
	default:
		out.pass("The sidecar is ready.")
	}
}

// proxyRedirect checks what shows of the rules in the kernel: istio-init fails unless it has
// read them back and tried them, and logs what they capture.
func proxyRedirect(f *Facts, out *findings) {
	s := f.Sidecar
	if !s.injected() {
		return
	}
	init := s.has(InitContainer)
	if init == nil {
		out.warn("The pod has no "+InitContainer+": no connection is redirected to the sidecar, only those of applications that connect to its port.", "remove the annotation sidecar.istio.io/interceptionMode: NONE, or the value of that name")
		return
	}
	c, _, err := redirect.ParseArgs(init.Args, func(name string) string { return environment(init, name) })
	if err != nil {
		out.fail(fmt.Sprintf("The arguments of %s are invalid: %v", InitContainer, err), "correct the template", s.logs(InitContainer))
		return
	}
	of := s.container(InitContainer)
	switch {
	case of == nil || of.State.Waiting != nil:
		out.fail(fmt.Sprintf("Container %s does not run: %s.", InitContainer, stateText(of)), "see the events of the pod", s.describe())
	case of.State.Running != nil:
		out.warn(InitContainer+" waits for the sidecar; its rules are installed.", "see proxy-xds", s.logs(InitContainer))
	case of.State.Terminated.ExitCode != 0:
		out.fail(fmt.Sprintf("%s could not install its rules: exit code %d.", InitContainer, of.State.Terminated.ExitCode), "see its log", s.logs(InitContainer))
		out.detail(lastLine(s.InitLog))
	default:
		f.installed(c, out)
	}
}

// installed compares the log of istio-init with its arguments.
func (f *Facts) installed(c redirect.Config, out *findings) {
	s := f.Sidecar
	summary := redirect.Summary(c, redirect.Inet)
	if strings.HasPrefix(summary, "captures nothing") {
		out.warn("The redirect of the pod "+summary+".", "see where the settings come from", fmt.Sprintf("outrider explain -n %s %s", s.Pod.Namespace, s.Pod.Name))
		return
	}
	logged := ""
	for line := range strings.Lines(s.InitLog) {
		if text, ok := strings.CutPrefix(line, "outrider-init: captures "); ok {
			logged = "captures " + strings.TrimSpace(text)
		}
	}
	pass := InitContainer + " has installed its rules, read them back and tried them."
	switch {
	case logged == "": // the log is rotated, or may not be read
		out.pass(pass)
		out.detail(summary)
	case !strings.HasPrefix(logged, summary+"; ") && !strings.HasPrefix(logged, redirect.Summary(c, redirect.IPv4Only)+"; "):
		out.warn("The log of "+InitContainer+" has other rules than its arguments: the two programs have different versions, or the log is of another container.", "create the pod again", s.logs(InitContainer))
		out.detail("the log: "+logged, "the arguments: "+summary)
	default:
		out.pass(pass)
		out.detail(logged)
	}
}

func environment(c *corev1.Container, name string) string {
	for _, e := range c.Env {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

func proxySettings(f *Facts, out *findings) {
	s := f.Sidecar
	if !s.injected() || f.unread(out, Comparison) {
		return
	}
	if len(s.Compared.Workloads) == 0 {
		out.pass("The pod was injected under the active settings.")
		return
	}
	w := s.Compared.Workloads[0]
	fix, commands := "restart the workload", []string{w.Command}
	if w.Command == "" {
		fix, commands = w.Note, nil
	}
	out.warn("The pod was injected under other settings than the active ones.", fix, commands...)
	for _, d := range w.Differences {
		out.detail(fmt.Sprintf("%s: %s, now %s", d.Name, orNone(d.Was), orNone(d.Is)))
	}
	out.detail(w.Problems...)
}

func orNone(value string) string {
	if value == "" {
		return `""`
	}
	return value
}

// admin reports, as a skipped result, that the administration interface was not read.
func (f *Facts) admin(out *findings) *Admin {
	s := f.Sidecar
	switch _, unread := f.Unread[Administration]; {
	case !s.injected() || s.Admin != nil:
	case unread:
		out.skip("The administration interface of the sidecar could not be read: see rights.")
	case s.Silent != "":
		out.skip("The administration interface of the sidecar does not respond: see proxy-ready.")
	default:
		out.skip("The sidecar does not run: see proxy-running.")
	}
	return s.Admin
}

// xds is the name of a statistic of the sidecar's cluster for the control plane.
func xds(name string) string { return "cluster.xds-grpc." + name }

func proxyDNS(f *Facts, out *findings) {
	a := f.admin(out)
	switch {
	case a == nil:
	case a.Stats[xds("membership_total")] > 0:
		out.pass("The sidecar has resolved the name of the control plane.")
	default:
		out.fail(fmt.Sprintf("The sidecar does not resolve the name of the control plane: %d queries have failed.", a.Stats[xds("update_failure")]+a.Stats[xds("update_empty")]),
			"see the cluster's DNS, and allow port 53 in NetworkPolicies, for UDP and TCP",
			"kubectl -n kube-system get pods -l k8s-app=kube-dns", fmt.Sprintf("kubectl -n %s get networkpolicies", f.Sidecar.Pod.Namespace))
	}
}

// streams are the messages of Envoy about its stream that has ended, and what to do. The last
// one is for all others.
var streams = []struct {
	pattern      *regexp.Regexp
	because, fix string
}{
	{regexp.MustCompile(`CERTIFICATE_VERIFY_FAILED`), "it does not accept its certificate", "see proxy-certificate and proxy-clock"},
	{regexp.MustCompile(`closed since [0-9]+s ago: 16,|closed: 16,`), "the control plane does not accept its token", "see the message; the token is that of the pod's service account, with the audience outrider"},
	{regexp.MustCompile(`no healthy upstream`), "its name is not resolved", "see proxy-dns"},
	{regexp.MustCompile(`connection timeout|remote connection failure`), "connections to it fail", "see whether replicas are ready, and allow port 15012 of the control plane in NetworkPolicies"},
	{regexp.MustCompile(``), "its stream has ended", "see the message"},
}

// lastStream is Envoy's last message about a stream to the control plane that has ended.
func (s *Sidecar) lastStream() string {
	last := ""
	for line := range strings.Lines(s.ProxyLog) {
		if _, message, ok := strings.Cut(line, "gRPC config stream to xds-grpc "); ok {
			last = strings.TrimSpace(message)
		}
	}
	return last
}

func proxyXDS(f *Facts, out *findings) {
	s := f.Sidecar
	message := s.lastStream()
	if message == "" || s.Admin != nil {
		a := f.admin(out)
		if a == nil {
			return
		}
		if a.Stats["control_plane.connected_state"] > 0 {
			out.pass("The sidecar is connected to the control plane.")
			return
		}
	}
	see := fmt.Sprintf("kubectl -n %s get endpointslices -l kubernetes.io/service-name=%s", f.Namespace, f.Name(lifecycle.Deployment))
	for _, c := range streams {
		if c.pattern.MatchString(message) {
			out.fail(fmt.Sprintf("The sidecar is not connected to the control plane, and keeps the configuration that it has, if any: %s.", c.because), c.fix, see,
				fmt.Sprintf("kubectl -n %s get networkpolicies", s.Pod.Namespace), s.logs(ProxyContainer))
			break
		}
	}
	if message != "" {
		out.detail("the sidecar's log: " + message)
	}
}

// reported are what the control plane and events report of the sidecar.
func (s *Sidecar) reported(id string) (out []status.Sidecar) {
	for _, r := range s.Compared.Sidecars {
		if r.ID == id && r.Namespace == s.Pod.Namespace && r.Pod == s.Pod.Name {
			out = append(out, r)
		}
	}
	return out
}

func proxyConfiguration(f *Facts, out *findings) {
	s := f.Sidecar
	a := f.admin(out)
	if a == nil || f.unread(out, Comparison) {
		return
	}
	connected, listed, behind := 0, 0, 0
	for _, r := range s.Compared.Replicas {
		if r.Connected != nil {
			connected += *r.Connected
			behind += r.Behind
		}
	}
	for _, r := range s.Compared.Sidecars {
		if r.ID == status.Behind {
			listed++
		}
	}
	switch found := s.reported(status.Behind); {
	case len(found) > 0:
		out.fail("The sidecar does not have the newest configuration: "+found[0].Text, "see proxy-xds, and whether the sidecar has processor time: annotation sidecar.istio.io/proxyCPULimit", s.logs(ProxyContainer))
	case a.Stats["control_plane.connected_state"] == 0:
		out.warn("The sidecar is not connected, so that it does not get changes of its configuration.", "see proxy-xds")
	case connected == 0:
		out.skip("The control plane has not reported its sidecars yet, or its Leases may not be read.")
	case behind > listed:
		out.skip(fmt.Sprintf("%d sidecars are behind, and the control plane names %d of them.", behind, listed))
	default:
		out.pass("The sidecar has the newest configuration, as far as the control plane reports.")
	}
}

func proxyRejected(f *Facts, out *findings) {
	s := f.Sidecar
	a := f.admin(out)
	if a == nil {
		return
	}
	const fix = "correct or delete the object that it is of; outrider status shows all sidecars that reject something"
	for _, r := range a.Rejected[:min(len(a.Rejected), maxListed)] {
		out.fail(fmt.Sprintf("The sidecar rejects %q, and keeps the version that it has: %s", r.Name, r.Details), fix, "outrider status -n "+s.Pod.Namespace)
	}
	if len(out.results) == 0 && s.Compared != nil {
		for _, r := range s.reported(status.Rejecting) {
			out.warn("The sidecar has rejected a part of its configuration, and is configured without it: "+r.Text, fix, "outrider status -n "+s.Pod.Namespace)
			if !r.Time.IsZero() {
				out.detail("observed at " + r.Time.Format(time.RFC3339))
			}
		}
	}
	if len(out.results) == 0 {
		out.pass("The sidecar accepts its configuration.")
	}
}
