package ranges

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/outrider-mesh/outrider/internal/document"
)

// isSupply recognizes descriptions of the underlying network of a cluster.
func isSupply(n *document.Node) bool {
	return n.HasKey("Vpcs", "CidrBlockAssociationSet", "secondaryIpRanges", "VSwitches", "SubnetSet") || isAzureSubnet(n) ||
		n.Has("addressSpace.addressPrefixes") || isOCISubnet(n)
}

func isAzureSubnet(n *document.Node) bool {
	return strings.Contains(strings.ToLower(n.Get("id").Str()), "/subnets/") &&
		(n.HasKey("addressPrefix", "addressPrefixes") || n.Get("properties").HasKey("addressPrefix", "addressPrefixes"))
}

func isOCISubnet(n *document.Node) bool { return n.Has("cidr-block") && n.Has("vcn-id") }

// supplies reads ranges of the underlying network of a cluster.
func supplies(r *reader, n *document.Node, base string) {
	switch {
	case n.HasKey("Vpcs"):
		r.each(n.Get("Vpcs"), join(base, "Vpcs"), vpcSupply)
	case n.HasKey("CidrBlockAssociationSet"):
		vpcSupply(r, n, base)
	case n.HasKey("secondaryIpRanges"):
		r.each(n.Get("secondaryIpRanges"), join(base, "secondaryIpRanges"), gcpSupply)
	case n.HasKey("VSwitches"):
		at := n.At("VSwitches", "VSwitch")
		r.each(at, join(join(base, "VSwitches"), "VSwitch"), func(r *reader, n *document.Node, base string) {
			r.supply("alibaba", "vSwitch "+n.Get("VSwitchId").Str(), n, base, []string{"CidrBlock", "Ipv6CidrBlock"}, "vsw:"+n.Get("VSwitchId").Str())
		})
	case n.HasKey("SubnetSet"):
		r.each(n.Get("SubnetSet"), join(base, "SubnetSet"), func(r *reader, n *document.Node, base string) {
			r.supply("tencent", "subnet "+n.Get("SubnetId").Str(), n, base, []string{"CidrBlock", "Ipv6CidrBlock"}, "tke:*")
		})
	case isAzureSubnet(n):
		azureSupply(r, n, base)
	case n.Has("addressSpace"):
		r.each(n.Get("subnets"), join(base, "subnets"), azureSupply)
	default:
		r.supply("oci", "subnet "+n.Get("id").Str(), n, base, []string{"cidr-block", "ipv6-cidr-blocks"}, "vcn:"+n.Get("vcn-id").Str(), "vcn:")
	}
}

func (r *reader) each(n *document.Node, base string, f func(*reader, *document.Node, string)) {
	if n == nil {
		return
	}
	for i, item := range n.Items {
		f(r, item, base+"["+strconv.Itoa(i)+"]")
	}
}

// supply keeps a range until it is known whether a cluster asks for it. Alone
// it is the range of pods: that is what it was looked up for.
func (r *reader) supply(sort, what string, n *document.Node, base string, paths []string, keys ...string) {
	s := supply{keys: keys, what: what, sort: sort, kind: Pod, root: r.root}
	for _, p := range paths {
		for _, f := range find(n, p, base) {
			s.ranges = append(s.ranges, f.node.Text)
			s.where = append(s.where, r.place(f.node, f.path))
		}
	}
	if len(s.ranges) > 0 {
		r.data.supplies = append(r.data.supplies, s)
	}
}

// vpcSupply takes the ranges that are associated with an AWS VPC now.
func vpcSupply(r *reader, n *document.Node, base string) {
	id := n.Get("VpcId").Str()
	s := supply{keys: []string{"vpc:" + id, "vpc:"}, what: "VPC " + id, sort: "aws", kind: Pod, root: r.root}
	for _, set := range []struct{ list, block, state string }{
		{"CidrBlockAssociationSet", "CidrBlock", "CidrBlockState"},
		{"Ipv6CidrBlockAssociationSet", "Ipv6CidrBlock", "Ipv6CidrBlockState"},
	} {
		r.each(n.Get(set.list), join(base, set.list), func(r *reader, a *document.Node, at string) {
			if f := a.Get(set.block); f.Str() != "" && a.At(set.state, "State").Str() == "associated" {
				s.ranges = append(s.ranges, f.Text)
				s.where = append(s.where, r.place(f, join(at, set.block)))
			}
		})
	}
	if f := n.Get("CidrBlock"); f.Str() != "" && !n.Has("CidrBlockAssociationSet") {
		s.ranges, s.where = append(s.ranges, f.Text), append(s.where, r.place(f, join(base, "CidrBlock")))
	}
	if len(s.ranges) > 0 {
		r.data.supplies = append(r.data.supplies, s)
	}
}

// gkeRange is the name that GKE gives to a range it makes itself.
var gkeRange = regexp.MustCompile(`^gke-.+-(pods|services)-[0-9a-f]{8}$`)

