package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// egressPage is followed by the scenario egress.
const egressPage = "docs/egress-reports.md"

// tries are the functions of the clients' scripts: each prints a line for what it has
// tried. Telnet of curl ends when there is nothing more to send.
const tries = `web() { out=$(curl -sS -m 10 --fail -o /dev/null "$@" 2>&1) && echo "ok $*" || echo "failed $*: $out"; }
tcp() { out=$( (echo hi; sleep 1) | curl -s -m 5 "telnet://$1" ) ; case "$out" in *"$2"*) echo "ok $1" ;; *) echo "failed $1: $out" ;; esac; }
`

// What the three workloads reach. Of these, the Service of the cluster needs no declaration.
const (
	checkoutTraffic = tries + `
web http://httpbin.org/get &
web http://pay.example.com/ &
web http://mirror.example.com:8080/ &
web https://www.google.com/ &
web https://edition.cnn.com/ &
web https://api.example.com:8443/ &
web https://a.cdn.example/ &
web https://b.cdn.example/ &
web https://c.cdn.example/ &
web http://img.cdn.example/ &
web -6 https://de.wikipedia.org/ &
web -6 http://en.wikipedia.org/ &
web http://203.0.113.10/.well-known/world-ca.pem &
tcp 203.0.113.60:9000 "hello hi" &
tcp 203.0.113.70:9001 "220 tcp-banner" &
tcp "[2001:db8:113::46]:9001" "220 tcp-banner" &
web http://httpbin.e2e-servers:8000/get &
wait
`
	nightlyTraffic = tries + `
web https://backup.example.com/ &
web https://www.google.com/ &
wait
`
	ledgerTraffic = tries + `
web https://bank.example.com/ &
web http://rates.example.com/ &
web https://www.google.com/ &
wait
`
)

// requested is how many lines a script prints.
func requested(script string) int { return strings.Count(script, " &\n") }

// shopHosts is what is listed of namespace shop, with the workloads; bankHosts of bank.
var (
	shopHosts = []string{
		"CronJob/nightly TLS backup.example.com:443", "CronJob/nightly TLS www.google.com:443",
		"Deployment/checkout HTTP 203.0.113.10:80", "Deployment/checkout HTTP en.wikipedia.org:80", "Deployment/checkout HTTP httpbin.org:80",
		"Deployment/checkout HTTP img.cdn.example:80", "Deployment/checkout HTTP mirror.example.com:8080", "Deployment/checkout HTTP pay.example.com:80",
		"Deployment/checkout TCP 2001:db8:113::46:9001", "Deployment/checkout TCP 203.0.113.60:9000", "Deployment/checkout TCP 203.0.113.70:9001",
		"Deployment/checkout TLS a.cdn.example:443", "Deployment/checkout TLS api.example.com:8443", "Deployment/checkout TLS b.cdn.example:443",
		"Deployment/checkout TLS c.cdn.example:443", "Deployment/checkout TLS de.wikipedia.org:443", "Deployment/checkout TLS edition.cnn.com:443",
		"Deployment/checkout TLS www.google.com:443",
	}
	bankHosts = []string{"Deployment/ledger HTTP rates.example.com:80", "Deployment/ledger TLS bank.example.com:443", "Deployment/ledger TLS www.google.com:443"}
)

// egressReports: as docs/egress-reports.md has it, hosts are seen, proposed and enforced for
// one namespace; then the same traffic is not blocked, another host is, the other namespace
// is not affected, and without the objects all is as before.
func egressReports(t *testing.T, s *Suite) {
	if !s.Own() {
		t.Skip("it connects to addresses of the internet of a cluster of its own")
	}
	n, bank := s.Namespace(t, "shop", injected), s.Namespace(t, "bank", injected)
	n.inDirectory(t.TempDir())
	n.client("checkout")
	bank.client("ledger")
	n.cronJob("nightly", nightlyTraffic)
	n.rolledOut("deployment/checkout")
	bank.rolledOut("deployment/ledger")

	night := n.night("1900000001")
	n.sends("checkout", checkoutTraffic)
	night()
	bank.sends("ledger", ledgerTraffic)
	n.lists(shopHosts)
	bank.lists(bankHosts)
	goesOn := n.requests("checkout", "http://pay.example.com/", "https://www.google.com/")
	ran := n.follow(egressPage, nil, "See")
	ran += n.follow(egressPage, nil, "Propose")
	ran += n.follow(egressPage, nil, "Verify")
	n.allowed()
	ran += n.follow(egressPage, nil, "Enforce")
	night = n.night("1900000002")
	n.sends("checkout", checkoutTraffic)
	night()
	goesOn()
	n.onlyNewIsBlocked()
	bank.sends("ledger", ledgerTraffic+"web http://new.example.com/ &\nweb https://new.example.com/ &\nwait\n")
	if ran += n.follow(egressPage, nil, "Undo"); ran < 10 {
		t.Errorf("%d commands were run; the page has lost its blocks", ran)
	}
	n.open("new.example.com")

	// In one step, with a wildcard, and without a report in between.
	n.run("outrider egress propose -n shop --enforce --wildcard '*.cdn.example' | tee all.yaml | kubectl apply -f -")
	n.closed("other.example.com")
	n.run("kubectl delete egressreport egress")
	n.sends("checkout", checkoutTraffic+"web https://d.cdn.example/ &\nwait\n")
	n.run("kubectl delete -f all.yaml")
	n.open("other.example.com")
}

