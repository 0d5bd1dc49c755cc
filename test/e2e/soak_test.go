package e2e

import (
	"errors"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/test/soak"
)

// soaked is a short form of `make soak`: pods are created while a replica of each
// component is deleted, the CA certificate is rotated and the configuration is edited.
func soaked(t *testing.T, s *Suite) {
	t.Cleanup(func() { s.undo(t, "kubectl apply -f deploy/settings.yaml") })
	r, err := soak.Run(ended, soak.Options{
		Mesh: s.Mesh, Duration: 12 * time.Second, Rate: 15, Every: 6 * time.Second, Rotations: 1, Edits: 3, Log: t.Logf,
	})
	if r != nil {
		t.Logf("%s", r)
		err = errors.Join(err, r.Err())
	}
	if err != nil {
		t.Error(err)
	}
}
