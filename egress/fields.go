package egress

import (
	"fmt"
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// Limits of routes.
const (
	// longestTime is longer than any client waits, and below Envoy's own limit,
	// over which it rejects the whole route configuration.
	longestTime = 365 * 24 * time.Hour
	// A body goes to every sidecar with every change of the port's routes.
	MaxDirectResponseBody = 1 << 20 // Istio's
	bodyThreshold         = 100 << 10
	textLimit             = 16 << 10 // Envoy's for a header's value
	nameLimit             = 1 << 10  // Envoy's for a parameter's name
)

// readText validates text that becomes part of a header: a path, a Host.
func readText(text, path string, r reporter) {
	if len(text) > textLimit {
		r.add(problem.TooLong(path, text, textLimit).WithFix("use a shorter text"))
	} else if strings.ContainsAny(text, "\r\n\x00") {
		r.error(path, text, "must not contain line breaks", "use one line")
	}
}

// readAuthority validates a Host: NAME or NAME:PORT.
func readAuthority(text, path string, r reporter) {
	readText(text, path, r)
	if strings.ContainsFunc(text, func(c rune) bool { return c > '~' || strings.ContainsRune("/ @?#", c) }) {
		_, fault := normalHost(text)
		r.fault(fault.AsWarning(), path, "use a name such as www.example.com, with :port if it is not the default one")
	}
}

func readNames(list []string, path string, r reporter) {
	for i, h := range list {
		if h != "*" && !validToken(h) {
			r.error(fmt.Sprintf("%s[%d]", path, i), h, "invalid header name", "use a name such as X-Api")
		}
	}
}

// fixHeaderName is the fix for a name that validToken rejects.
var fixHeaderName = fmt.Sprintf("use a name such as x-api, of at most %d characters", nameLimit)

func validToken(s string) bool {
	return s != "" && len(s) <= nameLimit && !strings.ContainsFunc(s, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune(`()<>@,;:\"/[]?={}`, c)
	})
}

// readTime validates an optional duration of at least a millisecond; zero is
// accepted as none where none is allowed.
func readTime(d *durationpb.Duration, path string, zero bool, r reporter) {
	if d == nil {
		return
	}
	switch t := d.AsDuration(); {
	case d.CheckValid() != nil || t > longestTime:
		r.error(path, fmt.Sprintf("%ds", d.GetSeconds()), "duration must be at most 8760h", "use a duration such as 3s")
	case t == 0 && zero:
	case t < time.Millisecond:
		fix := "use a duration such as 3s"
		if zero {
			fix += ", or 0s for none"
		}
		r.error(path, t.String(), "duration must be at least 1ms", fix)
	}
}

func readPercent(p *networkingv1alpha3.Percent, path string, r reporter) {
	if v := p.GetValue(); v < 0 || v > 100 || math.IsNaN(v) {
		r.error(path+".value", fmt.Sprint(v), "must be in the range 0..100", "use a number such as 50")
	}
}
