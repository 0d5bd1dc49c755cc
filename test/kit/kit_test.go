package kit

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestUntil(t *testing.T) {
	tries := 0
	took, err := Wait{Every: time.Millisecond}.Until(t.Context(), func() error {
		if tries++; tries < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil || tries != 3 || took < 2*time.Millisecond {
		t.Errorf("after %d tries and %s: %v", tries, took, err)
	}
	never := func() error { return errors.New("never") }
	if _, err := (Wait{For: 5 * time.Millisecond, Every: time.Millisecond}).Until(t.Context(), never); err == nil || !strings.Contains(err.Error(), "not within 5ms: never") {
		t.Errorf("after the limit: %v", err)
	}
	ended := make(chan struct{})
	close(ended)
	if _, err := (Wait{Every: time.Hour, Ended: ended}).Until(t.Context(), never); !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "never") {
		t.Errorf("after the end: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Wait{Every: time.Hour}).Until(ctx, never); !errors.Is(err, context.Canceled) {
		t.Errorf("after cancel: %v", err)
	}
}

func TestFreeAddressesDiffer(t *testing.T) {
	got, err := FreeAddresses(3)
	if err != nil || got[0] == got[1] || got[1] == got[2] || got[0] == got[2] {
		t.Error(got, err)
	}
}

func TestCheckout(t *testing.T) {
	dir, err := Checkout()
	if err != nil || strings.HasSuffix(dir, "kit") {
		t.Error(dir, err)
	}
	t.Chdir(t.TempDir())
	if dir, err = Checkout(); err == nil || !strings.Contains(err.Error(), "run inside the checkout") {
		t.Error(dir, err)
	}
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		stop := Progress(&out, "building x")
		time.Sleep(2*ProgressEvery + time.Second)
		stop()
		time.Sleep(ProgressEvery)
		if got, want := out.String(), "building x: 10s\nbuilding x: 20s\n"; got != want {
			t.Errorf("progress %q, want %q", got, want)
		}
	})
}
