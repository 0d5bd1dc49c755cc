package xds

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/outrider-mesh/outrider/egress"
)

// Labels are the labels of pods, as the API server has them.
type Labels interface {
	// Known are those of a pod, found by its name and UID; false while they are not known.
	// large is set where they are too many to be kept.
	Known(namespace, name, uid string) (labels map[string]string, large, known bool)
	// Read reads a pod that is not known; false: it does not exist, or another one has its
	// name.
	Read(ctx context.Context, namespace, name, uid string) (exists bool, err error)
}

// SetLabels sets where labels come from. It is called before the server has streams.
func (s *Server) SetLabels(l Labels) { s.labels = l }

// workload is what the view of an identity depends on; false while that is not known.
func (s *Server) workload(id Identity, m *egress.Model) (w egress.Workload, known bool) {
	w.Namespace = id.Namespace
	if !m.SelectsWorkloads(id.Namespace) {
		return w, true
	}
	if s.labels == nil || id.Pod == "" { // nobody has a token like that but who asked for one
		w.Unknown = true
		return w, true
	}
	w.Labels, w.Unknown, known = s.labels.Known(id.Namespace, id.Pod, id.PodUID)
	return w, known
}

// readLabels reads the pod of a new stream, if its labels make a difference and are not
// known: the watch may deliver it later.
func (s *Server) readLabels(ctx context.Context, id Identity) error {
	g := s.current.Load()
	if _, known := s.workload(id, g.model); known {
		return nil
	}
	exists, err := s.labels.Read(ctx, id.Namespace, id.Pod, id.PodUID)
	switch {
	case err != nil:
		return rejectStream(codes.Unavailable, "the labels of the pod cannot be read", err)
	case !exists:
		return rejectStream(codes.Unauthenticated, "the pod of the token does not exist", nil)
	}
	return nil
}

// Relabelled updates the streams of a pod whose labels have changed; an empty name is all
// pods.
func (s *Server) Relabelled(namespace, pod string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if pod == "" {
		for st := range s.streams {
			st.relabelSoon()
		}
		return
	}
	for _, st := range s.pods[Identity{Namespace: namespace, Pod: pod}.String()] {
		st.relabelSoon()
	}
}

func (st *stream) relabelSoon() {
	select {
	case st.relabel <- struct{}{}:
	default: // one is pending already
	}
}

// relabelEvery is how often a stream is updated for new labels: their owner changes them
// as often as it likes, and each change may be a whole configuration.
const relabelEvery = time.Second

// relabelled updates the stream to the labels of its pod.
func (st *stream) relabelled() error {
	if wait := relabelEvery - time.Since(st.labelled); wait > 0 {
		time.AfterFunc(wait, st.relabelSoon)
		return nil
	}
	st.labelled = time.Now()
	st.mu.Lock()
	defer st.mu.Unlock()
	if err := st.refresh(); err != nil {
		return err
	}
	return st.settle()
}
