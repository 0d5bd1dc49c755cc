package webhook

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/outrider-mesh/outrider/webhook/registration"
)

// A replica that starts holds reviews until its configuration is loaded: more than it
// processes at once, and each of them no longer than there is time for the answer.
func TestHandler_HoldsReviewsWhileStarting(t *testing.T) {
	injector := compiled(t, "")
	for _, tt := range []struct {
		name    string
		timeout string
		loaded  time.Duration // the configuration is; 0 before the reviews
		invalid bool
		after   time.Duration // the reviews are answered
		want    string        // the message; empty for an injection
	}{
		{"loaded before", "5s", 0, false, 0, ""},
		{"loaded soon", "5s", 500 * time.Millisecond, false, 500 * time.Millisecond, ""},
		{"loaded soon, and invalid", "5s", 500 * time.Millisecond, true, 500 * time.Millisecond, notConfigured},
		{"loaded too late", "5s", 3 * time.Second, false, 2 * time.Second, notConfigured},
		{"too late for a shorter timeout", "1s", 3 * time.Second, false, 400 * time.Millisecond, notConfigured},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const reviews = 20
				b := newFixture(t, nil)
				loaded := make(chan struct{})
				b.options.Loaded, b.options.Limits.MaxConcurrent = loaded, 2
				h := NewPodHandler(b.options)
				load := func() {
					if !tt.invalid {
						b.active.Store(injector)
					}
					close(loaded)
				}
				if tt.loaded == 0 {
					load()
				}
				began := time.Now()
				answers := make(chan error, reviews)
				for range reviews {
					go func() {
						r := requestOf(reviewOf(smallPod))
						r.URL = &url.URL{Path: registration.InjectPath, RawQuery: "timeout=" + tt.timeout}
						w := httptest.NewRecorder()
						h.ServeHTTP(w, r)
						answers <- answeredAs(t, w, time.Since(began), tt.after, tt.want)
					}()
				}
				time.Sleep(tt.loaded)
				if tt.loaded > 0 {
					load()
				}
				for range reviews {
					if err := <-answers; err != nil {
						t.Error(err)
					}
				}
				held := b.metric("outrider_webhook_reviews_held_total")
				if want := map[bool]float64{true: reviews}[tt.loaded > 0]; held != want {
					t.Errorf("%v were held, want %v", held, want)
				}
			})
		})
	}
}

// answeredAs compares an answer, and when it was given.
func answeredAs(t *testing.T, w *httptest.ResponseRecorder, took, after time.Duration, want string) error {
	a := answerOf(t, w)
	message := ""
	if a.Result != nil {
		message = a.Result.Message
	}
	if took != after || a.Allowed != (want == "") || (len(a.Patch) > 0) != a.Allowed || !strings.Contains(message, want) {
		return fmt.Errorf("after %s: allowed %v, %q, a patch of %d bytes; want it after %s: %q", took, a.Allowed, message, len(a.Patch), after, want)
	}
	return nil
}
