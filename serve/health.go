package serve

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"

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

// health serves /healthz and /readyz, as the manager's own server would.
func (s *server) health(address string, checks map[string]healthz.Checker, holder *active.Holder) error {
	if address == "0" || address == "" {
		return nil
	}
	mux := http.NewServeMux()
	serve := func(path string, h http.Handler) {
		mux.Handle(path, http.StripPrefix(path, h))
		mux.Handle(path+"/", http.StripPrefix(path, h))
	}
	serve("/healthz", &healthz.Handler{Checks: map[string]healthz.Checker{"ping": healthz.Ping}})
	serve("/readyz", detailed(&healthz.Handler{Checks: checks}, holder.Status))
	return s.mgr.Add(&manager.Server{Name: "health probe", Server: &http.Server{
		Addr: address, Handler: mux, MaxHeaderBytes: 64 << 10, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 90 * time.Second,
	}})
}

// detailed adds to the line of the check "configuration" which one is active, and why
// what the ConfigMaps have is not. Such a replica is ready: it serves the last good
// configuration.
func detailed(checks http.Handler, status func() active.Status) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		checks.ServeHTTP(detailWriter{w, status}, r)
	})
}

// detailWriter writes the detail behind a line. The handler writes one at a time.
type detailWriter struct {
	http.ResponseWriter
	status func() active.Status
}

func (w detailWriter) Write(line []byte) (int, error) {
	text := strings.TrimSuffix(string(line), "\n")
	if text == "[+]configuration ok" || text == "[-]configuration failed: reason withheld" {
		if _, err := fmt.Fprintf(w.ResponseWriter, "%s: %s\n", strings.TrimSuffix(text, ": reason withheld"), w.status()); err != nil {
			return 0, err
		}
		return len(line), nil
	}
	return w.ResponseWriter.Write(line)
}
