package check

import (
	"fmt"
	"net/netip"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/ranges"
)

// known checks that the cluster's ranges were found.
func known(f *Facts, out *findings) {
	if f.unread(out, RangeSources) {
		return
	}
	if value, ok := f.Ranges.IncludeIPRanges(); ok {
		out.pass(fmt.Sprintf("The ranges of the cluster are %s (platform %s).", value, orUnknown(f.Ranges.Platform)))
		return
	}
	if f.Injector != nil {
		if s := f.settings(out); s != nil && s.IncludeIPRanges.IsWildcard() {
			out.pass("The ranges of the cluster are not known completely, and the configuration does not need them.")
			return
		}
	}
	out.warn("The ranges of the cluster are not known completely, so that a range list cannot have the name \"cluster\".",
		"find them, and set them in place of the name, or set global.platformFallback", "outrider ranges")
	for _, m := range f.Ranges.Missing {
		out.detail(fmt.Sprintf("%s: %s", m.Kind, m.Why))
	}
}

func orUnknown(platform string) string {
	if platform == "" {
		return "unknown"
	}
	return platform
}

// settings are those of a pod without annotations; nil where it is not known.
func (f *Facts) settings(out *findings) *inject.Settings {
	if f.Injector == nil {
		out.skip("The configuration cannot be read: see configuration-valid.")
		return nil
	}
	const pod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"any","labels":{"sidecar.istio.io/inject":"true"}},"spec":{"containers":[{"name":"any","image":"any"}]}}`
	r, err := f.Injector.Inject(inject.Request{Pod: []byte(pod), Namespace: "default"})
	if err != nil || r.Settings == nil {
		out.skip("The settings of a pod without annotations are not known.")
		return nil
	}
	return r.Settings
}

// cover checks that the addresses of the cluster are where the include list has them: with
// a list that is out of date, part of the cluster bypasses the sidecar.
func cover(f *Facts, out *findings) {
	if f.unread(out, RangeSources) {
		return
	}
	s := f.settings(out)
	switch {
	case s == nil:
		return
	case s.IncludeIPRanges.IsWildcard():
		out.pass("All addresses are redirected.")
		return
	case s.IncludeIPRanges.IsEmpty():
		out.pass("No address is redirected by default.")
		return
	}
	var outside []string
	for _, p := range f.Data.NodeCIDR {
		if !s.IncludeIPRanges.ContainsPrefix(p) {
			outside = append(outside, "pods of a node: "+p.String())
		}
	}
	for _, addresses := range []struct {
		what string
		of   []ranges.Address
	}{{"Service", f.Data.ClusterIP}, {"pod", f.Data.PodIP}} {
		for _, a := range addresses.of {
			if !s.IncludeIPRanges.Contains(a.Addr) && !inPrefixes(f.Data.NodeCIDR, a.Addr) {
				outside = append(outside, fmt.Sprintf("%s address %s", addresses.what, a.Addr))
			}
		}
	}
	if len(outside) == 0 {
		out.pass("All addresses of the cluster in use are in includeIPRanges.")
		return
	}
	fix := "find the ranges, and set them"
	var commands []string
	if value, ok := f.Ranges.IncludeIPRanges(); ok {
		fix = fmt.Sprintf("set global.proxy.includeIPRanges to %q, or to \"cluster\", which follows the cluster", value)
		commands = []string{"outrider preview --set global.proxy.includeIPRanges=" + strings.ReplaceAll(value, ",", `\,`)}
	}
	out.fail("Addresses of the cluster are not in includeIPRanges: connections to them bypass the sidecar.", fix, commands...)
	out.detail(firsts(outside)...)
}

func inPrefixes(all []netip.Prefix, a netip.Addr) bool {
	for _, p := range all {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// exclusions checks that the exclude list does not hold what it should not.
func exclusions(f *Facts, out *findings) {
	if f.unread(out, RangeSources) {
		return
	}
	s := f.settings(out)
	if s == nil {
		return
	}
	if s.ExcludeIPRanges.IsEmpty() {
		out.pass("No address is excluded by default.")
		return
	}
	for _, kind := range []ranges.Kind{ranges.Service, ranges.Pod} {
		if of := f.Ranges.Of(kind); !of.IsEmpty() && s.ExcludeIPRanges.ContainsList(of) {
			out.warn(fmt.Sprintf("excludeIPRanges holds all %s addresses of the cluster (%s): no connection within the cluster goes through the sidecar.", kind, of), "remove them from global.proxy.excludeIPRanges")
		}
	}
	if len(out.results) == 0 {
		out.pass("The excluded ranges leave the cluster's own addresses to the sidecar.")
	}
}

// registryOnly reports the mesh's policy.
func (f *Facts) registryOnly() bool {
	return f.Injector != nil && f.Injector.Config().Mesh.GetOutboundTrafficPolicy().GetMode() == meshconfig.MeshConfig_OutboundTrafficPolicy_REGISTRY_ONLY
}
