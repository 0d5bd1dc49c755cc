package xds

import "slices"

// cut closes a stream when a limit of all namespaces is exceeded. The error is st's, if
// that is the one. Whoever has more than an ordinary namespace is first: a stream is
// chosen by the first of these rules that finds one.
//
//  1. Its token is not bound to a pod, as that of a sidecar is.
//  2. It is the older of two of one pod.
//  3. It is the newest of the namespace that uses most.
func (s *Server) cut(st *stream, limit, message string, use func(*usage) int) error {
	most := ""
	for name, u := range s.namespaces {
		if most == "" || use(u) > use(s.namespaces[most]) || use(u) == use(s.namespaces[most]) && name < most {
			most = name
		}
	}
	var open []*stream
	for o := range s.streams {
		if !o.ending() {
			open = append(open, o)
		}
	}
	if len(open) == 0 {
		return nil
	}
	victim := slices.MaxFunc(open, func(a, b *stream) int {
		if c := s.order(a, most) - s.order(b, most); c != 0 {
			return c
		}
		return a.since.Compare(b.since)
	})
	over := exceeds(limit, "%s; a stream of %s is closed", message, victim.identity)
	if victim == st {
		s.forget(st)
		return over
	}
	victim.close(over)
	// What it uses is free from now on, so that no second one is closed for it.
	s.forget(victim)
	return nil
}

// order is higher for a stream that is closed before others.
func (s *Server) order(st *stream, most string) int {
	of := s.pods[st.identity.String()]
	switch {
	case st.identity.Pod == "":
		return 3
	case len(of) > 1 && of[0] == st:
		return 2
	case st.identity.Namespace == most:
		return 1
	}
	return 0
}