func gcpSupply(r *reader, n *document.Node, base string) {
	name, value := n.Get("rangeName").Str(), n.Get("ipCidrRange")
	if name == "" || value.Str() == "" {
		return
	}
	s := supply{keys: []string{"gcp:" + name}, what: "range " + name, sort: "gcp", root: r.root,
		ranges: []string{value.Text}, where: []Place{r.place(value, join(base, "ipCidrRange"))}}
	if m := gkeRange.FindStringSubmatch(name); m != nil {
		s.kind = map[string]Kind{"pods": Pod, "services": Service}[m[1]]
	}
	r.data.supplies = append(r.data.supplies, s)
}

func azureSupply(r *reader, n *document.Node, base string) {
	id := n.Get("id").Str()
	keys := []string{"azure:" + strings.ToLower(id), "azure:"}
	if props := n.Get("properties"); props.HasKey("addressPrefix", "addressPrefixes") {
		n, base = props, join(base, "properties")
	}
	r.supply("azure", "subnet "+last(id), n, base, []string{"addressPrefixes", "addressPrefix"}, keys...)
}

// assignSupplies gives supplies to the gaps that ask for them.
func (r *reader) assignSupplies() {
	f := r.data
	if f.version != "" && f.nodes == 0 {
		r.versionMarks(f.version, "", "", false)
	}
	r.gradeProbe()
	r.askForVPC()
	used := make([]bool, len(f.supplies))
	open := f.gaps[:0]
	asked := map[string]bool{} // sorts of supply that some gap asked for
	for _, g := range f.gaps {
		closed := false
		for i, s := range f.supplies {
			if g.need == "" || !asks(g, s) {
				continue
			}
			asked[s.sort] = true
			if matches(g, s) {
				used[i], closed = true, r.assign(g.kind, g.family, s, Complete) || closed
			}
		}
		if !closed {
			open = append(open, g)
		}
	}
	f.gaps = open
	alone := map[string]int{}
	for _, s := range f.supplies {
		if s.sort != "gcp" {
			alone[s.sort]++
		}
	}
	for i, s := range f.supplies {
		switch {
		case used[i]:
		case asked[s.sort] && s.sort != "gcp":
			f.warn("%s: %s is not referenced by the cluster's document; ignored", s.where[0], s.what)
		case r.clusters > 0 || asked[s.sort]:
		case alone[s.sort] > 1:
			f.warn("%s: %s is ambiguous; also pass the cluster description", s.where[0], s.what)
		case s.kind == "":
			f.warn("%s: the purpose of %s is unknown; also pass the cluster description", s.where[0], s.what)
		default:
			f.warn("%s: %s is assumed to be the %s range; also pass the cluster description to confirm it", s.where[0], s.what, s.kind)
			r.assign(s.kind, "", s, Configured)
		}
	}
}

// gradeProbe: servers before 1.33 have one range, and name it whole.
func (r *reader) gradeProbe() {
	if r.data.minor == 0 || r.data.minor >= 33 {
		return
	}
	for i := range r.data.Evidence {
		if e := &r.data.Evidence[i]; e.Kind == Service && e.rank == rankProbe {
			e.Grade = Complete
		}
	}
}

// askForVPC: where the VPC plugin runs, other pools are for some of the pods.
func (r *reader) askForVPC() {
	for _, g := range r.data.gaps {
		if strings.HasPrefix(g.need, "vpc:") {
			return
		}
	}
	if r.vpc {
		r.data.gaps = append(r.data.gaps, gap{kind: Pod, need: "vpc:", where: Place{Document: "aws-node"},
			why: "the Amazon VPC plugin assigns pods addresses from the VPC, whose ranges are not in the cluster", command: command("eks", Pod)})
	}
}

var sorts = map[string]string{"vpc": "aws", "azure": "azure", "gcp": "gcp", "vsw": "alibaba", "tke": "tencent", "vcn": "oci"}

// asks reports a gap that a supply of this sort could close.
func asks(g gap, s supply) bool {
	scheme, _, _ := strings.Cut(g.need, ":")
	return sorts[scheme] == s.sort
}

func matches(g gap, s supply) bool {
	for _, k := range s.keys {
		if k == g.need || k == "tke:*" {
			return true
		}
	}
	// A document that does not name its network takes what it is given.
	return g.need == "vpc:" || g.need == "azure:" || g.need == "vcn:"
}

// assign makes evidence of a supply, of one family or of both.
func (r *reader) assign(kind Kind, family Family, s supply, grade Grade) bool {
	given := false
	for i, value := range s.ranges {
		l, problems := ranges(value)
		switch {
		case len(problems) > 0:
			r.problems.Add(s.where[i].locate(problems)...)
		case !l.IsEmpty() && (family == "" || familyOf(l.Prefixes()[0].Addr()) == family):
			root := r.root
			r.root = s.root
			_ = r.add(kind, source{s.what, rankProvider, grade, false}, value, s.where[i]) // value was parsed above
			r.root, given = root, true
		}
	}
	return given
}
