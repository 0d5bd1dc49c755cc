package inject

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"slices"
	"sync"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject/internal/podtemplate"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/templates"
)

// Compile prepares a configuration for use. The Injector is nil when a problem
// is an error; warnings alone leave it usable.
func Compile(cfg *config.Config, env Environment) (*Injector, problem.List) {
	i := &Injector{
		cfg: cfg, env: env, names: rangeNames{&cfg.Values.Global, env.Ranges}, schema: podSchema(),
		templates: map[string]*compiledTemplate{},
		cache:     &resolvedCache{entries: map[string]*resolved{}},
	}
	sources := map[string]string{config.BuiltinTemplate: templates.Sidecar}
	maps.Copy(sources, cfg.Injection.Templates)
	problems := append(i.resolveGlobals(), i.compileTemplates(sources)...)
	i.values = i.resolvedValues()
	i.hash = contentHash(cfg.Hash, sources[config.BuiltinTemplate])
	if key := i.rangesKey(); key != "" {
		i.hash = contentHash(i.hash, key)
	}
	if len(problems.Errors()) == 0 {
		problems = append(problems, i.tryDefaults()...)
	}
	if len(problems.Errors()) > 0 {
		return nil, problems
	}
	return i, problems
}

func (i *Injector) compileTemplates(sources map[string]string) problem.List {
	var problems problem.List
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		t, err := podtemplate.Compile(name, sources[name], origins)
		if err != nil {
			problems = append(problems, i.templateProblem(name, err.Error(), "mend the template"))
			continue
		}
		i.templates[name] = &compiledTemplate{Template: t, name: name}
	}
	return problems
}

// tryDefaults resolves and renders what a pod without annotations gets: what
// fails for that one would fail for all. Templates that read the pod are left to
// the pods.
func (i *Injector) tryDefaults() problem.List {
	r, err := i.resolved(podInputs{})
	if err != nil {
		return problem.List{i.templateProblem("", err.Error(), "mend it before it is used")}
	}
	var problems problem.List
	for n, o := range r.overlays {
		if o != nil && o.missing {
			p := i.templateProblem(r.settings.Templates[n], "prints "+noValue+": it uses a value that is not set",
				"set the value, or give a default: {{ valueOrDefault .Values.x `y` }}")
			p.Severity = problem.Warning
			problems = append(problems, p)
		}
	}
	return problems
}

// templateProblem is an error about a template of the configuration, or about
// what the configuration gives to pods where template is "".
func (i *Injector) templateProblem(template, rule, fix string) problem.Problem {
	c := &i.cfg.Injection
	p := problem.Problem{Severity: problem.Error, Source: c.Source, Rule: rule, Fix: fix}
	if template != "" {
		p.Path = "templates." + template
		p.Line, p.Column = c.Places[template].Line, c.Places[template].Column
	}
	return p
}

func contentHash(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// resolved is what pods with the same inputs share.
type resolved struct {
	settings *Settings
	// overlays are in the order of settings.Templates; nil where the template
	// reads the pod and has to be rendered for each.
	overlays []*overlay
	// effective is the settings' part of the status annotation.
	effective json.RawMessage
}

// resolvedCache remembers the settings and overlays of the inputs seen lately.
// Most pods of a cluster share a handful.
type resolvedCache struct {
	mu      sync.RWMutex
	entries map[string]*resolved
}

// maxCached bounds the cache: an entry is about 50 KB, so it stays below 13 MB.
const maxCached = 256

func (c *resolvedCache) get(key string) *resolved {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.entries[key]
}

// put makes room by dropping any entry: all cost the same to make again.
func (c *resolvedCache) put(key string, r *resolved) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for victim := range c.entries {
		if len(c.entries) < maxCached {
			break
		}
		delete(c.entries, victim)
	}
	c.entries[key] = r
}

// maxCachedKey keeps a pod with a huge annotation from filling the cache.
const maxCachedKey = 16 << 10

// resolved returns the settings and overlays for the inputs, from the cache if
// they were seen before.
func (i *Injector) resolved(in podInputs) (*resolved, error) {
	key := in.key()
	if r := i.cache.get(key); r != nil {
		return r, nil
	}
	settings, problems := i.resolve(in)
	if len(problems) > 0 {
		return nil, refuse(RefusedAnnotation, problems...)
	}
	r := &resolved{settings: settings, effective: effectiveJSON(settings)}
	for _, name := range settings.Templates {
		t := i.templates[name]
		if t == nil {
			return nil, refuse(RefusedUnknown, i.unknownTemplate(name))
		}
		if t.ReadsPod {
			r.overlays = append(r.overlays, nil)
			continue
		}
		o, err := i.render(t, i.data(settings))
		if err != nil {
			return nil, refuse(RefusedTemplate, err.Error())
		}
		r.overlays = append(r.overlays, o)
	}
	if len(key) <= maxCachedKey {
		i.cache.put(key, r)
	}
	return r, nil
}

func (i *Injector) unknownTemplate(name string) string {
	return "annotation \"inject.istio.io/templates\": value " + quoted(cut(name)) +
		": no such template; the configuration has: " + i.templateNames()
}
