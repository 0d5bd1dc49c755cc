package main

import (
	"bytes"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/report"
)

// hostsReport is what -o json prints.
type hostsReport struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	// Hosts are sorted as the command was asked to.
	Hosts []hostLine `json:"hosts"`
	// More is what exceeds the limits of a report.
	More []moreLine `json:"more,omitempty"`
}

// hostLine is a host that a workload connects to.
type hostLine struct {
	Namespace string `json:"namespace"`
	Workload  string `json:"workload"` // KIND/NAME
	// Host is the SNI, the Host, or an address.
	Host     string `json:"host"`
	Port     int    `json:"port"`
	Protocol string `json:"protocol"`
	Verdict  string `json:"verdict"`
	Rule     string `json:"rule,omitempty"`
	countsLine
}

// moreLine is the hosts of a workload, or the workloads of a namespace, that exceed the
// limits of its report.
type moreLine struct {
	Namespace string `json:"namespace"`
	Workload  string `json:"workload,omitempty"` // KIND/NAME; without, workloads exceed
	// Number is an estimate.
	Number int64 `json:"number"`
	countsLine
}

// countsLine are counts.
type countsLine struct {
	FirstSeen     string `json:"firstSeen"` // RFC 3339
	LastSeen      string `json:"lastSeen"`
	Connections   int64  `json:"connections"`
	Requests      int64  `json:"requests"`
	BytesSent     int64  `json:"bytesSent"`
	BytesReceived int64  `json:"bytesReceived"`
}

func newHostsReport(hosts []report.Host, more []report.MoreHosts) hostsReport {
	counts := func(c report.Counts) countsLine {
		return countsLine{c.First.Format(time.RFC3339), c.Last.Format(time.RFC3339), int64(c.Connections), int64(c.Requests), int64(c.BytesSent), int64(c.BytesReceived)} // at most 2^53
	}
	out := hostsReport{APIVersion: outputVersion, Kind: "EgressHosts", Hosts: []hostLine{}}
	for _, h := range hosts {
		d := h.DestinationReport
		out.Hosts = append(out.Hosts, hostLine{h.Namespace, h.String(), d.Host, int(d.Port), string(d.Protocol), string(d.Verdict), d.Rule, counts(d.Counts)})
	}
	for _, m := range more {
		line := moreLine{Namespace: m.Namespace, Number: int64(m.Number), countsLine: counts(m.Counts)}
		if m.Workload != nil {
			line.Workload = m.Workload.String()
		}
		out.More = append(out.More, line)
	}
	return out
}

// hostsTable lists hosts as kubectl lists objects.
func hostsTable(hosts []report.Host, more []report.MoreHosts, all, wide bool, now time.Time) string {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	header := []string{"WORKLOAD", "HOST", "PORT", "PROTOCOL", "VERDICT", "COUNT", "LAST SEEN"}
	if all {
		header = append([]string{"NAMESPACE"}, header...)
	}
	if wide {
		header = append(header, "FIRST SEEN", "RULE", "CONNECTIONS", "REQUESTS", "SENT", "RECEIVED")
	}
	fmt.Fprintln(w, strings.Join(header, "\t"))
	for _, h := range hosts {
		d := h.DestinationReport
		cells := []string{h.String(), d.Host, fmt.Sprint(d.Port), string(d.Protocol), string(d.Verdict), fmt.Sprint(d.Connections + d.Requests), ago(d.Last, now)}
		if all {
			cells = append([]string{h.Namespace}, cells...)
		}
		if wide {
			cells = append(cells, ago(d.First, now), d.Rule, fmt.Sprint(d.Connections), fmt.Sprint(d.Requests), fmt.Sprint(d.BytesSent), fmt.Sprint(d.BytesReceived))
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	_ = w.Flush() // to a buffer
	return b.String() + moreText(more, now)
}

func ago(t, now time.Time) string { return duration.HumanDuration(now.Sub(t)) + " ago" }

func moreText(more []report.MoreHosts, now time.Time) (out string) {
	for _, m := range more {
		what := "workloads"
		if m.Workload != nil {
			what = "hosts of " + m.Workload.String()
		}
		out += fmt.Sprintf("and about %d more %s in namespace %s, which exceed the limits of the report: %d connections and requests, last seen %s\n",
			m.Number, what, m.Namespace, m.Connections+m.Requests, ago(m.Last, now))
	}
	return out
}

// verifyText is the answer of verify.
func verifyText(namespace string, hosts, blocked []report.Host, more []report.MoreHosts, now time.Time) string {
	var last, first time.Time
	for _, h := range hosts {
		if first.IsZero() || h.First.Before(first) {
			first = h.First
		}
	}
	for _, h := range blocked {
		if h.Last.After(last) {
			last = h.Last
		}
	}
	if len(blocked) == 0 {
		text := moreText(more, now)
		if len(hosts) > 0 {
			text = fmt.Sprintf("REGISTRY_ONLY in namespace %s would have blocked none of the %d reported hosts, the first of which was seen %s.\n", namespace, len(hosts), ago(first, now)) + text
		}
		return text
	}
	return fmt.Sprintf("REGISTRY_ONLY in namespace %s would block %d of %d reported hosts (%s, %s). Nothing would have been blocked for %s.\n\n",
		namespace, len(blocked), len(hosts), egress.RouteBlockAll, egress.BlockedRule(egress.RouteBlockAll), duration.HumanDuration(now.Sub(last))) + hostsTable(blocked, more, false, false, now)
}
