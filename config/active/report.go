package active

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/outrider-mesh/outrider/config"
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

	gone  string   // the ConfigMaps that do not exist, as last reported
	wrong []string // the records that are not accepted, as reported
}

func (r *reporter) noConfigMaps() {
	maps := r.options.ConfigMaps
	r.options.Log.Info("no ConfigMaps found, using built-in defaults", "namespace", maps.Namespace, "names", []string{maps.Injector, maps.Mesh})
}

// missing names ConfigMaps that do not exist.
func (r *reporter) missing(names []string) string {
	var out []string
	for _, name := range names {
		out = append(out, r.options.ConfigMaps.Namespace+"/"+name)
	}
	if len(out) == 1 {
		return "ConfigMap " + out[0] + " does not exist"
	}
	return "ConfigMaps " + strings.Join(out, " and ") + " do not exist"
}

// deleted reports the ConfigMaps that do not exist, although they have had an effect.
func (r *reporter) deleted(names []string, active *Snapshot) {
	before := r.gone
	if r.gone = strings.Join(names, " "); r.gone == before || r.gone == "" || active == nil {
		return
	}
	note := fmt.Sprintf("%s; configuration %s, with its contents, remains active; to go back to it: outrider config restore %s; for the defaults, create it without keys",
		r.missing(names), active.Hash(), active.Hash())
	r.options.Log.Error(nil, "ConfigMap deleted", "consequence", note)
	r.event(corev1.EventTypeWarning, "ConfigurationDeleted", note)
}

// restored reports that a stored configuration is active.
func (r *reporter) restored(s *Snapshot) {
	r.metrics.applied(time.Now())
	r.options.Log.Info("last good configuration restored", "hash", s.Hash(), "store", r.options.Store)
}

// notRead reports that what is stored may not be read.
func (r *reporter) notRead(err error) {
	r.options.Log.Error(err, "cannot read the last good configuration; if the ConfigMaps are invalid, no configuration is active", "store", r.options.Store)
}

// changedRecords reports what was read at the start.
func (r *reporter) changedRecords(intact int, errs []error) {
	r.metrics.found("intact", intact)
	r.metrics.found("changed", len(errs))
	r.metrics.found("rejected", 0)
	for _, err := range errs {
		r.options.Log.Error(err, "stored configuration ignored", "store", r.options.Store)
	}
	if len(errs) > 0 {
		r.event(corev1.EventTypeWarning, "LastGoodIgnored", fmt.Sprintf("ConfigMap %s: %v%s", r.options.Store, errs[0], more(len(errs)-1)))
	}
}

func more(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" (and %d more)", n)
}

// notAccepted reports a stored configuration that this version does not accept, once.
func (r *reporter) notAccepted(record config.Record, err error) {
	if slices.Contains(r.wrong, record.Hash) {
		return
	}
	r.wrong = append(r.wrong, record.Hash)
	r.metrics.found("rejected", len(r.wrong))
	note := fmt.Sprintf("last good configuration %s, applied by version %s, is not accepted by version %s: %v",
		record.Latest(), strings.Join(record.Versions, " and "), r.options.Version, err)
	r.options.Log.Error(nil, "stored configuration rejected", "problem", note)
	r.event(corev1.EventTypeWarning, "LastGoodRejected", problem.Clip(note, maxNote))
}

// written reports that the active configuration was stored, or why not.
func (r *reporter) written(s *Snapshot, err error) {
	if err == nil {
		r.options.Log.Info("last good configuration stored", "hash", s.Hash(), "store", r.options.Store)
		return
	}
	r.options.Log.Error(err, "cannot store the last good configuration, retrying; it is lost with the last replica", "hash", s.Hash(), "store", r.options.Store)
	note := fmt.Sprintf("configuration %s is active and not stored: %v; apply the manifests with ConfigMap %s and its role", s.Hash(), err, r.options.Store)
	r.event(corev1.EventTypeWarning, "LastGoodNotStored", problem.Clip(note, maxNote))
}

func (r *reporter) applied(s *Snapshot, first bool) {
	r.metrics.applied(time.Now())
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
	for _, name := range []string{maps.Injector, maps.Mesh, r.options.Store} {
		if name == "" {
			continue
		}
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
