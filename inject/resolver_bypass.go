package inject

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// bypasses warns about traffic that the lists leave uncaptured, each fact once: it
// is part of the settings because it depends on nothing else, and comparing long
// lists takes time.
func (r *resolver) bypasses() {
	lost, all := r.excludedWhole()
	r.out.bypasses.Add(lost...)
	r.out.unpoliced = r.bypassesPolicy(len(lost) > 0)
	if all {
		return // which ranges are missing does not matter then
	}
	r.out.bypasses.Add(r.missingFamily()...)
	if _, own := r.in.annotations[annotation.IncludeOutboundIPRanges]; own {
		if rule := r.env.Ranges.Omitted(r.out.IncludeIPRanges); rule != "" {
			r.out.bypasses.Add(r.bypass("includeOutboundIPRanges", rule, ""))
		}
	}
	r.out.bypasses.Add(r.mainInterface()...)
}

// capture is the lists of the settings.
func (s *Settings) capture() cidr.Capture {
	return cidr.Capture{Include: s.IncludeIPRanges, Exclude: s.ExcludeIPRanges, IncludePorts: s.IncludePorts, ExcludePorts: s.ExcludePorts}
}

// excludedWhole are the address families of which something is included and all of
// it excluded again. all reports that no family is captured.
func (r *resolver) excludedWhole() (out problem.List, all bool) {
	c := r.out.capture()
	all = true
	for _, f := range []cidr.Family{cidr.IPv4, cidr.IPv6} {
		switch {
		case !c.Includes(f):
		case c.Captures(f):
			all = false
		default:
			out.Add(r.excluded(fmt.Sprintf("excludes every included %s address: no %s traffic is captured", f, f), "exclude fewer ranges"))
		}
	}
	if !all || len(out) == 0 {
		return out, false
	}
	return problem.List{r.excluded("excludes everything that is included: no traffic is captured",
		"exclude less, or set sidecar.istio.io/interceptionMode: NONE")}, true
}

// excluded is at the ports where these exclude everything, else at the ranges.
func (r *resolver) excluded(rule, fix string) problem.Problem {
	c := r.out.capture()
	if c.Exclude = (cidr.List{}); c.Include.IsEmpty() && !c.Captures(cidr.IPv4) {
		return r.bypass("excludeOutboundPorts", rule, fix)
	}
	return r.bypass("excludeOutboundIPRanges", rule, fix)
}

// missingFamily is about an include list with ranges of one address family. The
// ranges of names are those of the cluster: it may have one family only.
func (r *resolver) missingFamily() problem.List {
	have, missing, ok := r.out.IncludeIPRanges.MissingFamily()
	used := r.env.Ranges.Uses(cidr.Family(missing))
	if !ok || r.namedInclude && !used {
		return nil
	}
	although, except := "", ""
	fix := fmt.Sprintf(`add %s ranges, or use "*"`, missing)
	if used {
		although = fmt.Sprintf(", although the cluster uses %s", missing)
	} else {
		fix += "; not needed on single-stack clusters"
	}
	if !r.out.IncludePorts.IsEmpty() {
		except = ", except to included ports"
	}
	return problem.List{r.bypass("includeOutboundIPRanges", fmt.Sprintf("only %s ranges%s: all %s traffic bypasses the sidecar%s", have, although, missing, except), fix)}
}

// mainInterface is about the one interface that nearly all pods have.
func (r *resolver) mainInterface() problem.List {
	const main = "eth0"
	for _, name := range r.out.ExcludeInterfaces {
		prefix, any := strings.CutSuffix(name, "+")
		if name == main || any && strings.HasPrefix(main, prefix) {
			return problem.List{r.bypass("excludeInterfaces", "eth0 is the main interface of most pods: all their traffic bypasses the sidecar",
				"exclude others, or set sidecar.istio.io/interceptionMode: NONE")}
		}
	}
	return nil
}

// bypassesPolicy is about all that REGISTRY_ONLY does not apply to. Where the exclude
// list has been reported already, its own part is omitted.
func (r *resolver) bypassesPolicy(reported bool) (out problem.List) {
	if !r.registryOnly() {
		return nil
	}
	s := &r.out
	if !s.ExcludeIPRanges.IsEmpty() && !reported {
		out.Add(r.bypass("excludeOutboundIPRanges", "bypasses REGISTRY_ONLY: this traffic does not go through the sidecar", ""))
	}
	if !s.IncludeIPRanges.IsWildcard() {
		out.Add(r.bypass("includeOutboundIPRanges", "REGISTRY_ONLY applies to these ranges only: other traffic does not go through the sidecar", ""))
	}
	if !s.ExcludePorts.IsEmpty() {
		out.Add(r.bypass("excludeOutboundPorts", "bypasses REGISTRY_ONLY: this traffic does not go through the sidecar", ""))
	}
	if len(s.ExcludeInterfaces) > 0 && len(r.mainInterface()) == 0 {
		out.Add(r.bypass("excludeInterfaces", "bypasses REGISTRY_ONLY: this traffic does not go through the sidecar", ""))
	}
	return out
}

// maxList bounds, in bytes, a list in a warning, of which the API server shows 256
// characters.
const maxList = 60

// bypass is a warning about a setting, at where its value comes from.
func (r *resolver) bypass(name, rule, fix string) problem.Problem {
	s := r.out.Setting(name)
	p := problem.Bypass(s.place(), "", rule, fix)
	if s.Value != "" {
		p.Value = strconv.Quote(problem.Clip(s.Value, maxList))
	}
	return p
}

// place is the source of a setting as a message names it, without the evidence for
// names: the annotation, the key of the values, or the setting itself.
func (s Setting) place() string {
	source, _, _ := strings.Cut(string(s.Source), " (")
	switch {
	case strings.HasPrefix(source, sourceAnnotation):
		return source
	case strings.HasPrefix(source, sourceValues):
		return "values " + strings.TrimPrefix(source, sourceValues)
	}
	return s.Name
}
