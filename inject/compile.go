package inject

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject/internal/podtemplate"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/internal/revision"
	"github.com/outrider-mesh/outrider/ranges"
	"github.com/outrider-mesh/outrider/templates"
)

// Compile prepares a configuration for use. The Injector is nil when a problem
// is an error; warnings alone leave it usable.
func Compile(cfg *config.Config, env Environment) (*Injector, problem.List) {
	i := &Injector{
		cfg: withControlPlane(cfg, env), env: env, names: rangeNames{&cfg.Values.Global, env.Ranges}, schema: podSchema(),
		templates: map[string]*compiledTemplate{},
		cache:     &resolvedCache{entries: map[string]*resolved{}},
	}
	sources := map[string]string{config.BuiltinTemplate: templates.Sidecar}
	maps.Copy(sources, cfg.Injection.Templates)
	problems := slices.Concat(i.revisionProblems(), i.envoyProblems(), i.resolveGlobals(), i.compileTemplates(sources))
	i.values = i.resolvedValues()
	i.hash = contentHash(cfg.Hash, sources[config.BuiltinTemplate], i.cfg.Mesh.GetDefaultConfig().GetDiscoveryAddress())
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

// withControlPlane is the configuration with the address of the control plane of the
// revision that injects, where the mesh configuration has none.
func withControlPlane(cfg *config.Config, env Environment) *config.Config {
	if cfg.Mesh.GetDefaultConfig().GetDiscoveryAddress() != "" {
		return cfg
	}
	out := *cfg
	out.Mesh = proto.CloneOf(cfg.Mesh)
	out.Mesh.DefaultConfig.DiscoveryAddress = config.DiscoveryAddress(
		cmp.Or(env.Namespace, cfg.Values.Global.Namespace), revision.Revision(revisionOf(cfg, env)))
	return &out
}

func (i *Injector) compileTemplates(sources map[string]string) problem.List {
	var problems problem.List
	for _, name := range slices.Sorted(maps.Keys(sources)) {
		t, err := podtemplate.Compile(name, sources[name], origins)
		if err != nil {
			problems = append(problems, i.templateProblem(name, err.Error(), "fix the template"))
			continue
		}
		i.templates[name] = &compiledTemplate{Template: t, name: name, source: sources[name]}
		if t.Missing != "" {
			problems.Add(i.unusable(name, t.Missing))
		}
	}
	return problems
}

// unusable is the problem of a template that cannot be rendered: a warning unless
// every pod gets it. Istio's own templates for gateways read data that only its
// gateway controller has.
func (i *Injector) unusable(name, missing string) problem.Problem {
	names := (&resolver{Injector: i}).defaultTemplates()
	if slices.Contains(names, name) {
		return i.templateProblem(name, missing, "fix the template, or remove it from the default templates")
	}
	return i.templateProblem(name, missing, "pods that request this template are denied").AsWarning()
}

// tryDefaults resolves and renders what a pod without annotations gets: what
// fails for that one would fail for all. Templates that read the pod are rendered
// for each pod.
func (i *Injector) tryDefaults() problem.List {
	r, err := i.resolved(podInputs{})
	if err != nil {
		var problems problem.List
		for _, p := range ProblemsOf(err) {
			problems.Add(p.In(i.cfg.Injection.Source))
		}
		return problems
	}
	problems := slices.Concat(i.bypassProblems(r.settings), i.probeProblems(r.settings))
	for n, o := range r.overlays {
		if o != nil && o.missing {
			p := i.templateProblem(r.settings.Templates[n], "prints "+noValue+": it uses a value that is not set",
				"set the value, or add a default: {{ valueOrDefault .Values.x `y` }}")
			problems.Add(p.AsWarning())
		}
	}
	return problems
}

// probeProblems warns about settings of the startup probe where pods without annotations have
// none. Istio's own values have the default of its chart.
func (i *Injector) probeProblems(s *Settings) problem.List {
	const path = "global.proxy.startupProbe.failureThreshold"
	failures := i.cfg.Values.Global.Proxy.StartupProbe.FailureThreshold
	_, replaced := i.cfg.Injection.Templates[config.BuiltinTemplate]
	if !i.initWaits(s) || replaced || !i.cfg.Values.Has(path) || failures == config.Default().Values.Global.Proxy.StartupProbe.FailureThreshold {
		return nil
	}
	return problem.List{i.inValues(problem.NoEffect("", "", "native sidecars with a redirect have no startup probe: istio-init waits for them, without a limit", "remove it"), path)}
}

// bypassProblems are warnings about what the lists of the values leave uncaptured.
func (i *Injector) bypassProblems(s *Settings) (out problem.List) {
	for _, p := range s.bypasses {
		if path, ok := strings.CutPrefix(p.Path, "values "); ok {
			out.Add(i.inValues(p, path))
		}
	}
	captures := s.capture().Captures(cidr.IPv4) || s.capture().Captures(cidr.IPv6)
	if rule := i.env.Ranges.Omitted(s.IncludeIPRanges); rule != "" && captures && i.cfg.Values.Has(valuesIncludeIP) {
		out.Add(i.valuesWarnings(valuesIncludeIP, rule)...)
	}
	return out
}

// templateProblem is an error about a template of the configuration.
func (i *Injector) templateProblem(template, rule, fix string) problem.Problem {
	c := &i.cfg.Injection
	return problem.Invalid("templates."+template, "", rule, fix).In(c.Source).On(c.Places[template].Line, c.Places[template].Column)
}

// resolveGlobals resolves the names in the two lists of the values.
func (i *Injector) resolveGlobals() problem.List {
	p := &i.cfg.Values.Global.Proxy
	problems := i.platformProblems()
	for _, g := range []struct {
		path     string
		list     cidr.List
		wildcard bool
		out      *rangeList
	}{
		{valuesIncludeIP, p.IncludeIPRanges, true, &i.include},
		{valuesExcludeIP, p.ExcludeIPRanges, false, &i.exclude},
	} {
		resolved, unresolved := i.names.resolve(g.list, g.wildcard)
		for _, p := range unresolved {
			problems.Add(i.inValues(p, g.path))
		}
		if len(unresolved) > 0 {
			continue
		}
		*g.out = resolved
		if resolved.fallback != "" {
			problems.Add(i.inValues(problem.Invalid("", cidr.Cluster, "resolves to global.platformFallback: "+resolved.fallback, "").AsWarning(), g.path))
		}
		if slices.Contains(g.list.Names(), cidr.Cluster) && i.env.Ranges != nil {
			problems.Add(i.valuesWarnings(g.path, i.env.Ranges.Warnings...)...)
		}
	}
	return problems
}

// valuesWarnings are warnings about a list of the values. The list itself is
// at the place that the warning has.
func (i *Injector) valuesWarnings(path string, texts ...string) (out problem.List) {
	for _, text := range texts {
		out.Add(i.inValues(problem.Bypass("", "", text, ""), path))
	}
	return out
}

// platformProblems warns about an unknown platform; with "cluster" in a list it is
// an error of that list.
func (i *Injector) platformProblems() problem.List {
	name := i.cfg.Values.Global.Platform
	if _, ok := ranges.Canonical(name); ok || name == "" || name == platformAuto {
		return nil
	}
	p := problem.Invalid("", name, "unknown platform, which has no defaults", "use auto or one of "+strings.Join(ranges.Platforms(), ", "))
	return problem.List{i.inValues(p.AsWarning(), valuesPlatform)}
}

// inValues is a problem at a path of the values.
func (i *Injector) inValues(p problem.Problem, path string) problem.Problem {
	place := i.cfg.Values.Places[path]
	return p.In(i.cfg.Values.Source).On(place.Line, place.Column).At(path)
}

// revisionProblems warns about values that were made for another revision.
func (i *Injector) revisionProblems() problem.List {
	values := i.cfg.Values.Revision
	if i.env.Revision == "" || values == "" || i.env.Revision.Matches(values) {
		return nil
	}
	p := problem.Invalid("", values, fmt.Sprintf("no effect: the control plane is of revision %q", i.env.Revision), "use the values of that revision")
	return problem.List{i.inValues(p.AsWarning(), "revision")}
}

// envoyProblems warns about a sidecar of an untested version in the values.
func (i *Injector) envoyProblems() problem.List {
	g := &i.cfg.Values.Global
	minor := config.UntestedEnvoy(annotation.CompleteImage(g.Proxy.Image, g.Hub, g.Tag))
	if _, replaced := i.cfg.Injection.Templates[config.BuiltinTemplate]; minor == "" || replaced {
		return nil
	}
	const path = "global.proxy.image"
	return problem.List{i.inValues(untestedEnvoy("", g.Proxy.Image, minor), path)}
}

func untestedEnvoy(at, image, minor string) problem.Problem {
	return problem.Invalid(at, image, "Envoy "+minor+" was not tested, and may reject the configuration of the sidecar", "use one of "+config.TestedEnvoys()).AsWarning()
}

// resolvedValues are the values as templates see them, with the revision, and the
// names in lists resolved.
func (i *Injector) resolvedValues() map[string]any {
	values := i.cfg.RawValues
	if r := i.env.Revision; r != "" && !r.Matches(i.cfg.Values.Revision) {
		values = maps.Clone(values)
		values["revision"] = string(r)
	}
	if i.rangesKey() == "" {
		return values
	}
	raw := runtime.DeepCopyJSON(values)
	global, _ := raw["global"].(map[string]any)
	if proxy, ok := global["proxy"].(map[string]any); ok {
		proxy["includeIPRanges"], proxy["excludeIPRanges"] = i.include.list.String(), i.exclude.list.String()
	}
	return raw
}
