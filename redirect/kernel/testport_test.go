//go:build linux

package kernel

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/redirect"
)

// TestTestPort: while a plan is tested beside a running proxy, only the test connections go
// to the port of the test: whatever ends the program then, the rules capture.
func TestTestPort(t *testing.T) {
	pod := setup(t)
	c := config(t, "-i", "*", "--wait-for-proxy")
	plan := redirect.NewPlan(c, redirect.Inet)
	testing := plan
	var tests []Test
	var err, incomplete, complete error
	pod.Do(func() {
		if testing.TestPort, err = FreePort(); err == nil {
			err = Apply(testing)
		}
		tests, incomplete = Prove(c, testing), Verify(plan)
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(tests) != 4 || slices.ContainsFunc(tests, func(t Test) bool { return t.Result != Passed }) {
		t.Errorf("beside a running proxy: %v", tests)
	}
	const want = "kernel rules differ from the plan: chain to_proxy has 2 rules instead of 1"
	if incomplete == nil || incomplete.Error() != want {
		t.Errorf("rules with those of the test: %v", incomplete)
	}
	for _, to := range []string{"192.0.2.1:80", "[2001:db8::1]:80"} {
		if who := reach(t, pod, redirect.Connection{Protocol: "tcp", Destination: netip.MustParseAddrPort(to)}); who != "proxy" {
			t.Errorf("a connection to %s during the test reaches %s", to, who)
		}
	}
	pod.Do(func() {
		err, complete = Complete(plan), Verify(plan)
		if err == nil && complete == nil {
			tests = Prove(c, testing) // its connections are captured as all others
		}
	})
	if err != nil || complete != nil {
		t.Errorf("after the test: %v, %v", err, complete)
	}
	failed := 0
	for _, test := range tests {
		if test.Result == Failed && strings.Contains(test.Why, "connection went to ") {
			failed++
		}
	}
	if failed != 2 {
		t.Errorf("after the test its port is still redirected to: %v", tests)
	}
}
