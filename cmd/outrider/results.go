package main

import "errors"

// results are what the files became, held back until all are done.
type results struct {
	inPlace bool
	shared  *spool // of all files; nil where each has its own
	own     []*spool
}

// of is where the result for a file goes.
func (r *results) of(file string) (*spool, error) {
	if !r.inPlace {
		return r.shared, nil
	}
	return newReplacement(file)
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
