package ranges

import (
	"regexp"
	"strings"
)

// lineKey is a key that means the same wherever a line has it, because one tool
// alone uses it, or all that use it mean the same.
type lineKey struct {
	kind     Kind
	name     string // of the source
	platform string
	provider bool
	part     bool // each line is one part of the range
	lower    bool // and together they need not be all
}

var lineKeys = map[string]lineKey{
	"servicesIpv4Cidr":         {kind: Service, name: "gcloud container clusters describe", platform: "gke", provider: true},
	"servicesIpv4CidrBlock":    {kind: Service, name: "gcloud container clusters describe", platform: "gke", provider: true},
	"servicesIpv6CidrBlock":    {kind: Service, name: "gcloud container clusters describe", platform: "gke", provider: true},
	"clusterIpv4Cidr":          {kind: Pod, name: "gcloud container clusters describe", platform: "gke", provider: true},
	"clusterIpv4CidrBlock":     {kind: Pod, name: "gcloud container clusters describe", platform: "gke", provider: true},
	"subnetIpv6CidrBlock":      {kind: Pod, name: "gcloud container clusters describe", platform: "gke", provider: true},
	"podIpv4CidrBlock":         {kind: Pod, name: "gcloud container clusters describe", platform: "gke", provider: true, part: true},
	"serviceCidr":              {kind: Service, name: "az aks show", platform: "aks", provider: true},
	"serviceCidrs":             {kind: Service, name: "az aks show", platform: "aks", provider: true},
	"podCidr":                  {kind: Pod, name: "az aks show", platform: "aks", provider: true},
	"podCidrs":                 {kind: Pod, name: "az aks show", platform: "aks", provider: true},
	"serviceIpv4Cidr":          {kind: Service, name: "aws eks describe-cluster", platform: "eks", provider: true},
	"serviceIpv6Cidr":          {kind: Service, name: "aws eks describe-cluster", platform: "eks", provider: true},
	"serviceIPv4CIDR":          {kind: Service, name: "eksctl ClusterConfig", platform: "eks"},
	"serviceSubnet":            {kind: Service, name: "line serviceSubnet"},
	"podSubnet":                {kind: Pod, name: "line podSubnet"},
	"serviceSubnets":           {kind: Service, name: "Talos machine configuration", platform: "talos"},
	"podSubnets":               {kind: Pod, name: "Talos machine configuration", platform: "talos"},
	"Service Subnet":           {kind: Service, name: "ibmcloud ks cluster get", platform: "iks", provider: true},
	"Pod Subnet":               {kind: Pod, name: "ibmcloud ks cluster get", platform: "iks", provider: true},
	"service_cluster_ip_range": {kind: Service, name: "IBM Cloud Private config.yaml", platform: "icp"},
	"network_cidr":             {kind: Pod, name: "IBM Cloud Private config.yaml", platform: "icp"},
	"serviceNetwork":           {kind: Service, name: "line serviceNetwork", platform: "openshift"},
	"service-cidr":             {kind: Service, name: "k3s/RKE2 config.yaml", platform: "k3s-config"},
	"cluster-cidr":             {kind: Pod, name: "k3s/RKE2 config.yaml", platform: "k3s-config"},
	"services-cidr":            {kind: Service, name: "oci ce cluster get", platform: "oke", provider: true},
	"pods-cidr":                {kind: Pod, name: "oci ce cluster get", platform: "oke", provider: true},
	"service_subnet":           {kind: Service, name: "doctl kubernetes cluster get", platform: "doks", provider: true},
	"cluster_subnet":           {kind: Pod, name: "doctl kubernetes cluster get", platform: "doks", provider: true},
	"ServiceCIDR":              {kind: Service, name: "line ServiceCIDR", provider: true},
	"ClusterCIDR":              {kind: Pod, name: "tccli tke DescribeClusters", platform: "tke", provider: true},
	"service_cidr":             {kind: Service, name: "ACK cluster", platform: "ack"},
	"container_cidr":           {kind: Pod, name: "ACK cluster", platform: "ack"},
	"clusterSubnet":            {kind: Pod, name: "acs-engine apimodel", platform: "acs"},
	"clusterCIDR":              {kind: Pod, name: "kube-proxy clusterCIDR", part: true},
	"podCIDR":                  {kind: Pod, name: "node podCIDRs", part: true, lower: true},
	"podCIDRs":                 {kind: Pod, name: "node podCIDRs", part: true, lower: true},
	"PodCIDR":                  {kind: Pod, name: "node podCIDRs", part: true, lower: true},
	"PodCIDRs":                 {kind: Pod, name: "node podCIDRs", part: true, lower: true},
}

func (k lineKey) source() source {
	s := source{k.name, rankConfig, Claimed, !k.part}
	if k.kind == Pod {
		s.rank = rankPodConfig
	}
	switch {
	case k.lower:
		s.rank, s.grade = rankSlices, LowerBound
	case k.provider:
		s.rank, s.grade = rankProvider, Complete
	case k.name == "kube-proxy clusterCIDR":
		s.rank = rankKubeProxy
	}
	return s
}

