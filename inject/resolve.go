package inject

import (
	"encoding/json"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/jsontree"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// resolve returns the settings for the inputs, or all problems.
func (i *Injector) resolve(in podInputs) (*Settings, problem.List) {
	r := &resolver{Injector: i, in: in}
	r.out.grace = defaultGrace
	if in.grace != nil {
		r.out.grace = *in.grace
	}
	r.interceptionMode()
	r.ranges()
	r.ports()
	r.bypasses()
	r.uncaptured()
	r.proxyConfig() // before what depends on it
	r.nativeSidecar()
	r.hold()
	r.identity()
	r.images()
	r.logging()
	r.resources()
	r.concurrency()
	r.volumes()
	r.templateNames()
	if len(r.problems) > 0 {
		return nil, r.problems
	}
	return &r.out, nil
}

// resolved returns the settings and overlays for the inputs, from the cache if
// they were seen before.
func (i *Injector) resolved(in podInputs) (*resolved, error) {
	key := in.key()
	if r := i.cache.get(key); r != nil {
		return r, nil
	}
	in = in.cloned()
	settings, problems := i.resolve(in)
	if len(problems) > 0 {
		return nil, reject(RejectedAnnotation, problems...)
	}
	r := &resolved{settings: settings, effective: effectiveJSON(settings)}
	for _, name := range []string{annotation.ProxyCPU, annotation.ProxyMemory, annotation.ProxyCPULimit, annotation.ProxyMemoryLimit} {
		_, ok := in.annotations[name]
		r.setsResources = r.setsResources || ok
	}
	for _, name := range settings.Templates {
		t := i.templates[name]
		if t == nil {
			return nil, reject(RejectedUnknown, i.unknownTemplate(name, in))
		}
		if t.Missing != "" {
			p := i.unknownTemplate(name, in)
			p.Rule, p.Fix = "the template cannot be rendered: "+t.Missing, "request another template, or fix it in the configuration"
			return nil, reject(RejectedTemplate, p)
		}
		if t.ReadsPod {
			r.overlays = append(r.overlays, nil)
			continue
		}
		o, err := i.render(t, i.data(settings))
		if err != nil {
			return nil, reject(RejectedTemplate, problem.Invalid("", "", err.Error(), ""))
		}
		r.overlays = append(r.overlays, o)
	}
	if len(key) <= maxCachedKey {
		i.cache.put(key, r)
	}
	return r, nil
}

// effectiveJSON is the settings in the status annotation: the ranges always, as users
// look for them, all others where they are not the default.
func effectiveJSON(s *Settings) json.RawMessage {
	b := []byte{'{'}
	for _, e := range s.List {
		set := e.Source != SourceDefault && e.Source != SourceKubernetes
		if !set && e.Name != "includeOutboundIPRanges" && e.Name != "excludeOutboundIPRanges" {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(jsontree.AppendString(b, e.Name), `:{"value":`...)
		b = append(jsontree.AppendString(b, e.Value), `,"source":`...)
		b = append(jsontree.AppendString(b, string(e.Source)), '}')
	}
	return append(b, '}')
}
