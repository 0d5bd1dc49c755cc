package debounce

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// notifications at the given times after the start; the wait ends at want.
func TestWait(t *testing.T) {
	const quiet, longest = 50 * time.Millisecond, 500 * time.Millisecond
	ms := func(n ...int) (out []time.Duration) {
		for _, n := range n {
			out = append(out, time.Duration(n)*time.Millisecond)
		}
		return out
	}
	var steady []time.Duration
	for at := range 40 {
		steady = append(steady, time.Duration(at)*30*time.Millisecond)
	}
	for _, tt := range []struct {
		name     string
		notified []time.Duration
		want     time.Duration
	}{
		{"one change", ms(0), quiet},
		{"the pause begins anew", ms(0, 40, 80), 130 * time.Millisecond},
		{"what comes after the pause is another burst", ms(0, 60), quiet},
		{"a burst without end is cut", steady, longest},
		{"the wait begins with the first", ms(1000), 1050 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, start := New(), time.Now()
				var raising sync.WaitGroup
				defer raising.Wait()
				raising.Go(func() {
					for _, at := range tt.notified {
						time.Sleep(at - time.Since(start))
						s.Notify()
						s.Notify() // counts as one
					}
				})
				if err := s.Wait(t.Context(), quiet, longest); err != nil {
					t.Fatal(err)
				}
				if got := time.Since(start); got != tt.want {
					t.Errorf("waited %s, want %s", got, tt.want)
				}
			})
		})
	}
}

func TestWait_ContextCanceled(t *testing.T) {
	for _, notified := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			s := New()
			if notified {
				s.Notify()
			}
			if err := s.Wait(ctx, time.Minute, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("notified %v: error %v", notified, err)
			}
		})
	}
}
