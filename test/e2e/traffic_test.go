package e2e

import (
	"fmt"
	"net"
	"strings"

	"github.com/outrider-mesh/outrider/test/mesh"
)

// curl sends a request from the pod's first container and returns what curl
// printed on both streams.
func (p *Pod) curl(args string) (string, error) {
	line := fmt.Sprintf("kubectl exec %s -c %s -- curl -sS --max-time 15 %s", p.name, p.Spec.Containers[0].Name, args)
	out, err := p.n.Bash(ended, line).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("$ %s\n%s%w", line, out, err)
	}
	return string(out), err
}

// log is what the sidecar has logged.
func (p *Pod) log() string {
	p.n.t.Helper()
	return p.n.run("kubectl logs " + p.name + " -c istio-proxy")
}

// request is one of a pod's, and the way it is to take.
type request struct {
	url  string // gives back what it got, as httpbin's /anything does
	args string // more of curl's, such as "-6"
	// through is what the sidecar's log calls the cluster that it sent the
	// request to; "" for a request that bypasses the sidecar.
	through string
	rule    string // the comment of the redirect rule that decides; "" for none
	// world is set where the other end is outside the cluster, where the request's
	// source is seen, and so, by plain HTTP, are the headers that a sidecar adds.
	world bool
}

// goes sends requests and checks their ways in three places, besides that they
// are answered: the sidecar's log, the kernel's counters, and the other end.
func (p *Pod) goes(requests ...request) {
	p.n.t.Helper()
	var bypassed []string
	for _, r := range requests {
		before := p.rules()
		out, err := p.curl(`-w '\n%{local_ip} %{local_port}' ` + r.args + " " + r.url)
		if err != nil {
			p.n.t.Errorf("%v", err)
			continue
		}
		body, last := cutLast(out, "\n")
		ip, port, _ := strings.Cut(last, " ")
		source := net.JoinHostPort(ip, port)
		if !strings.Contains(body, `"method": "GET"`) {
			p.n.t.Errorf("%s from %s: %s", r.url, p.name, out)
		}
		p.checkRules(r, before)
		p.checkOtherEnd(r, body, source)
		if r.through == "" {
			bypassed = append(bypassed, source)
			continue
		}
		p.logged(r.url, source, r.through)
	}
	p.notLogged(bypassed)
}

// captured sends a request that the sidecar takes, and waits for it in the log.
func (p *Pod) captured(url string) {
	p.n.t.Helper()
	source, err := p.curl(`-o /dev/null -w '%{local_ip}:%{local_port}' -4 ` + url)
	if err != nil {
		p.n.t.Fatal(err)
	}
	p.logged(url, source, "PassthroughCluster")
}

func cutLast(s, sep string) (before, after string) {
	i := strings.LastIndex(s, sep)
	return s[:max(i, 0)], s[i+len(sep):]
}

// logged waits until the sidecar has logged the connection from a source.
func (p *Pod) logged(url, source, through string) {
	p.n.t.Helper()
	eventually(p.n.t, fmt.Sprintf("%s from %s is in the sidecar's log", url, p.name), func() error {
		log := p.log()
		for line := range strings.Lines(log) {
			if strings.Contains(line, " "+source+" ") && strings.Contains(line, through) {
				return nil
			}
		}
		return fmt.Errorf("no line with %q and %q in\n%s", source, through, log)
	})
}

// notLogged checks that the sidecar has not seen connections, once it has
// logged one that was made after them.
func (p *Pod) notLogged(sources []string) {
	t := p.n.t
	t.Helper()
	if len(sources) == 0 {
		return
	}
	p.captured(p.always)
	log := p.log()
	for _, source := range sources {
		if strings.Contains(log, " "+source+" ") {
			t.Errorf("pod %s: %s bypasses the sidecar, and is in its log:\n%s", p.name, source, log)
		}
	}
}

// rules are the counters of the pod's redirect; nil where they are out of reach.
func (p *Pod) rules() map[string]int {
	p.n.t.Helper()
	if !p.n.Own() {
		return nil
	}
	if !p.watched {
		if err := p.n.Watch(string(p.UID)); err != nil {
			p.n.t.Fatalf("pod %s: %v", p.name, err)
		}
		p.watched = true
	}
	counts, err := p.n.Rules(string(p.UID))
	if err != nil {
		p.n.t.Fatalf("pod %s: %v", p.name, err)
	}
	return counts
}

// checkRules checks in the kernel which rule has decided the connection, whether
// it was sent to the proxy, and whether it left the pod as it was.
func (p *Pod) checkRules(r request, before map[string]int) {
	t := p.n.t
	t.Helper()
	if before == nil {
		t.Logf("%s: the kernel's counters are not read: %s", r.url, mesh.NoNode)
		return
	}
	want := map[string]int{"proxy": 0, "opened-by-application": 1}
	if r.through != "" {
		want = map[string]int{"proxy": 1, "opened-by-application": 0}
	}
	for _, rule := range []string{"everything", "included-range", "excluded-range"} {
		want[rule] = 0
	}
	if r.rule != "" {
		want[r.rule] = 1
	}
	after := p.rules()
	for name, n := range want {
		if got := after[name] - before[name]; got != n {
			t.Errorf("%s from %s: the kernel counts %d connections as %q, want %d; before and after:\n%v\n%v",
				r.url, p.name, got, name, n, before, after)
		}
	}
}

// checkOtherEnd checks what a server of the internet saw: the application's own
// connection or the sidecar's, without or with the sidecar's headers.
func (p *Pod) checkOtherEnd(r request, body, source string) {
	t := p.n.t
	t.Helper()
	if !r.world {
		return
	}
	log, err := p.n.WorldLog(ended)
	if err != nil {
		t.Fatal(err)
	}
	if direct := strings.Contains(log, "from="+source+" "); direct != (r.through == "") {
		t.Errorf("%s from %s: the internet saw %s, the application's own connection: %v", r.url, p.name, source, direct)
	}
	plain := strings.HasPrefix(r.url, "http://")
	if has := strings.Contains(body, `"X-Request-Id"`) || strings.Contains(body, `"X-Envoy`); has != (r.through != "" && plain) {
		t.Errorf("%s from %s: a sidecar's headers arrived: %v:\n%s", r.url, p.name, has, body)
	}
}
