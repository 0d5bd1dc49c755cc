package cidr

import (
	"fmt"
	"testing"
)

func TestCapture(t *testing.T) {
	for _, c := range []struct {
		include, exclude, ports, excludePorts string
		want                                  string // includes and captures, IPv4 and then IPv6
	}{
		{"*", "", "", "", "true true, true true"},
		{"*", "10.0.0.0/8", "", "", "true true, true true"},
		{"*", "0.0.0.0/0", "", "", "true false, true true"},
		{"*", "0.0.0.0/1,128.0.0.0/1", "", "", "true false, true true"},
		{"*", "::/0", "", "", "true true, true false"},
		{"*", "8000::/1,::/1,0.0.0.0/0", "", "", "true false, true false"},
		{"*", "0.0.0.0/0,2000::/3", "", "", "true false, true true"},
		// What is left are addresses that no host has.
		{"*", "0.0.0.0/1,128.0.0.0/2,192.0.0.0/3", "", "", "true false, true true"},
		{"0.0.0.0/0", "0.0.0.0/0", "", "", "true false, false false"},
		{"10.0.0.0/8", "10.0.0.0/9,10.128.0.0/9", "", "", "true false, false false"},
		{"10.0.0.0/8", "10.0.0.0/9", "", "", "true true, false false"},
		{"10.0.0.0/8,fd00::/8", "0.0.0.0/0", "", "", "true false, true true"},
		{"10.0.0.0/8,224.0.0.0/4", "10.0.0.0/8", "", "", "true false, false false"},
		{"", "", "", "", "false false, false false"},
		{"", "0.0.0.0/0", "443", "", "true false, true true"},
		{"10.0.0.0/8", "10.0.0.0/8", "443", "", "true true, true true"},
		{"10.0.0.0/8", "10.0.0.0/8", "443", "443,80", "true false, true false"},
		{"", "", "443,80", "443", "true true, true true"},
	} {
		ports, _ := ParsePorts(c.ports, false)
		excludePorts, _ := ParsePorts(c.excludePorts, false)
		of := Capture{mustParse(t, c.include), mustParse(t, c.exclude), ports, excludePorts}
		got := fmt.Sprint(of.Includes(IPv4), of.Captures(IPv4)) + ", " + fmt.Sprint(of.Includes(IPv6), of.Captures(IPv6))
		if got != c.want {
			t.Errorf("%q less %q, ports %q less %q: %s, want %s", c.include, c.exclude, c.ports, c.excludePorts, got, c.want)
		}
	}
}
