package health

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/healthz"

	"github.com/outrider-mesh/outrider/config/active"
)

func TestReadyz(t *testing.T) {
	lastGood := active.Status{Hash: "1e0c", Source: active.FromLastGood, Rejected: true, NotApplied: `key "mesh":1:31: bad`}
	for _, tt := range []struct {
		path   string
		status active.Status
		failed error // of the check of the configuration
		code   int
		want   string
	}{
		{"/readyz", lastGood, nil, 200, "ok"},
		{"/readyz?verbose", lastGood, nil, 200, "[+]certificate ok\n[+]configuration ok: 1e0c from last-good; not applied: key \"mesh\":1:31: bad\n"},
		{"/readyz?verbose", active.Status{NotApplied: "bad"}, errors.New("secret"), 500, "[-]configuration failed: no valid configuration; not applied: bad\n"},
		{"/readyz", active.Status{}, errors.New("secret"), 500, "[-]configuration failed: no valid configuration\n"},
		{"/readyz/certificate", lastGood, errors.New("secret"), 200, "ok"},
		{"/healthz", active.Status{}, errors.New("secret"), 200, "ok"},
		{"/other", lastGood, nil, 404, ""},
	} {
		h := handler(Options{
			Ready:  map[string]healthz.Checker{"certificate": healthz.Ping, "configuration": func(*http.Request) error { return tt.failed }},
			Status: func() active.Status { return tt.status },
		})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, tt.path, http.NoBody))
		if w.Code != tt.code || !strings.Contains(w.Body.String(), tt.want) || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: status %d, want %d:\n%s\nwant %s", tt.path, w.Code, tt.code, w.Body, tt.want)
		}
	}
}
