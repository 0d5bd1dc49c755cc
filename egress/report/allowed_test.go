package report

import (
	"fmt"
	"testing"
)

func allowed(host string) Destination {
	return Destination{Host: host, Port: 443, Protocol: TLS, Verdict: Allowed, Rule: "shop/entry"}
}

// TestDeclaredMakeWay has more declared hosts than fit, and then as many undeclared ones as
// a workload may have: all of these are listed, and nothing is counted together, which
// would be taken for hosts that have to be declared.
func TestDeclaredMakeWay(t *testing.T) {
	table := NewTable(DefaultLimits)
	listed := func() (declared, others int) {
		table.Each(func(_ Workload, d Destination, _ Counts) {
			if d.Verdict == Allowed {
				declared++
			} else {
				others++
			}
		})
		return declared, others
	}
	for i := range 600 {
		table.Observe(sleep, allowed(fmt.Sprintf("%d.declared.test", i)), at(i))
	}
	if declared, _ := listed(); declared != DefaultLimits.Destinations/2 {
		t.Errorf("%d declared hosts are listed", declared)
	}
	for i := range DefaultLimits.Destinations {
		table.Observe(sleep, tls(fmt.Sprintf("%d.test", i)), at(i))
	}
	if declared, others := listed(); declared != 0 || others != DefaultLimits.Destinations {
		t.Errorf("%d declared and %d other hosts are listed", declared, others)
	}
	if c := table.Content(); c.Workloads[0].More != nil {
		t.Errorf("counted together: %+v", c.Workloads[0].More)
	}
	if table.allowed != 0 || table.workloads[sleep].allowed != 0 {
		t.Errorf("%d bytes of declared hosts are counted", table.allowed)
	}
}

// TestDeclaredOfManyWorkloads fills an object with declared hosts: half of it is left for
// others.
func TestDeclaredOfManyWorkloads(t *testing.T) {
	limits := Limits{Destinations: 500, Workloads: 1000, Bytes: 64 << 10}
	table := NewTable(limits)
	for w := range 20 {
		for i := range 50 {
			table.Observe(Workload{"Deployment", fmt.Sprint("w-", w)}, allowed(fmt.Sprintf("%d.declared.test", i)), at(i))
		}
	}
	if table.allowed > limits.Bytes/2 || table.allowed < limits.Bytes/2-400 {
		t.Errorf("declared hosts take %d bytes", table.allowed)
	}
	n := 0
	for i := range 50 {
		if table.Observe(sleep, tls(fmt.Sprintf("%d.test", i)), at(i)) {
			n++
		}
	}
	if n != 50 {
		t.Errorf("%d of 50 undeclared hosts are listed", n)
	}
	again := table.Content().Table(limits, start.AddDate(0, 0, 1))
	if text(t, again) != text(t, table) {
		t.Error("the object read again is another one")
	}
	again.Expire(start.AddDate(1, 0, 0))
	if again.allowed != 0 || !again.Empty() {
		t.Errorf("%d bytes of declared hosts are left", again.allowed)
	}
}

// TestWildcardHosts are those of ServiceEntries.
func TestWildcardHosts(t *testing.T) {
	for host, want := range map[string]bool{"*.example.com": true, "a.example.com": true, "*": false, "*.": false, "*.*.example.com": false, "a.*.com": false} {
		if got := allowed(host).valid(); got != want {
			t.Errorf("%s: %v", host, got)
		}
	}
	if tls("*.example.com").valid() {
		t.Error("an undeclared host may be a wildcard")
	}
}
