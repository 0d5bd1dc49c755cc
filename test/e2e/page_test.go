package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/test/page"
)

// gettingStarted does what docs/getting-started.md asks of its readers, in the
// order and in the namespace in which they do it.
func gettingStarted(t *testing.T, s *Suite) {
	n := s.namespace(t, "default")
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(n.report())
			s.undo(t, "kubectl delete -f samples/sleep/sleep.yaml --ignore-not-found --wait=false; kubectl label namespace default istio-injection-; kubectl apply -f deploy/settings.yaml")
		}
	})
	ranges, err := s.Ranges(ended)
	if err != nil {
		t.Fatal(err)
	}
	after := map[string]string{}
	if !s.Own() {
		t.Log("the internet is made of pods here, so the ranges to capture are those of Services alone")
		after["|includeIPRanges: cluster|"] = "kubectl -n istio-system get configmap istio-sidecar-injector -o yaml" +
			" | sed 's|includeIPRanges: cluster|includeIPRanges: " + strings.Join(ranges, ",") + "|' | kubectl apply -f -"
	}
	if ran := n.follow("docs/getting-started.md", after); ran < 20 {
		t.Errorf("%d commands were run; the page has lost its blocks", ran)
	}
}

// operations does what docs/operations.md asks of those who run Outrider.
func operations(t *testing.T, s *Suite) {
	n := s.Namespace(t, "operations", injected)
	n.run("kubectl apply -f samples/sleep/sleep.yaml")
	n.rolledOut("deployment/sleep")
	n.run(httpbinEntry)
	t.Cleanup(func() {
		s.undo(t, "kubectl delete --ignore-not-found clusterrole/outrider-debug clusterrolebinding/outrider-debug; kubectl apply -f deploy/")
	})
	// An edit, so that the page has a configuration to go back to.
	n.run(`kubectl -n istio-system patch configmap istio --type=merge -p '{"data":{"mesh":"accessLogFile: /dev/stdout\nconnectTimeout: 7s\n"}}'`)
	eventually(t, "the edit is stored", func() error {
		out := n.run("outrider config history")
		if lines := strings.Split(out, "\n"); len(lines) < 4 || !strings.HasSuffix(lines[1], "yes") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	if ran := n.follow("docs/operations.md", nil); ran < 13 {
		t.Errorf("%d commands were run; the page has lost its blocks", ran)
	}
	n.keepsLastGood()
}

// leases prints what docs/operations.md shows of the replicas.
const leases = `kubectl -n istio-system get leases -l app.kubernetes.io/component=replica -o jsonpath='{range .items[*]}{.spec.holderIdentity} ` +
	`{.metadata.annotations.outrider/config-hash} {.metadata.annotations.outrider/config-source} {.metadata.annotations.outrider/config-not-applied}{"\n"}{end}'`

// keepsLastGood stores a bad configuration that no webhook validates, and restarts the
// webhook: pods are injected as before, and the replicas' Leases have the reason.
func (n *Namespace) keepsLastGood() {
	n.t.Helper()
	hash := func() string {
		pod := n.run(`kubectl run probe --image=curlimages/curl --dry-run=server -o jsonpath='{.metadata.annotations.sidecar\.istio\.io/status}'`)
		_, pod, _ = strings.Cut(pod, `"configHash":"`)
		pod, _, _ = strings.Cut(pod, `"`)
		return pod
	}
	before := hash()
	n.run("kubectl delete validatingwebhookconfiguration outrider-sidecar-injector")
	n.run(`kubectl -n istio-system patch configmap istio --type=merge -p '{"data":{"mesh":"outboundTrafficPolicy: {mode: SOME}\n"}}'`)
	n.run("kubectl -n istio-system rollout restart deployment/outrider")
	n.run(fmt.Sprintf("kubectl -n istio-system rollout status deployment/outrider --timeout=%s", patience))
	if got := hash(); before == "" || got != before {
		n.t.Errorf("pods are injected by configuration %q, before the restart by %q", got, before)
	}
	eventually(n.t, "the Leases have the hash and the reason", func() error {
		out := n.run(leases)
		good := 0
		for line := range strings.Lines(out) {
			if f := strings.SplitN(line, " ", 4); f[1] == before && f[2] == "last-good" && strings.Contains(f[3], `"SOME"`) {
				good++
			}
		}
		if good < 4 || good != strings.Count(out, "\n") {
			return fmt.Errorf("want 4 lines of %s:\n%s", before, out)
		}
		return nil
	})
}

// follow runs the commands of a page as one reader does, in whose shell exported
// variables stay, and returns how many there were: those of the sections with the
// headings, or all of them. After one that has a key of the map in it comes the command
// that the key is for; with omitted it is not run itself.
func (n *Namespace) follow(file string, after map[string]string, headings ...string) (ran int) {
	n.t.Helper()
	text, err := os.ReadFile(filepath.Join(n.Dir, file))
	if err != nil {
		n.t.Fatal(err)
	}
	variables := filepath.Join(n.Work, "variables-of-"+n.name)
	shell := func(line string) (string, error) {
		line = n.resolved(line)
		out, err := n.Bash(ended, fmt.Sprintf("[ ! -e %[1]s ] || . %[1]s\n%[2]s\nstatus=$?; export -p > %[1]s; exit $status", variables, line)).CombinedOutput()
		return string(out), err
	}
	for _, b := range page.Blocks(sections(string(text), headings)) {
	commands:
		for _, c := range b.Commands() {
			start := time.Now()
			for part, line := range after {
				if line == omitted && strings.Contains(c.Line, part) {
					continue commands
				}
			}
			if b.Kind == "console" {
				n.shows(c, shell)
			} else if out, err := shell(c.Line); err != nil {
				n.t.Fatalf("%s\n$ %s\n%s%v", file, c.Line, out, err)
			}
			for part, line := range after {
				if strings.Contains(c.Line, part) {
					if out, err := shell(line); err != nil {
						n.t.Fatalf("$ %s\n%s%v", line, out, err)
					}
				}
			}
			if strings.Contains(c.Line, "istio-sidecar-injector") || strings.Contains(c.Line, "deploy/settings.yaml") {
				time.Sleep(2 * time.Second) // a reader reads on: an edit is active within a second
			}
			n.t.Logf("%5.1fs $ %s", time.Since(start).Seconds(), strings.SplitN(c.Line, "\n", 2)[0])
			ran++
		}
	}
	return ran
}

// destination is an argument with a host name.
var destination = regexp.MustCompile(`--to ([a-z][a-z0-9.-]*)`)

// resolved is a command about a destination, with the addresses that its name has in
// the internet of the tests: this machine does not resolve it.
func (n *Namespace) resolved(line string) string {
	return destination.ReplaceAllStringFunc(line, func(to string) string {
		h := n.Host(strings.TrimPrefix(to, "--to "))
		for _, a := range []netip.Addr{h.IPv4, h.IPv6} {
			if a.IsValid() && (n.Own() || a.Is4()) {
				to = "--address " + a.String() + " " + to
			}
		}
		return to
	})
}

// omitted is in place of a command that follows one of a page.
const omitted = "omitted"

// sections are those of a page that have the headings, or the page if there are none.
func sections(text string, headings []string) string {
	if len(headings) == 0 {
		return text
	}
	var out strings.Builder
	for section := range strings.SplitSeq(text, "\n## ") {
		if heading, _, _ := strings.Cut(section, "\n"); slices.Contains(headings, heading) {
			out.WriteString(section)
		}
	}
	return out.String()
}

// looks are commands that change nothing, and are tried until they show what is
// promised: a log is written, and a policy comes into force, a moment later.
var looks = []string{"kubectl exec ", "kubectl logs ", "kubectl get ", "outrider egress hosts "}

// blanks align columns, by the longest name there is.
var blanks = regexp.MustCompile(`[ \t]+`)

// shows runs a command that prints what the page shows.
func (n *Namespace) shows(c page.Command, shell func(string) (string, error)) {
	n.t.Helper()
	try := func() error {
		// An exit code that is not 0 is part of what is shown: the error.
		out, err := shell(c.Line)
		if !(page.Command{Output: blanks.ReplaceAllString(c.Output, " ")}).Prints(blanks.ReplaceAllString(out, " ")) {
			return fmt.Errorf("$ %s\n%s(%s)\nthe page has:\n%s", c.Line, out, fmt.Sprint(err), c.Output)
		}
		return nil
	}
	for _, l := range looks {
		if strings.HasPrefix(c.Line, l) {
			eventually(n.t, "a page's command shows what is promised", try)
			return
		}
	}
	if err := try(); err != nil {
		n.t.Fatal(err)
	}
}
