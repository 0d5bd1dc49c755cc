package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/explain"
)

// Way is a way out of a pod.
type Way string

// The ways that are tried.
const (
	Passthrough Way = "passthrough" // an undeclared host: through the sidecar, as outboundTrafficPolicy has it
	Controlled  Way = "controlled"  // a host that a ServiceEntry declares: through the sidecar
	Bypass      Way = "bypass"      // an excluded address: not through the sidecar
)

// Outcome is what happens to a connection.
type Outcome string

// The outcomes.
const (
	Forwarded Outcome = "forwarded" // through the sidecar, to its destination
	Blocked   Outcome = "blocked"   // by the sidecar
	Bypassed  Outcome = "bypassed"  // to its destination, not through the sidecar
	Lost      Outcome = "lost"      // neither: it has not arrived, and the sidecar has not blocked it
	Untried   Outcome = "untried"   // there is no observation
)

// Traffic is the trial of the ways out.
type Traffic struct {
	// Namespace is that of the pods, and Own whether it was created for them.
	Namespace string `json:"namespace"`
	Own       bool   `json:"own"`
	Image     string `json:"image"`
	// Mode is outboundTrafficPolicy.mode; empty where it may not be read.
	Mode   string  `json:"mode,omitempty"`
	Trials []Trial `json:"trials"`

	// Stopped is what kept the pods from running; nil where they ran.
	Stopped *Stop `json:"-"`
	// Notes are what could not be read or tried, with the consequence.
	Notes []string `json:"notes,omitempty"`
	// Leftovers are what was found of earlier runs, and what was done with it.
	Leftovers []Leftover `json:"leftovers,omitempty"`
}

// Stop is what kept the pods from running.
type Stop struct {
	What, Fix         string
	Details, Commands []string
}

// Error makes it an error.
func (s *Stop) Error() string { return s.What }

// Leftover is what an earlier run has left.
type Leftover struct {
	Name    string `json:"name"` // such as namespace/outrider-check-x7k2p
	Removed bool   `json:"removed"`
	Note    string `json:"note,omitempty"`
	// Command removes it.
	Command string `json:"command,omitempty"`
}

// Trial is one connection, what was to happen to it and what has happened.
type Trial struct {
	Way      Way    `json:"way"`
	Protocol string `json:"protocol"` // http or tls
	Family   string `json:"family"`   // IPv4 or IPv6
	// External is set for a host that is not the own server: what arrives there is not seen.
	External bool `json:"external,omitempty"`
	// Name is the Host of HTTP, or the SNI of TLS.
	Name    string `json:"name"`
	Address string `json:"address"` // and port
	// Want is what is to happen to the connection: forwarded, blocked or bypassed.
	Want Outcome `json:"want"`
	// Configured is what happens to it by the configuration as it is, and By the rule and
	// its source; empty where the configuration may not be read.
	Configured string `json:"configured,omitempty"`
	By         string `json:"by,omitempty"`
	Fix        string `json:"fix,omitempty"`
	// Outcome is what has happened.
	Outcome Outcome  `json:"outcome"`
	Seen    Seen     `json:"seen"`
	Arrival *Arrival `json:"arrival,omitempty"`
	// Log are the lines of the sidecar's access log about the connection.
	Log []string `json:"log,omitempty"`
}

// Probe is a connection that the client of a pod makes.
type Probe struct {
	Way      Way    `json:"way"`
	Protocol string `json:"protocol"`
	Name     string `json:"name"`
	Address  string `json:"address"`
	// Token is in the response of the own server; empty for another one.
	Token string `json:"token,omitempty"`
}

// Seen is what the pod has seen of its connection.
type Seen struct {
	// Local is the connection's own address and port; empty if there was none.
	Local string `json:"local,omitempty"`
	// Error is why there was no response.
	Error string `json:"error,omitempty"`
	// Status is that of the HTTP response, and Server its header.
	Status int    `json:"status,omitempty"`
	Server string `json:"server,omitempty"`
	// Kernel are the rules of the redirect that have counted the connection, by their
	// reasons; KernelError is why they were not read.
	Kernel      map[string]uint64 `json:"kernel,omitempty"`
	KernelError string            `json:"kernelError,omitempty"`
	// Sidecar are the sidecar's statistics that have changed; SidecarError is why they were
	// not read.
	Sidecar      map[string]uint64 `json:"sidecar,omitempty"`
	SidecarError string            `json:"sidecarError,omitempty"`
}

// Arrival is a connection as the own server has seen it.
type Arrival struct {
	From string `json:"from"`
	Name string `json:"name"` // the Host or SNI that has arrived
	// Headers are the names of those that a sidecar adds.
	Headers []string `json:"headers,omitempty"`
}

// Changes are the counts that have grown.
func Changes(before, after map[string]uint64) map[string]uint64 {
	out := map[string]uint64{}
	for name, n := range after {
		if n > before[name] {
			out[name] = n - before[name]
		}
	}
	return out
}

// Relevant reports a statistic of the sidecar that a connection changes.
func Relevant(name string) bool {
	return strings.HasPrefix(name, "cluster.") && !strings.HasPrefix(name, "cluster.xds-grpc.") && !strings.HasPrefix(name, "cluster.admin.") &&
		(strings.HasSuffix(name, ".upstream_cx_total") || strings.HasSuffix(name, ".upstream_rq_total") || strings.HasSuffix(name, ".upstream_cx_connect_fail")) ||
		strings.HasPrefix(name, "tcp.") && strings.HasSuffix(name, ".downstream_cx_total")
}

