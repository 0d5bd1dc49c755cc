package main

import (
	"errors"
	"os"
	"sync"
)

// results are the results of all files, held back until all are complete.
type results struct {
	inPlace bool
	shared  *spool // of all files; nil where each has its own
	own     []*spool

	mu        sync.Mutex
	temporary []string // files to remove when the command is interrupted
	abandoned bool
}

// of is where the result for a file goes.
func (r *results) of(file string) (*spool, error) {
	if !r.inPlace {
		return r.shared, nil
	}
	s, err := newReplacement(file)
	if err != nil {
		return nil, err
	}
	return s, r.register(s)
}

// register records the temporary file of a result, if it has one.
func (r *results) register(s *spool) error {
	if s.pending == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.abandoned {
		s.discard()
		return errInterrupted
	}
	r.temporary = append(r.temporary, s.pending.Name())
	return nil
}

// abandon removes the temporary files while others may still write to them.
func (r *results) abandon() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.abandoned = true
	for _, name := range r.temporary {
		_ = os.Remove(name)
	}
}

// done records that a result is complete, or that there is none: err. In place, a
// file in which nothing changed is not written at all.
func (r *results) done(s *spool, changed bool, err error) error {
	switch {
	case !r.inPlace:
		return err
	case err != nil || !changed:
		s.discard()
		return err
	}
	r.own = append(r.own, s)
	return s.sync()
}

// commit replaces the files, or writes the shared result.
func (r *results) commit() error {
	if r.shared != nil {
		return r.shared.commit()
	}
	var failed []error
	for _, s := range r.own {
		failed = append(failed, s.commit())
	}
	return errors.Join(failed...)
}

// discard drops results that were not committed.
func (r *results) discard() {
	for _, s := range append(r.own, r.shared) {
		if s != nil {
			s.discard()
		}
	}
}
