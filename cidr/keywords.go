package cidr

import (
	"net/netip"
	"slices"
)

// The built-in names. Cluster and APIServer resolve to ranges of the cluster; the
// others are the same everywhere.
const (
	Cluster       = "cluster"        // the cluster's own Services and pods
	APIServer     = "kube-apiserver" // the Service kubernetes and its endpoints
	CloudMetadata = "cloud-metadata" // the instance metadata services of clouds
	LinkLocal     = "link-local"     // RFC 3927, RFC 4291
	Private       = "private"        // RFC 1918, RFC 4193
)

// Keywords are these names, sorted.
func Keywords() []string { return []string{CloudMetadata, Cluster, APIServer, LinkLocal, Private} }

// IsKeyword reports one of these names.
func IsKeyword(name string) bool { return slices.Contains(Keywords(), name) }

// constants are the ranges of the names that are the same everywhere. The
// addresses of CloudMetadata are, in order: the address that AWS, Azure, Google,
// Oracle, DigitalOcean and others share; tasks and pods of AWS; Alibaba Cloud;
// Tencent Cloud; IPv6 of AWS, of pods of AWS, and of Google.
var constants = map[string][]string{
	CloudMetadata: {"169.254.169.254/32", "169.254.170.2/32", "169.254.170.23/32", "100.100.100.200/32", "169.254.0.23/32",
		"fd00:ec2::254/128", "fd00:ec2::23/128", "fd20:ce::254/128"},
	LinkLocal: {"169.254.0.0/16", "fe80::/10"},
	Private:   {"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"},
}

// Constant is the ranges of a name that is the same everywhere; false for any
// other name.
func Constant(name string) (List, bool) {
	texts, ok := constants[name]
	if !ok {
		return List{}, false
	}
	ps := make([]netip.Prefix, 0, len(texts))
	for _, t := range texts {
		ps = append(ps, netip.MustParsePrefix(t))
	}
	return FromPrefixes(ps...), true
}

// ValidName reports whether a word may be a name in a list.
func ValidName(name string) bool { return isName(name) }
