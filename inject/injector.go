package inject

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/internal/revision"
	"github.com/outrider-mesh/outrider/ranges"

	meshconfig "istio.io/api/mesh/v1alpha1"
)

// Injector injects pods with one compiled configuration.
type Injector struct {
	cfg       *config.Config
	env       Environment
	names     rangeNames
	include   rangeList // of the values
	exclude   rangeList // of the values
	values    map[string]any
	hash      string
	templates map[string]*compiledTemplate
	schema    *schema
	cache     *resolvedCache
}

// Config returns the configuration the injector was compiled from.
func (i *Injector) Config() *config.Config { return i.cfg }

// RangeNames returns the ranges of the names in range lists.
func (i *Injector) RangeNames() *ranges.NamedRanges { return i.env.Ranges }

// Hash identifies the configuration, the ranges of the names in its range lists,
// and the built-in templates. The status annotation of a pod has it as configHash.
func (i *Injector) Hash() string { return i.hash }

// ReadsPod reports whether one of the templates reads the pod, so that pods with the same
// settings may get different parts.
func (i *Injector) ReadsPod(names []string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return i.templates[name] != nil && i.templates[name].ReadsPod })
}

// registryOnly reports whether undeclared destinations are denied.
func (i *Injector) registryOnly() bool {
	return i.cfg.Mesh.GetOutboundTrafficPolicy().GetMode() == meshconfig.MeshConfig_OutboundTrafficPolicy_REGISTRY_ONLY
}

func (i *Injector) revision() string { return revisionOf(i.cfg, i.env) }

// revisionOf is the name of the revision that injects.
func revisionOf(cfg *config.Config, env Environment) string {
	if r := env.Revision; r != "" {
		return r.String()
	}
	return revision.Revision(cfg.Values.Revision).String()
}

// selects reports whether a value of the label istio.io/rev selects the revision that
// injects.
func (i *Injector) selects(label string) bool {
	return revision.Revision(i.revision()).Matches(label) || slices.Contains(i.env.Tags, revision.Tag(label))
}

// rangesKey is the two lists with their names resolved, for the hash; empty where
// they have no names.
func (i *Injector) rangesKey() string {
	if i.include.evidence+i.exclude.evidence == "" {
		return ""
	}
	return i.include.list.String() + " " + i.exclude.list.String()
}

// data returns what every template sees of configuration and settings.
func (i *Injector) data(s *Settings) templateData {
	g := &i.cfg.Values.Global
	host, port := splitHostPort(s.ProxyConfig.GetDiscoveryAddress())
	return templateData{
		ProxyConfig: s.ProxyConfig, MeshConfig: i.cfg.Mesh, Values: i.values,
		Revision: i.revision(), NativeSidecars: s.NativeSidecar,
		ProxyImage: s.ProxyImage, ProxyInitImage: s.InitImage,
		ProxyUID: s.ProxyUID, ProxyGID: s.ProxyGID,
		InboundTrafficPolicyMode: i.cfg.Mesh.GetInboundTrafficPolicy().GetMode().String(),
		Outrider: templateSettings{
			InterceptionMode: s.InterceptionMode, InitArgs: s.InitArgs(), InitWaits: i.initWaits(s),
			Resources: s.Resources, InitResources: g.ProxyInit.Resources,
			Volumes: s.Volumes, VolumeMounts: s.VolumeMounts, MountsAPIToken: mountsAPIToken(s.VolumeMounts),
			LogLevel: s.LogLevel, ComponentLogLevel: s.ComponentLogLevel, Concurrency: s.Concurrency,
			DrainSeconds:     min(int64(s.ProxyConfig.GetTerminationDrainDuration().AsDuration().Seconds()), s.grace-1),
			DrainTime:        s.ProxyConfig.GetDrainDuration().GetSeconds(),
			PreStopSleep:     s.grace > 1 && (i.env.Kubernetes == (Version{}) || i.env.Kubernetes.atLeast(1, 30)),
			ControlPlane:     s.ProxyConfig.GetDiscoveryAddress(),
			ControlPlaneHost: host, ControlPlanePort: port,
			CAConfigMap:     revision.Revision(i.revision()).Name(CAConfigMap),
			ImagePullPolicy: g.ImagePullPolicy, ImagePullSecrets: g.ImagePullSecrets,
			SeccompProfile: g.Proxy.SeccompProfile, Lifecycle: g.Proxy.Lifecycle, Privileged: g.Proxy.Privileged,
			ClusterDomain: g.Proxy.ClusterDomain,
			LogAsJSON:     g.LogAsJSON,
			Probes:        g.Proxy.StatusPort != 0,
			StartupProbe:  g.Proxy.StartupProbe.Enabled, StartupFailures: g.Proxy.StartupProbe.FailureThreshold,
			ReadinessDelay: g.Proxy.ReadinessInitialDelaySeconds, ReadinessPeriod: g.Proxy.ReadinessPeriodSeconds,
			ReadinessFailures: g.Proxy.ReadinessFailureThreshold,
			ProxyMetadata:     s.ProxyConfig.GetProxyMetadata(),
		},
	}
}

