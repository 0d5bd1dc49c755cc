package rehearse

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	"github.com/outrider-mesh/outrider/egress/report"
)

// Allow returns the smallest ServiceEntry of each combination of ports that allows hosts:
// HOST, HOST:PORT or SCHEME://HOST:PORT, where the scheme is http, https, tls or tcp.
// Without a scheme, port 80 is HTTP and others are TLS; without a port it is that of the
// scheme, or 443.
func Allow(namespace string, texts []string) (string, error) {
	var all []report.Host
	for _, text := range texts {
		d, err := parse(text)
		if err != nil {
			return "", err
		}
		all = append(all, report.Host{Namespace: namespace, Workload: report.Workload{Kind: "Namespace", Name: namespace}, DestinationReport: report.DestinationReport{Destination: d}})
	}
	hosts, cannot := collect(Options{}, all)
	if len(cannot) > 0 {
		return "", fmt.Errorf("%s", strings.Join(cannot, "; "))
	}
	var out []string
	for _, g := range arrange(hosts) {
		var b strings.Builder
		g.name = g.allowName()
		g.write(&b, namespace)
		out = append(out, withoutComments(b.String()))
	}
	return strings.Join(out, "---\n"), nil
}

// allowName is the same for the same hosts and ports, and another one for others: kubectl
// replaces an object of the same name.
func (g *group) allowName() string {
	first := strings.NewReplacer("*.", "any.", ":", "-", "_", "-").Replace(g.hosts[0].name)
	out := "allow-" + clipped(first) + "-" + g.ports[0].name()
	if len(g.hosts) == 1 && clipped(first) == first {
		return out
	}
	h := fnv.New32a()
	for _, host := range g.hosts {
		_, _ = h.Write([]byte(host.name + " ")) // never an error
	}
	return fmt.Sprintf("%s-%08x", out, h.Sum32())
}

func withoutComments(text string) (out string) {
	for line := range strings.Lines(text) {
		if before, _, found := strings.Cut(line, " # "); found {
			line = before + "\n"
		}
		out += line
	}
	return out
}

// schemes are the protocols, with the port of each.
var schemes = map[string]struct {
	protocol report.Protocol
	port     uint16
}{"http": {report.HTTP, 80}, "https": {report.TLS, 443}, "tls": {report.TLS, 443}, "tcp": {report.TCP, 0}}

func parse(text string) (report.Destination, error) {
	d := report.Destination{Protocol: report.TLS, Port: 443, Verdict: report.Blocked}
	scheme, rest, found := strings.Cut(text, "://")
	if !found {
		scheme, rest = "", text
	} else {
		s, ok := schemes[scheme]
		if !ok {
			return d, fmt.Errorf("%q: unknown scheme; use http, https, tls or tcp", text)
		}
		d.Protocol, d.Port = s.protocol, s.port
	}
	name := strings.TrimSuffix(rest, "/")
	if h, p, ok := splitPort(name); ok {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return d, fmt.Errorf("%q: invalid port; use a number from 1 to 65535", text)
		}
		if name, d.Port = h, uint16(n); scheme == "" && n == 80 {
			d.Protocol = report.HTTP
		}
	}
	wildcard := strings.HasPrefix(name, "*.")
	d.Host = report.CleanHost(strings.TrimPrefix(name, "*."))
	switch {
	case d.Host == "":
		return d, fmt.Errorf("%q: not a host; use a DNS name or an IP address, with :PORT or without", text)
	case d.Port == 0:
		return d, fmt.Errorf("%q: TCP requires a port, such as tcp://192.0.2.1:5432", text)
	case wildcard:
		d.Host = "*." + d.Host
	}
	return d, nil
}

// splitPort splits HOST:PORT and [ADDRESS]:PORT.
func splitPort(text string) (host, port string, ok bool) {
	i := strings.LastIndexByte(text, ':')
	if i < 0 || strings.Count(text, ":") > 1 && !strings.HasSuffix(text[:i], "]") {
		return text, "", false
	}
	return text[:i], text[i+1:], true
}
