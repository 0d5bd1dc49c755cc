package active

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/internal/debounce"
)

// store is the ConfigMap that keeps the last good configurations over restarts.
type store struct {
	changed debounce.Signal
	// Both are of the start, and not changed after it.
	records config.History
	ranges  lastRanges // of the newest record that has some

	reported string // the last error of a write
}

const (
	// storeSpread spreads the replicas, all of which apply an edit at the same time: the
	// first one writes, and the others find that they need not.
	storeSpread = 500 * time.Millisecond
	// storePause is the shortest time between two writes of a replica. The last of
	// several edits in it is stored.
	storePause = 10 * time.Second
	// A failed write is tried again after firstRetry, and then after twice as long each
	// time, up to lastRetry.
	firstRetry = 2 * time.Second
	lastRetry  = 5 * time.Minute
	// storeTimeout bounds one request, and the last write of a replica that ends.
	storeTimeout = 5 * time.Second
	// writeConflicts is how often a write is tried again at once: each conflict is
	// another replica's write, and after one of the same configuration none is needed.
	writeConflicts = 5
)

// readStore reads what was stored before the start. Without an answer it tries
// again: that ConfigMaps do not exist would otherwise mean the defaults. It is false
// if ctx ends.
func (h *Holder) readStore(ctx context.Context) bool {
	if h.options.Store == "" {
		return true
	}
	for {
		cm, err := h.getStored(ctx)
		h.report.metrics.stored("read", err)
		switch {
		case err == nil:
			h.takeRecords(cm)
			return true
		case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
			h.report.notRead(err)
			return true
		}
		h.options.Log.Error(err, "cannot read the last good configuration, retrying", "after", retryEnvironment.String())
		select {
		case <-ctx.Done():
			return false
		case <-time.After(retryEnvironment):
		}
	}
}

// getStored returns nil where the ConfigMap does not exist.
func (h *Holder) getStored(ctx context.Context) (*corev1.ConfigMap, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	cm, err := h.options.Client.CoreV1().ConfigMaps(h.options.ConfigMaps.Namespace).Get(ctx, h.options.Store, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return cm, err
}

func (h *Holder) takeRecords(cm *corev1.ConfigMap) {
	if cm == nil {
		return
	}
	records, errs := config.ReadHistory(cm.Data, cm.BinaryData)
	h.report.changedRecords(len(records), errs)
	h.store.records = records
	for _, r := range records {
		if len(r.Ranges) > 0 {
			h.store.ranges = restoredRanges(r.Ranges)
			return
		}
	}
}

// lastGood is the stored configuration that this version accepts: the newest one, or
// an earlier one that this version has applied itself, as a replica has that keeps
// running. Another earlier one may allow what was forbidden since. It is nil where
// there is none.
func (h *Holder) lastGood() *Snapshot {
	for i, r := range h.store.records {
		if h.good != nil {
			break
		}
		if i > 0 && !r.AppliedBy(h.options.Version) {
			continue
		}
		texts, err := r.Read()
		if err != nil {
			h.report.notAccepted(r, err)
			continue
		}
		s, problems := h.compile(h.read(texts, nil))
		if s == nil {
			h.report.notAccepted(r, errors.New(summary(problems.Errors())))
			continue
		}
		h.good = s
	}
	return h.good
}

// keep stores each configuration that was applied, until ctx ends.
func (h *Holder) keep(ctx context.Context) {
	pause, retry := h.options.StorePause, firstRetry
	if pause == 0 {
		pause = storePause
	}
	for h.store.changed.Wait(ctx, rand.N(min(storeSpread, pause)), storeSpread) == nil {
		wait := pause
		if err := h.write(ctx); err != nil && ctx.Err() == nil {
			h.store.changed.Notify()
			wait, retry = retry, min(2*retry, lastRetry)
		} else {
			retry = firstRetry
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
	select {
	case <-h.store.changed: // not stored yet
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
		defer cancel()
		_ = h.write(last) // it is reported
	default:
	}
}

// write stores the active configuration, if it is one of the ConfigMaps'.
func (h *Holder) write(ctx context.Context) (err error) {
	var stored bool
	for range writeConflicts {
		if stored, err = h.tryWrite(ctx); !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
			break
		}
	}
	if err == nil && !stored {
		h.store.reported = ""
		return nil
	}
	h.report.metrics.stored("write", err)
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != h.store.reported && ctx.Err() == nil {
		h.report.written(h.current.Load(), err)
	}
	h.store.reported = text
	return err
}

// tryWrite is false if nothing needs to be stored. The order of its requests keeps a
// replica that lags behind from storing what is not the newest: the ConfigMaps are read
// after the stored object, of which the same version is written.
func (h *Holder) tryWrite(ctx context.Context) (bool, error) {
	s, seen := h.storable()
	if s == nil {
		return false, nil
	}
	cm, err := h.getStored(ctx)
	if err != nil {
		return false, fmt.Errorf("get ConfigMap %s/%s: %w", h.options.ConfigMaps.Namespace, h.options.Store, err)
	}
	now, err := h.live(ctx)
	if err != nil || !now.equal(seen) {
		return false, err // the next change is stored
	}
	absent := cm == nil
	if absent {
		cm = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: h.options.Store, Namespace: h.options.ConfigMaps.Namespace}}
	}
	records, _ := config.ReadHistory(cm.Data, cm.BinaryData)
	record, err := config.NewRecord(s.Hash(), time.Now(), h.options.Version, h.options.ConfigMaps, s.Texts)
	if err != nil {
		return false, err
	}
	record.Ranges = keptRanges(records, record, rangesOf(s))
	next, changed := records.With(record, now.complete(s.Texts))
	if !changed {
		return false, nil
	}
	if cm.Data, cm.BinaryData, err = next.Data(); err != nil {
		return false, err
	}
	return true, h.put(ctx, cm, absent)
}