// initWaits reports whether istio-init waits until the sidecar is ready, which starts
// before it and needs no startup probe then: the kubelet looks for the end of an init
// container once a second, and makes the request of a startup probe once a second, so that
// a pod starts that much earlier.
func (i *Injector) initWaits(s *Settings) bool {
	p := &i.cfg.Values.Global.Proxy
	return s.NativeSidecar && s.InterceptionMode != annotation.InterceptionNone && p.StatusPort != 0 && p.StartupProbe.Enabled
}

// render executes one template for a pod and parses its output.
func (i *Injector) render(t *compiledTemplate, data templateData) (*overlay, error) {
	if t.Mutates {
		data.Values = runtime.DeepCopyJSON(data.Values)
	}
	text, err := t.Render(data)
	if err != nil {
		return nil, err
	}
	return parseOverlay(t.name, text, i.schema)
}

// podInputs are the parts of a request that settings depend on. Two pods with
// the same key resolve to the same settings.
type podInputs struct {
	annotations map[string]string
	namespace   map[string]string // the namespace's annotations
	uid, gid    *int64            // runAsUser and runAsGroup of the pod's own istio-proxy container
	taken       []int64           // ids of the applications; set where the namespace has a range of ids
	grace       *int64            // terminationGracePeriodSeconds; nil: defaultGrace
}

// defaultGrace is the terminationGracePeriodSeconds of a pod that does not set it, in
// seconds; maxGrace is above all that a setting is compared with.
const (
	defaultGrace = 30
	maxGrace     = 3600
)

// settingNames are the annotations that resolve reads, in key order.
var settingNames = [...]string{
	annotation.IncludeOutboundIPRanges, annotation.ExcludeOutboundIPRanges,
	annotation.IncludeOutboundPorts, annotation.ExcludeOutboundPorts, annotation.ExcludeInterfaces,
	annotation.InterceptionMode, annotation.NativeSidecar, annotation.InjectTemplates,
	annotation.ProxyImage, annotation.ProxyImageType,
	annotation.ProxyCPU, annotation.ProxyMemory, annotation.ProxyCPULimit, annotation.ProxyMemoryLimit,
	annotation.LogLevel, annotation.ComponentLogLevel,
	annotation.UserVolume, annotation.UserVolumeMount, annotation.ProxyConfig,
}

// key identifies the inputs; "" for a pod that sets nothing.
func (in podInputs) key() string {
	if in.uid == nil && in.gid == nil && in.grace == nil && len(in.annotations) == 0 && len(in.namespace) == 0 {
		return ""
	}
	var b []byte
	add := func(name, value string) {
		b = append(strconv.AppendQuote(append(b, name...), value), ';')
	}
	for _, name := range settingNames {
		if value, ok := in.annotations[name]; ok {
			add(name, value)
		}
	}
	for _, name := range []string{annotation.OpenShiftUIDRange, annotation.OpenShiftSupplementalGroups} {
		if value, ok := in.namespace[name]; ok {
			add(name, value)
		}
	}
	if in.uid != nil {
		add("uid", formatInt(*in.uid))
	}
	if in.gid != nil {
		add("gid", formatInt(*in.gid))
	}
	for _, id := range in.taken {
		add("taken", formatInt(id))
	}
	if in.grace != nil {
		add("grace", formatInt(*in.grace))
	}
	return string(b)
}

// cloned is a copy that shares no memory with the pod's text: what is cached must not keep
// the text, which may be large.
func (in podInputs) cloned() podInputs {
	annotations := make(map[string]string, len(in.annotations))
	for _, name := range settingNames {
		if value, ok := in.annotations[name]; ok {
			annotations[name] = strings.Clone(value)
		}
	}
	in.annotations = annotations
	return in
}

// resolved is what pods with the same inputs share.
type resolved struct {
	settings *Settings
	// overlays are in the order of settings.Templates; nil where the template
	// reads the pod and has to be rendered for each.
	overlays []*overlay
	// effective is the settings' part of the status annotation.
	effective json.RawMessage
	// setsResources is set when annotations set a request or limit.
	setsResources bool
}

// resolvedCache holds the settings and overlays of recent inputs. Most pods of a
// cluster share a handful.
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

// put evicts any entry: all cost the same to compute again.
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

func (i *Injector) unknownTemplate(name string, in podInputs) problem.Problem {
	path := annotation.Path(annotation.InjectTemplates, false)
	if _, ok := in.annotations[annotation.InjectTemplates]; !ok {
		path = "defaultTemplates"
	}
	p := problem.Invalid(path, name, "no such template", "use one of "+strings.Join(slices.Sorted(maps.Keys(i.templates)), ", "))
	p.Type = problem.TypeNotSupported
	return p
}