// captured reports whether the connection was redirected to the sidecar, by what the kernel
// counts, or, where that was not read, by what the sidecar and the server have seen.
func (t *Trial) captured() bool {
	if t.Seen.KernelError == "" {
		return t.Seen.Kernel["proxy"] > 0
	}
	if len(t.Log) > 0 {
		return true
	}
	if t.Arrival != nil {
		return t.Arrival.From != t.Seen.Local
	}
	return len(t.Seen.Sidecar) > 0
}

// unreachable reports that the sidecar has tried to forward the connection, and could not.
func (t *Trial) unreachable() bool {
	for name := range t.Seen.Sidecar {
		if strings.HasSuffix(name, ".upstream_cx_connect_fail") {
			return true
		}
	}
	return slices.ContainsFunc(t.Log, func(line string) bool {
		return strings.Contains(line, " UF ") || strings.Contains(line, " UF,") || strings.Contains(line, "upstream_reset_before_response_started")
	})
}

// Judge sets the outcome by what was observed.
func (t *Trial) Judge() {
	captured := t.captured()
	switch arrived := t.arrived(captured); {
	case t.Seen.Local == "" && t.Seen.Error == "":
		t.Outcome = Untried
	case arrived && captured:
		t.Outcome = Forwarded
	case arrived:
		t.Outcome = Bypassed
	case captured && !t.unreachable():
		t.Outcome = Blocked
	default:
		t.Outcome = Lost
	}
}

// arrived reports that the connection has reached its destination. A response of an external
// host by HTTP can be the sidecar's own, unless the sidecar has forwarded the request.
func (t *Trial) arrived(captured bool) bool {
	switch {
	case !t.External:
		return t.Arrival != nil
	case t.Seen.Status == 0:
		return false
	}
	return !captured || t.Protocol == "tls" || t.cluster() != ""
}

// cluster is the sidecar's cluster that has had the connection or request; empty for none.
func (t *Trial) cluster() string {
	for _, name := range slices.Sorted(maps.Keys(t.Seen.Sidecar)) {
		name, ok := strings.CutPrefix(name, "cluster.")
		if of, counter := cutCounter(name); ok && counter != "upstream_cx_connect_fail" {
			return of
		}
	}
	return ""
}

// cutCounter is the cluster and the counter of a statistic.
func cutCounter(name string) (cluster, counter string) {
	i := strings.LastIndex(name, ".")
	return name[:max(i, 0)], name[i+1:]
}

// Explain sets what happens to the connection by the configuration.
func (t *Trial) Explain(c explain.Connection) {
	rule := c.Redirect
	if c.Sidecar != nil {
		rule = c.Sidecar.Rule
	}
	t.Configured, t.By, t.Fix = c.Outcome, rule.Text+", by "+rule.Place(), rule.Fix
}

// to is the connection as a text.
func (t *Trial) to() string {
	scheme := map[string]string{"http": "HTTP", "tls": "TLS"}[t.Protocol]
	return fmt.Sprintf("%s to %s at %s", scheme, t.Name, t.Address)
}

// lines are what was tried, what arrived, and what the kernel and the sidecar have counted.
func (t *Trial) lines() []string {
	out := []string{fmt.Sprintf("%s: %s", t.to(), t.Outcome)}
	switch a := t.Arrival; {
	case a != nil && a.From == t.Seen.Local:
		out = append(out, "  arrived: from the pod's own connection "+a.From)
	case a != nil:
		text := fmt.Sprintf("  arrived: from %s, the pod's connection was %s", a.From, t.Seen.Local)
		if len(a.Headers) > 0 {
			text += ", with " + strings.Join(a.Headers, ", ")
		}
		out = append(out, text)
	case t.Seen.Error != "":
		out = append(out, "  not arrived: "+t.Seen.Error)
	case t.Seen.Status != 0:
		out = append(out, strings.TrimSuffix(fmt.Sprintf("  response: status %d of %s", t.Seen.Status, t.Seen.Server), " of "))
	}
	out = append(out, "  kernel: "+counts(t.Seen.Kernel, t.Seen.KernelError, "no rule"), "  sidecar: "+t.clusters())
	for _, line := range t.Log {
		out = append(out, "  log: "+line)
	}
	if t.Configured != "" {
		out = append(out, fmt.Sprintf("  configuration: %s: %s", t.Configured, t.By))
	}
	return out
}

// clusters are what the sidecar has counted, by cluster.
func (t *Trial) clusters() string {
	if t.Seen.SidecarError != "" {
		return "not read: " + t.Seen.SidecarError
	}
	units := map[string]string{"upstream_cx_total": "connections", "upstream_rq_total": "requests", "upstream_cx_connect_fail": "failed connections"}
	of := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(t.Seen.Sidecar)) {
		if full, ok := strings.CutPrefix(name, "cluster."); ok {
			cluster, counter := cutCounter(full)
			of[cluster] = append(of[cluster], fmt.Sprintf("%s +%d", units[counter], t.Seen.Sidecar[name]))
		} else if name == "tcp.BlackHoleCluster.downstream_cx_total" {
			of["BlackHoleCluster"] = append(of["BlackHoleCluster"], fmt.Sprintf("connections +%d", t.Seen.Sidecar[name]))
		}
	}
	var out []string
	for _, cluster := range slices.Sorted(maps.Keys(of)) {
		out = append(out, cluster+": "+strings.Join(of[cluster], ", "))
	}
	if len(out) == 0 {
		return "nothing was forwarded"
	}
	return strings.Join(out, "; ")
}

func counts(of map[string]uint64, unread, none string) string {
	if unread != "" {
		return "not read: " + unread
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(of)) {
		out = append(out, fmt.Sprintf("%s +%d", strings.TrimPrefix(name, "cluster."), of[name]))
	}
	if len(out) == 0 {
		return none
	}
	return strings.Join(out, ", ")
}