// keys reads a mapping of scalars by its keys: a part of a larger document.
func (r *reader) keys(n *node, base string) bool {
	known := false
	for _, f := range n.fields {
		k, ok := lineKeys[f.name]
		if !ok {
			continue
		}
		known = true
		for _, v := range f.value.find("", join(base, f.name)) {
			r.line(k, v)
		}
	}
	return known
}

func (r *reader) line(k lineKey, f found) {
	if k.platform != "" {
		r.signal(k.platform, k.name)
	}
	before := len(r.facts.Evidence)
	r.take(k.kind, k.source(), f)
	if k.lower {
		for _, e := range r.facts.Evidence[before:] {
			r.facts.NodeCIDR = append(r.facts.NodeCIDR, e.Ranges.Prefixes()...)
		}
	}
}

// lines reads text that is no YAML or JSON: the output of grep, of describe, a
// table, a command line, an error.
func (r *reader) lines(c chunk) bool {
	known := r.probe(c.lines, c.line, "")
	known = r.tables(c) || known
	known = r.flags(c) || known
	known = r.described(c) || known
	return r.keyLines(c) || known
}

var (
	// The prefix is the file name, line number, or both, that grep may print.
	keyLine   = regexp.MustCompile(`^(?:[^\s#"':]+:)?(?:\d+:)?\s*(?:-\s+)?["']?([A-Za-z][A-Za-z0-9_-]*|Pod Subnet|Service Subnet)["']?\s*[:=]\s*(.*)$`)
	tableLine = regexp.MustCompile(`^\|+\s*([A-Za-z][A-Za-z0-9_-]*)\s*\|+\s*(\S+)\s*\|+$`)
	listItem  = regexp.MustCompile(`^\s*(?:-\s+)?["']?([0-9A-Fa-f:.]+/\d+)["']?,?\s*$`)
)

// keyLines reads lines of the form "key: value". A key of its own may have its
// values on the lines below, each by itself.
func (r *reader) keyLines(c chunk) bool {
	known := false
	seen := map[string]int{}
	root := r.root
	defer func() { r.root = max(r.root, root) }()
	for i := 0; i < len(c.lines); i++ {
		m := keyLine.FindStringSubmatch(c.lines[i])
		if m == nil {
			m = tableLine.FindStringSubmatch(strings.TrimSpace(c.lines[i]))
		}
		if m == nil {
			continue
		}
		k, ok := lineKeys[m[1]]
		if !ok {
			continue
		}
		known = true
		// A key's second line is another statement, and has to agree.
		r.root = root + seen[m[1]]
		seen[m[1]]++
		value := unquote(m[2])
		at := c.line + i
		if value != "" {
			r.line(k, found{&node{shape: scalar, line: at, text: value}, m[1]})
			continue
		}
		for i+1 < len(c.lines) && listItem.MatchString(c.lines[i+1]) {
			i++
			item := listItem.FindStringSubmatch(c.lines[i])[1]
			r.line(k, found{&node{shape: scalar, line: c.line + i, text: item}, m[1]})
		}
	}
	return known
}

// unquote is a value without comment, quotes, brackets and a trailing comma.
func unquote(s string) string {
	if i := strings.Index(s, " #"); i >= 0 {
		s = s[:i]
	}
	s = strings.TrimSuffix(strings.TrimSpace(s), ",")
	parts := strings.Split(strings.Trim(s, "[] "), ",")
	for i, p := range parts {
		parts[i] = strings.Trim(strings.TrimSpace(p), `"'`)
	}
	if s = strings.Join(parts, ","); s == "null" || s == "~" || s == "{" {
		return ""
	}
	return s
}

var validRange = regexp.MustCompile(`The range of valid IPs is ([0-9A-Fa-f:./, ]*[0-9A-Fa-f:])`)

// probe reads an API server's refusal of a cluster IP. Only what follows "the
// range of valid IPs is" is a range; newer servers do not say it.
func (r *reader) probe(lines []string, first int, path string) bool {
	known := false
	for i, l := range lines {
		if !strings.Contains(l, "failed to allocate") {
			continue
		}
		known = true
		m := validRange.FindStringSubmatch(l)
		if m == nil {
			r.leave(gap{kind: Service, soft: true, why: "the API server's refusal does not name a range: servers since Kubernetes 1.33 name none",
				command: "kubectl get servicecidrs -o yaml"}, &node{line: first + i}, path)
			continue
		}
		if path == "" {
			path = "The range of valid IPs is"
		}
		src := source{"API server's refusal of a cluster IP", rankProbe, LowerBound, false}
		r.take(Service, src, found{&node{shape: scalar, line: first + i, text: m[1]}, path})
	}
	return known
}