// storable is the active configuration, if it came from the ConfigMaps, and their
// content.
func (h *Holder) storable() (*Snapshot, content) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.current.Load()
	if s == nil || s.edit != h.applied || !h.content.any() {
		return nil, content{}
	}
	return s, h.content
}

// live is the content of the ConfigMaps now.
func (h *Holder) live(ctx context.Context) (c content, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	l := h.options.ConfigMaps
	for _, name := range []string{l.Injector, l.Mesh} {
		cm, err := h.options.Client.CoreV1().ConfigMaps(l.Namespace).Get(ctx, name, metav1.GetOptions{})
		switch {
		case err == nil:
			c.set(l, name, cm)
		case !apierrors.IsNotFound(err):
			return c, fmt.Errorf("get ConfigMap %s/%s: %w", l.Namespace, name, err)
		}
	}
	return c, nil
}

// keptRanges are the ranges of the record to write: those that it has already where
// they are the same but for their evidence, which changes with each node.
func keptRanges(records config.History, next config.Record, now lastRanges) []byte {
	for _, r := range records {
		if r.Known(next.Hash) && len(r.Ranges) > 0 && restoredRanges(r.Ranges).same(now) {
			return r.Ranges
		}
	}
	return now.stored()
}

func (h *Holder) put(ctx context.Context, cm *corev1.ConfigMap, absent bool) (err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	maps := h.options.Client.CoreV1().ConfigMaps(cm.Namespace)
	what := "update"
	if absent {
		what = "create"
		_, err = maps.Create(ctx, cm, metav1.CreateOptions{FieldManager: fieldManager})
	} else {
		_, err = maps.Update(ctx, cm, metav1.UpdateOptions{FieldManager: fieldManager})
	}
	if err != nil {
		return fmt.Errorf("%s ConfigMap %s/%s: %w", what, cm.Namespace, cm.Name, err)
	}
	return nil
}

const fieldManager = "outrider"
