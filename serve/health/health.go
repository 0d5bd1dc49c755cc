// Package health serves the health endpoints of a replica: /healthz, and /readyz, whose
// line of the check "configuration" has which one is active.
//
// What a caller may assume: checks are called for each request, and never at the same time
// by one; a replica that serves its last good configuration is ready.
package health

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/outrider-mesh/outrider/config/active"
)

// Options of Add.
type Options struct {
	// Address is the bind address; nothing is served where it is empty or "0".
	Address string
	// Ready are the checks that decide whether requests are sent to the replica.
	Ready map[string]healthz.Checker
	// Status is that of the configuration.
	Status func() active.Status
}

// Add adds the server to a manager, in place of the manager's own.
func Add(mgr manager.Manager, o Options) error {
	if o.Address == "0" || o.Address == "" {
		return nil
	}
	return mgr.Add(&manager.Server{Name: "health probe", Server: &http.Server{
		Addr: o.Address, Handler: handler(o), MaxHeaderBytes: 64 << 10, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 90 * time.Second,
	}})
}

func handler(o Options) http.Handler {
	mux := http.NewServeMux()
	serve := func(path string, h http.Handler) {
		mux.Handle(path, http.StripPrefix(path, h))
		mux.Handle(path+"/", http.StripPrefix(path, h))
	}
	serve("/healthz", &healthz.Handler{Checks: map[string]healthz.Checker{"ping": healthz.Ping}})
	serve("/readyz", detailed(&healthz.Handler{Checks: o.Ready}, o.Status))
	return mux
}

// detailed adds to the line of the check "configuration" which one is active, and why
// what the ConfigMaps have is not.
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
