package main

import (
	"errors"
	"os"
	"sync"
)

// results are what the files became, held back until all are done.
type results struct {
	inPlace bool
	shared  *spool // of all files; nil where each has its own
	own     []*spool

	mu        sync.Mutex
	temporary []string // files to remove when the work is given up
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

// register notes the temporary file of a result.
func (r *results) register(s *spool) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.abandoned {
		s.discard()
		return errInterrupted
	}
	r.temporary = append(r.temporary, s.file.Name())
	return nil
}

// abandon removes what was to be handed over while others may still write it.
func (r *results) abandon() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.abandoned = true
	for _, name := range r.temporary {
		_ = os.Remove(name)
	}
}

// done says that the result is whole, or that there is none: err. In place, a
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
	return s.close()
}

// commit hands the results over.
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

// discard drops what was not handed over.
func (r *results) discard() {
	for _, s := range append(r.own, r.shared) {
		if s != nil {
			s.discard()
		}
	}
}
