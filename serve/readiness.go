package serve

import (
	"errors"
	"maps"
	"net/http"

	"sigs.k8s.io/controller-runtime/pkg/healthz"

	"github.com/outrider-mesh/outrider/certs"
	"github.com/outrider-mesh/outrider/config/active"
)

// readiness are the checks that decide whether requests are sent here.
func (s *server) readiness(keeper *certs.Manager, holder *active.Holder, plane *controlPlane) map[string]healthz.Checker {
	checks := map[string]healthz.Checker{
		"certificate":   keeper.Ready,
		"configuration": holder.Ready,
		"listening":     listening(keeper, s.mgr.GetWebhookServer().StartedChecker()),
		"shutdown": func(*http.Request) error {
			if s.leaving.Load() {
				return errors.New("shutting down")
			}
			return nil
		},
	}
	maps.Copy(checks, plane.checks())
	return checks
}

// listening tries a handshake with the port, once there is a certificate for it.
func listening(keeper *certs.Manager, started healthz.Checker) healthz.Checker {
	return func(r *http.Request) error {
		if _, err := keeper.GetCertificate(nil); err != nil {
			return err
		}
		return started(r)
	}
}
