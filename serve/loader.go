package serve

import (
	"fmt"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/webhook"
)

// names are those of the two ConfigMaps.
type names struct {
	namespace, injector, mesh string
}

// namesOf follows Istio: a revision other than the default one has ConfigMaps
// of its own.
func namesOf(namespace, revision string) names {
	suffix := ""
	if revision != "" && revision != webhook.DefaultRevision {
		suffix = "-" + revision
	}
	return names{namespace, "istio-sidecar-injector" + suffix, "istio" + suffix}
}

// labels say in messages where a line is.
func (n names) labels() config.Labels {
	at := func(name, key string) string {
		return fmt.Sprintf("ConfigMap %s/%s, key %q", n.namespace, name, key)
	}
	return config.Labels{Config: at(n.injector, "config"), Values: at(n.injector, "values"), Mesh: at(n.mesh, "mesh")}
}

// recorder is what the loader needs of an event recorder.
type recorder interface {
	Eventf(regarding, related runtime.Object, eventtype, reason, action, note string, args ...any)
}

// environment tells about the cluster.
type environment interface {
	environment() (inject.Environment, error)
}

// loader puts configurations in force. A configuration with an error changes
// nothing, not even in part: the last good one stays.
type loader struct {
	settings *webhook.Settings
	metrics  *webhook.Metrics
	cluster  environment
	events   recorder
	log      logr.Logger
	names    names

	// injector and mesh are the ConfigMaps last seen. One that is deleted keeps
	// its last texts: a slip of the hand must not put the defaults in force.
	injector, mesh *corev1.ConfigMap
}

// load puts the ConfigMaps in force; nil stands for one that does not exist.
// The error says that nothing could be judged and the call is worth repeating;
// a configuration that is wrong is no such error.
func (l *loader) load(injector, mesh *corev1.ConfigMap) error {
	env, err := l.cluster.environment()
	if err != nil {
		return err
	}
	l.injector = l.kept(l.names.injector, l.injector, injector)
	l.mesh = l.kept(l.names.mesh, l.mesh, mesh)

	parsed, problems := config.Parse(l.texts(), l.names.labels())
	var injectorInForce *inject.Injector
	if parsed != nil {
		var more config.Problems
		injectorInForce, more = inject.Compile(parsed, env)
		problems = append(problems, more...)
	}
	if injectorInForce == nil {
		l.reject(problems.Errors())
		return nil
	}
	l.accept(injectorInForce, problems.Warnings())
	return nil
}

// kept chooses between the ConfigMap as it is now and as it was.
func (l *loader) kept(name string, before, now *corev1.ConfigMap) *corev1.ConfigMap {
	switch {
	case now != nil:
		return now
	case before == nil:
		l.log.Info("the ConfigMap does not exist; the built-in defaults hold in its place", "namespace", l.names.namespace, "name", name)
	default:
		l.log.Info("the ConfigMap was deleted; what it last said stays in force until a restart", "namespace", l.names.namespace, "name", name)
	}
	return before
}

func (l *loader) texts() config.Texts {
	var t config.Texts
	if l.injector != nil {
		t.Config, t.Values = l.injector.Data["config"], l.injector.Data["values"]
	}
	if l.mesh != nil {
		t.Mesh = l.mesh.Data["mesh"]
	}
	return t
}

func (l *loader) accept(i *inject.Injector, warnings config.Problems) {
	before := l.settings.Load()
	l.settings.Store(i)
	l.metrics.ConfigLoaded(i.Hash(), time.Now())
	for _, w := range warnings {
		l.log.Info("configuration: warning", "problem", w.String())
	}
	if before != nil && before.Hash() == i.Hash() {
		l.log.Info("configuration read again, unchanged", "hash", i.Hash())
		return
	}
	l.log.Info("configuration in force", "hash", i.Hash())
	l.event(corev1.EventTypeNormal, "ConfigurationInForce", fmt.Sprintf("configuration %s is in force%s", i.Hash(), list(" with warnings", warnings)))
}

func (l *loader) reject(errors config.Problems) {
	l.metrics.ConfigRejected()
	stays := "no configuration is in force, so pods are refused until this is mended"
	if in := l.settings.Load(); in != nil {
		stays = "configuration " + in.Hash() + " stays in force"
	}
	for _, e := range errors {
		l.log.Error(nil, "configuration: error", "problem", e.String())
	}
	l.log.Error(nil, "configuration rejected", "errors", len(errors), "consequence", stays)
	l.event(corev1.EventTypeWarning, "ConfigurationRejected", stays+list("", errors))
}

// event says it where the admin who edited the ConfigMap looks.
func (l *loader) event(kind, reason, note string) {
	about := l.injector
	if about == nil {
		about = l.mesh
	}
	if about == nil {
		return
	}
	about = about.DeepCopy()
	about.APIVersion, about.Kind = "v1", "ConfigMap" // lists leave them out
	l.events.Eventf(about, nil, kind, reason, "Load", "%s", note)
}

// maxNote is what the events API allows.
const maxNote = 1000

// list is ": " and the problems, cut to what an event may hold.
func list(title string, problems config.Problems) string {
	if len(problems) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(title + ":")
	for n, p := range problems {
		text := p.String()
		if b.Len()+len(text) > maxNote-150 {
			fmt.Fprintf(&b, " and %d more in the log", len(problems)-n)
			break
		}
		b.WriteString(" " + text + ";")
	}
	return strings.TrimSuffix(b.String(), ";")
}
