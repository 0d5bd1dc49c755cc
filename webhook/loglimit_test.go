package webhook

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/go-logr/logr"
)

// Requests that are no reviews, sent by the thousand, do not fill the log; those of pods
// have their line all the same, and the lines omitted are counted.
func TestLog_Junk(t *testing.T) {
	f := newFixture(t, compiled(t, ""))
	var lines bytes.Buffer
	f.options.Log = logr.FromSlogHandler(slog.NewJSONHandler(&lines, nil))
	h := NewPodHandler(f.options)
	for range 3000 {
		for _, junk := range []string{"", "junk", `{"kind":"AdmissionReview"}`, `{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{}}`} {
			post(h, []byte(junk))
		}
	}
	// 10 a second and 50 at once: the requests take less than 30 s.
	if n := strings.Count(lines.String(), "\n"); n < errorLineBurst || n > errorLineBurst+30*errorLines {
		t.Errorf("%d lines for 12000 requests", n)
	}
	before := lines.Len()
	post(h, sleepReview(1, 0))
	if line := lines.String()[before:]; !strings.Contains(line, `"result":"injected"`) {
		t.Errorf("line %q", line)
	}
	l := newLogLimit()
	for range errorLineBurst {
		if omitted, ok := l.allow(); !ok || omitted > 0 {
			t.Errorf("omitted %d, %v", omitted, ok)
		}
	}
	for range 100 {
		l.allow()
	}
	l.limiter.SetBurst(1000)
	l.limiter.SetLimit(1e9)
	if omitted, ok := l.allow(); !ok || omitted < 90 {
		t.Errorf("omitted %d, %v", omitted, ok)
	}
}

// Connections that fail, such as TLS handshakes, do not fill the log at level 1 either.
func TestDebugLog(t *testing.T) {
	for level, want := range map[slog.Level]int{slog.LevelInfo: 0, slog.LevelDebug: errorLineBurst} {
		var lines bytes.Buffer
		d := debugLog{logr.FromSlogHandler(slog.NewJSONHandler(&lines, &slog.HandlerOptions{Level: level})), newLogLimit()}
		for range 10000 {
			if _, err := d.Write([]byte("http: TLS handshake error from 192.0.2.1:1: EOF")); err != nil {
				t.Fatal(err)
			}
		}
		// 10000 lines take less than 30 s.
		if n := strings.Count(lines.String(), "\n"); n < want || n > want+30*errorLines*min(want, 1) {
			t.Errorf("level %s: %d lines for 10000 failed connections", level, n)
		}
	}
}
