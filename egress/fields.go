package egress

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
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

// unsupported reports every field that is set and not in the list.
func (r reporter) unsupported(m proto.Message, path, fix string, supported ...string) {
	message := m.ProtoReflect()
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); message.Has(f) && !slices.Contains(supported, f.JSONName()) {
			r.error(path+"."+f.JSONName(), fieldText(message, f), "not supported", fix)
		}
	}
}

func fieldText(m protoreflect.Message, f protoreflect.FieldDescriptor) string {
	if f.IsList() || f.IsMap() || f.Message() != nil {
		return ""
	}
	return strings.Trim(m.Get(f).String(), `"`)
}

// readText validates text that becomes part of a header: a path, a Host.
func readText(text, path string, r reporter) {
	if len(text) > textLimit {
		r.add(problem.TooLong(path, text, textLimit).WithFix("use a shorter text"))
	} else if strings.ContainsAny(text, "\r\n\x00") {
		r.error(path, text, "must not contain line breaks", "use one line")
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

// readGateways reports whether routes apply to the sidecars.
func readGateways(gateways []string, path string, r reporter) bool {
	if len(gateways) == 0 {
		return true
	}
	for i, g := range gateways {
		if g != "mesh" {
			r.add(problem.NoEffect(fmt.Sprintf("%s[%d]", path, i), g, "only gateway \"mesh\" is supported", "remove it, or use mesh"))
		}
	}
	return slices.Contains(gateways, "mesh")
}
