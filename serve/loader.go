package serve

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/config/watch"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/ranges"
	"github.com/outrider-mesh/outrider/webhook"
)

// recorder is what the loader needs of an event recorder.
type recorder interface {
	Eventf(regarding, related runtime.Object, eventtype, reason, action, note string, args ...any)
}

// loader puts configurations in force. A configuration with an error changes
// nothing, not even in part: the last good one stays.
type loader struct {
	store       watch.Store[*inject.Injector]
	settings    *atomic.Pointer[inject.Injector]
	metrics     *webhook.Metrics
	environment inject.Environment
	learnt      atomic.Bool // the environment is known, and changes no more
	options     watch.Options
	client      kubernetes.Interface
	events      recorder
	log         logr.Logger
	// accepted takes each configuration that comes into force.
	accepted func(*config.Config)
	evidence evidence

	mu       sync.Mutex // of what follows, and of each offer
	texts    config.Texts
	started  bool   // there are texts
	reported string // what was last said of a configuration
}

// load judges the texts and puts them in force if they are right.
func (l *loader) load(texts config.Texts) {
	if texts == (config.Texts{}) {
		l.log.Info("there is no configuration in the ConfigMaps; the built-in defaults hold",
			"namespace", l.options.Namespace, "names", []string{l.options.Injector(), l.options.Mesh()})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.texts, l.started, l.reported = texts, true, ""
	l.offer()
}

// learned judges the configuration by what the cluster shows now.
func (l *loader) learned(facts *ranges.ClusterData) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.evidence.learn(facts)
	if !l.started {
		return
	}
	l.offer()
	// While an edit is rejected, the configuration in force follows all the same.
	if current := l.store.Current(); current != nil && current.Texts != l.texts {
		if _, ok := l.judge(current.Texts); ok {
			l.settings.Store(l.store.Current().Value)
		}
	}
}

// offer judges the latest texts by the latest evidence. What it came to is said
// once: evidence is read again and again.
func (l *loader) offer() {
	problems, ok := l.judge(l.texts)
	if !ok {
		if outcome := problems.Err().Error(); outcome != l.reported {
			l.reported = outcome
			l.reject(problems.Errors())
		}
		return
	}
	i := l.store.Current().Value
	// How many addresses a warning counts differs from reading to reading.
	if outcome := fmt.Sprintf("%s, %d warnings", i.Hash(), len(problems)); outcome != l.reported {
		l.reported = outcome
		l.accept(i, problems.Warnings())
		l.lost(i.RangeNames())
		return
	}
	l.settings.Store(i)
}

// lost reports ranges that stay in force without the evidence for them, by an
// event of its own: one of the same reason as another would be counted with it.
func (l *loader) lost(names *ranges.NamedRanges) {
	if names != nil && names.Lost != "" {
		l.event(corev1.EventTypeWarning, "RangesEvidenceLost", names.Lost)
	}
}

// judge puts texts in force in the store, if they are right.
func (l *loader) judge(texts config.Texts) (problem.List, bool) {
	problems, ok := l.store.Offer(texts, l.options.Labels(), func(c *config.Config) (*inject.Injector, problem.List) {
		return l.compile(c, texts)
	})
	if ok {
		l.evidence.hold(l.store.Current().Value)
	}
	return problems, ok
}

func (l *loader) compile(c *config.Config, texts config.Texts) (*inject.Injector, problem.List) {
	environment := l.environment
	environment.Ranges = l.evidence.names(c)
	i, problems := inject.Compile(c, environment)
	return i, append(problems, meshProblems(c, texts.Mesh, l.options.Labels().Mesh)...)
}

// check judges an edit of the texts in force as load would, and puts nothing in
// force. It is false while too little is known to judge by.
func (l *loader) check(edit func(*config.Texts)) (problem.List, bool) {
	if !l.learnt.Load() {
		return nil, false
	}
	var texts config.Texts
	if current := l.store.Current(); current != nil {
		texts = current.Texts
	}
	edit(&texts)
	c, problems := config.Parse(texts, l.options.Labels())
	if c == nil {
		return problems, true
	}
	_, more := l.compile(c, texts)
	return append(problems, more...), true
}

// configMaps is how edits are judged at admission.
func (l *loader) configMaps() *webhook.ConfigMaps {
	o := l.options
	return &webhook.ConfigMaps{Namespace: o.Namespace, Injector: o.Injector(), Mesh: o.Mesh(), Labels: o.Labels(), Check: l.check}
}

// gone reports a ConfigMap's deletion, which changes nothing.
func (l *loader) gone(name string) {
	l.log.Info("the ConfigMap was deleted; what it last said stays in force until a restart", "namespace", l.options.Namespace, "name", name)
}

func (l *loader) accept(i *inject.Injector, warnings problem.List) {
	before := l.settings.Load()
	l.settings.Store(i)
	l.accepted(i.Config())
	l.metrics.ConfigLoaded(i.Hash(), time.Now())
	for _, w := range warnings {
		l.log.Info("configuration: warning", "problem", w.String())
	}
	l.log.Info("configuration in force", "hash", i.Hash())
	if len(warnings) == 0 && before == nil {
		return // a start with nothing to say is no event
	}
	l.event(corev1.EventTypeNormal, "ConfigurationInForce", "configuration "+i.Hash()+" is in force"+list(", with warnings", warnings))
}

func (l *loader) reject(problems problem.List) {
	l.metrics.ConfigRejected()
	stays := "no configuration is in force, so pods are refused until this is mended"
	if in := l.settings.Load(); in != nil {
		stays = "configuration " + in.Hash() + " stays in force"
	}
	for _, p := range problems {
		l.log.Error(nil, "configuration: error", "problem", p.String())
	}
	l.log.Error(nil, "configuration rejected", "errors", len(problems), "consequence", stays)
	l.event(corev1.EventTypeWarning, "ConfigurationRejected", stays+list("", problems))
}

// event says it where the admin who edited the ConfigMap looks. The event names
// the ConfigMap's uid, by which kubectl describe finds it.
func (l *loader) event(kind, reason, note string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	for _, name := range []string{l.options.Injector(), l.options.Mesh()} {
		about, err := l.client.CoreV1().ConfigMaps(l.options.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			continue // it does not exist, or the log has to do
		}
		about.APIVersion, about.Kind = "v1", "ConfigMap" // a typed client leaves them out
		l.events.Eventf(about, nil, kind, reason, "Load", "%s", note)
		return
	}
}

// maxNote is below the 1,024 bytes the events API allows.
const maxNote = 1000

// list is the title, a colon and the problems, cut to what an event may hold.
func list(title string, problems problem.List) string {
	if len(problems) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(title + ":")
	for n, p := range problems {
		text := p.String()
		if b.Len()+len(text) > maxNote-150 {
			fmt.Fprintf(&b, " and %d more in the log;", len(problems)-n)
			break
		}
		b.WriteString(" " + text + ";")
	}
	return strings.TrimSuffix(b.String(), ";")
}
