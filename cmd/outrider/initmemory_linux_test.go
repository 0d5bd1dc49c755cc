package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// Pages that only initialization needed are released, and the program continues.
func TestReleaseInitMemory(t *testing.T) {
	mapped := func() (kb int) {
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(status), "RssFile:")
		if _, err := fmt.Sscan(rest, &kb); err != nil {
			t.Skipf("this kernel does not report RssFile: %v", err)
		}
		return kb
	}
	before := mapped()
	releaseInitMemory()
	// What runs meanwhile, the collector and the scheduler, comes back at once.
	if after := mapped(); after > before*3/4 {
		t.Errorf("of %d kB of files that are mapped, %d kB are left", before, after)
	}
	if got := runWith(t, deployment("a: b"), "kube-inject", "-f", "-"); got.code != 0 || !strings.Contains(got.out, "istio-proxy") {
		t.Errorf("%+v", got)
	}
}