// inDirectory makes commands run in a directory that has what they read of the checkout.
func (n *Namespace) inDirectory(dir string) {
	n.t.Helper()
	for _, name := range []string{"deploy", "docs", "samples", "test"} {
		if err := os.Symlink(filepath.Join(n.Dir, name), filepath.Join(dir, name)); err != nil {
			n.t.Fatal(err)
		}
	}
	n.Dir = dir
}

// client is a Deployment of a pod with curl.
func (n *Namespace) client(name string) {
	n.apply(fmt.Sprintf(`apiVersion: apps/v1
kind: Deployment
metadata: {name: %[1]s}
spec:
  selector: {matchLabels: {app: %[1]s}}
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - {name: app, image: curlimages/curl, imagePullPolicy: IfNotPresent, command: [/bin/sleep, infinity]}
`, name))
}

// cronJob is one that runs a script, in years.
func (n *Namespace) cronJob(name, script string) {
	n.apply(fmt.Sprintf(`apiVersion: batch/v1
kind: CronJob
metadata: {name: %s}
spec:
  schedule: "0 3 29 2 *"
  jobTemplate:
    spec:
      backoffLimit: 0
      template:
        spec:
          restartPolicy: Never
          containers:
          - name: job
            image: curlimages/curl
            imagePullPolicy: IfNotPresent
            command: [/bin/sh, -c, %s]
`, name, jsonText(script)))
}

func jsonText(text string) string {
	out, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(out)
}

// night starts the Job of the CronJob. The result waits until it has completed, and its
// requests have succeeded.
func (n *Namespace) night(at string) (ended func()) {
	n.t.Helper()
	n.run(fmt.Sprintf("kubectl create job --from=cronjob/nightly nightly-%s", at))
	return func() {
		n.t.Helper()
		n.run(fmt.Sprintf("kubectl wait job/nightly-%s --for=condition=Complete --timeout=%s", at, patience))
		n.succeeded(nightlyTraffic, n.run("kubectl logs job/nightly-"+at+" -c job"))
	}
}

// sends runs a script in a Deployment's pod: all that it tries succeeds.
func (n *Namespace) sends(deployment, script string) {
	n.t.Helper()
	file := filepath.Join(n.Work, n.name+".sh")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		n.t.Fatal(err)
	}
	n.succeeded(script, n.run(fmt.Sprintf("kubectl exec -i deploy/%s -c app -- sh -s < %s", deployment, file)))
}

// requests sends requests for URLs from a Deployment's pod, one after the other, until the
// result is called: none of the requests fails.
func (n *Namespace) requests(deployment string, urls ...string) (end func()) {
	n.t.Helper()
	script := fmt.Sprintf("while :; do for url in %s; do out=$(curl -sS --fail -m 10 -o /dev/null $url 2>&1) && echo ok || echo failed $url: $out; done; sleep 0.1; done", strings.Join(urls, " "))
	ctx, cancel := context.WithCancel(ended)
	loop := n.Bash(ctx, fmt.Sprintf("exec kubectl exec deploy/%s -c app -- sh -c '%s'", deployment, script))
	done := make(chan string, 1)
	go func() {
		out, _ := loop.CombinedOutput()
		done <- string(out)
	}()
	return func() {
		n.t.Helper()
		cancel()
		out := <-done
		n.t.Logf("%d requests meanwhile", strings.Count(out, "ok\n"))
		if strings.Contains(out, "failed") || strings.Count(out, "ok\n") < 10*len(urls) {
			n.t.Errorf("requests meanwhile:\n%s", out)
		}
	}
}

