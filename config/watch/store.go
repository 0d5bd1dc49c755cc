package watch

import (
	"sync"
	"sync/atomic"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// Accepted is a configuration in force: everything comes from one set of texts.
type Accepted[T any] struct {
	Value    T // what compile made of it
	Config   *config.Config
	Texts    config.Texts
	Warnings problem.List
}

// Store keeps the last good configuration. Current is one atomic load; a
// rejected offer changes nothing that is in force, not even half of it. The
// zero value is empty and ready for use.
type Store[T any] struct {
	current atomic.Pointer[Accepted[T]]

	mu       sync.Mutex
	rejected problem.List
}

// Current is the configuration in force; nil before the first accepted offer.
func (s *Store[T]) Current() *Accepted[T] { return s.current.Load() }

// Rejected are the problems of the latest offer if it was rejected, else nil.
func (s *Store[T]) Rejected() problem.List {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rejected
}

// Offer parses the texts, compiles the result and puts it into force. With an
// error from either it puts nothing into force and reports false. The problems
// are all errors and warnings of both. Offers are taken one after the other.
func (s *Store[T]) Offer(texts config.Texts, labels config.Labels, compile func(*config.Config) (T, problem.List)) (problem.List, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cfg, problems := config.Parse(texts, labels)
	if cfg == nil {
		s.rejected = problems
		return problems, false
	}
	value, more := compile(cfg)
	problems = append(problems, more...)
	if len(problems.Errors()) > 0 {
		s.rejected = problems
		return problems, false
	}
	s.rejected = nil
	s.current.Store(&Accepted[T]{Value: value, Config: cfg, Texts: texts, Warnings: problems})
	return problems, true
}
