package webhook

import (
	"sync/atomic"

	"github.com/outrider-mesh/outrider/inject"
)

// Injector is what the doors need of *inject.Injector.
type Injector interface {
	Inject(inject.Request) (*inject.Result, error)
	ReviewWorkload(object []byte, namespace string, namespaceAnnotations map[string]string) []string
	Hash() string
}

// Settings holds the injector in force. The zero value holds none, and then
// pods are refused: nobody can tell what to inject.
type Settings struct {
	current atomic.Pointer[Injector]
}

// Load returns the injector in force, nil when there is none yet. A request
// calls it once, so that one configuration decides all of it.
func (s *Settings) Load() Injector {
	if p := s.current.Load(); p != nil {
		return *p
	}
	return nil
}

// Store puts i in force for the requests that come from now on.
func (s *Settings) Store(i Injector) { s.current.Store(&i) }
