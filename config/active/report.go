package active

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// Recorder is what an event recorder has.
type Recorder interface {
	Eventf(regarding, related runtime.Object, eventtype, reason, action, note string, args ...any)
}

// reporter reports in the log, in metrics, and in events on the ConfigMap, where
// its editor looks.
type reporter struct {
	options Options
	metrics *metrics
}

func (r *reporter) noConfigMaps() {
	maps := r.options.ConfigMaps
	r.options.Log.Info("no ConfigMaps found, using built-in defaults", "namespace", maps.Namespace, "names", []string{maps.Injector, maps.Mesh})
}

func (r *reporter) deleted(name string) {
	r.options.Log.Info("ConfigMap deleted; its last contents stay active until restart", "namespace", r.options.ConfigMaps.Namespace, "name", name)
}

func (r *reporter) applied(s *Snapshot, first bool) {
	r.metrics.applied(s.Hash(), time.Now())
	for _, w := range s.Warnings {
		r.options.Log.Info("configuration warning", "problem", w.String())
	}
	r.options.Log.Info("configuration applied", "hash", s.Hash())
	if len(s.Warnings) > 0 || !first { // a start without warnings is no event
		r.event(corev1.EventTypeNormal, "ConfigurationApplied", "configuration "+s.Hash()+" applied"+list(", with warnings", s.Warnings))
	}
	// An event of its own: one of the same reason would be counted with the other.
	if names := s.Injector.RangeNames(); names != nil && names.Lost != "" {
		r.event(corev1.EventTypeWarning, "RangesEvidenceLost", names.Lost)
	}
}

func (r *reporter) rejected(problems problem.List, active *Snapshot) {
	r.metrics.rejected()
	consequence := "no valid configuration; pods are denied until it is fixed"
	if active != nil {
		consequence = "configuration " + active.Hash() + " remains active"
	}
	for _, p := range problems {
		r.options.Log.Error(nil, "configuration error", "problem", p.String())
	}
	r.options.Log.Error(nil, "configuration rejected", "errors", len(problems), "consequence", consequence)
	r.event(corev1.EventTypeWarning, "ConfigurationRejected", consequence+list("", problems))
}

// event names the ConfigMap's uid, by which kubectl describe finds it.
func (r *reporter) event(kind, reason, note string) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	maps := r.options.ConfigMaps
	for _, name := range []string{maps.Injector, maps.Mesh} {
		about, err := r.options.Client.CoreV1().ConfigMaps(maps.Namespace).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			continue // it does not exist, or the log has to do
		}
		about.APIVersion, about.Kind = "v1", "ConfigMap" // a typed client omits them
		r.options.Events.Eventf(about, nil, kind, reason, "Load", "%s", note)
		return
	}
}

// maxNote is below the 1,024 bytes that the events API allows.
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
		if b.Len()+len(text) > maxNote-150 { // 150 bytes for what stands before the list
			fmt.Fprintf(&b, " and %d more in the log;", len(problems)-n)
			break
		}
		b.WriteString(" " + text + ";")
	}
	return strings.TrimSuffix(b.String(), ";")
}