func (n *Namespace) succeeded(script, out string) {
	n.t.Helper()
	if strings.Count(out, "ok ") != requested(script) || strings.Contains(out, "failed ") {
		n.t.Errorf("namespace %s: want %d lines with ok:\n%s", n.name, requested(script), out)
	}
}

// listed are the hosts of the namespace's report, each as WORKLOAD PROTOCOL HOST:PORT.
func (n *Namespace) listed(flags string) (out []string, text string) {
	n.t.Helper()
	var r struct {
		Hosts []struct {
			Workload, Host, Protocol, Verdict string
			Port                              int
		}
	}
	text = n.run("outrider egress hosts -o json " + flags)
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		n.t.Fatalf("%v: %s", err, text)
	}
	for _, h := range r.Hosts {
		out = append(out, fmt.Sprintf("%s %s %s:%d", h.Workload, h.Protocol, h.Host, h.Port))
	}
	slices.Sort(out)
	return out, text
}

func (n *Namespace) lists(want []string) {
	n.t.Helper()
	eventually(n.t, "the hosts of namespace "+n.name+" are listed", func() error {
		if got, text := n.listed("--verdict passthrough"); !slices.Equal(got, want) {
			return fmt.Errorf("listed:\n%s\nwant:\n%s\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"), text)
		}
		return nil
	})
}

// allowed: with the proposal nothing would be blocked, and the comments name the owners.
func (n *Namespace) allowed() {
	n.t.Helper()
	out := n.run("cat shop.yaml")
	for _, text := range []string{`- "www.google.com" # CronJob/nightly, Deployment/checkout; last seen`, `- "backup.example.com" # CronJob/nightly; `, `- "203.0.113.70" # Deployment/checkout; `} {
		if !strings.Contains(out, text) {
			n.t.Errorf("%q is not in the proposal:\n%s", text, out)
		}
	}
	if strings.Contains(out, "e2e-servers") || strings.Contains(out, "bank") {
		n.t.Errorf("the proposal:\n%s", out)
	}
}

// denied are lines of a sidecar's log about what was blocked.
var denied = regexp.MustCompile(`BlackHoleCluster|block_all|block_port`)

// onlyNewIsBlocked: of all requests since REGISTRY_ONLY holds, only those to the new host
// are blocked, by the report and by the sidecar's log.
func (n *Namespace) onlyNewIsBlocked() {
	n.t.Helper()
	want := []string{"Deployment/checkout HTTP new.example.com:80", "Deployment/checkout TLS new.example.com:443"}
	eventually(n.t, "the blocked hosts are listed", func() error {
		if got, text := n.listed("--verdict blocked"); !slices.Equal(got, want) {
			return fmt.Errorf("%v, want %v: %s", got, want, text)
		}
		return nil
	})
	blocked := 0
	for line := range strings.Lines(n.pod("-l app=checkout").log()) {
		if !denied.MatchString(line) {
			continue
		}
		if blocked++; !strings.Contains(line, "new.example.com") {
			n.t.Errorf("blocked: %s", line)
		}
	}
	if blocked < 2 {
		n.t.Errorf("the log has %d blocked requests", blocked)
	}
	eventually(n.t, "an Event names the blocked host", func() error {
		for _, command := range []string{"kubectl events --for deployment/checkout", "kubectl describe deployment/checkout"} {
			out := n.run(command)
			if !strings.Contains(out, "EgressBlocked") || !strings.Contains(out, "blocked (block_all)") || !strings.Contains(out, "new.example.com:443 (TLS)") {
				return fmt.Errorf("%s:\n%s", command, out)
			}
		}
		return nil
	})
}

// reach is the exit code of curl and the status of an HTTP request, and the exit code of
// a TLS connection, to a host.
func (n *Namespace) reach(host string) string {
	n.t.Helper()
	out, _ := n.Bash(ended, fmt.Sprintf(`kubectl exec deploy/checkout -c app -- sh -c 'curl -sS -m 5 -o /dev/null -w "%%{http_code} " http://%[1]s; curl -s -m 5 -o /dev/null https://%[1]s; echo $?'`, host)).CombinedOutput()
	return string(out)
}

func (n *Namespace) closed(host string) { n.t.Helper(); n.reaches(host, "502 35\n") }
func (n *Namespace) open(host string)   { n.t.Helper(); n.reaches(host, "200 0\n") }

func (n *Namespace) reaches(host, want string) {
	n.t.Helper()
	eventually(n.t, "the policy holds", func() error {
		if got := n.reach(host); got != want {
			return fmt.Errorf("%s: %q, want %q", host, got, want)
		}
		return nil
	})
}
