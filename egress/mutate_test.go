package egress_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/egresstest"
	"github.com/outrider-mesh/outrider/test/envoy"
	"github.com/outrider-mesh/outrider/test/objects"
)

// unusual are texts that a parser might fail on.
var unusual = []string{
	"", " ", "a b", "é", "日本", "\x00", "a\nb", "a\rb", "\t", "\u2028", "\x7f", "A_b", "x,y", "x;y", `"`, "'", `\`, "${x}", "{{x}}", "a=b", "-1", "0",
	"%", "%%", "%REQ(a)%", "%DURATION:5%", "(", "[", "(?i)x", `\pL+`, "a{1000}", "(a{100}){100}", "[[:alpha:]]", `\C`, `\Q..\E`, "(?P<n>x)", "(?<n>x)",
	`\1`, `\z`, "^$", ".*", "*", "*.x", "/", "//", "/a?b", "/a#b", "a:b", ":", ":path", ":authority", "host", "content-length", "transfer-encoding",
	"x-envoy-retry-on", "503,xx", "5xx,,", "http://x", "x:99999", "[::1]", "[::1]:80", "127.0.0.1", "GET", strings.Repeat("a", 300), strings.Repeat("a", 70000),
}

// mutate puts an unusual text in the place of one text of a message, which may be
// the key of a mapping.
func mutate(r *rand.Rand, m proto.Message) {
	all := texts(m.ProtoReflect())
	if len(all) > 0 {
		all[r.IntN(len(all))](objects.Pick(r, unusual...))
	}
}

// texts are what sets each text of a message.
func texts(m protoreflect.Message) (out []func(string)) {
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsMap():
			v.Map().Range(func(k protoreflect.MapKey, inner protoreflect.Value) bool {
				out = append(out, func(s string) {
					v.Map().Clear(k)
					v.Map().Set(protoreflect.ValueOfString(s).MapKey(), inner)
				})
				if fd.MapValue().Kind() == protoreflect.StringKind {
					out = append(out, func(s string) { v.Map().Set(k, protoreflect.ValueOfString(s)) })
				} else if fd.MapValue().Message() != nil {
					out = append(out, texts(inner.Message())...)
				}
				return true
			})
		case fd.IsList():
			for i := range v.List().Len() {
				if fd.Kind() == protoreflect.StringKind {
					out = append(out, func(s string) { v.List().Set(i, protoreflect.ValueOfString(s)) })
				} else if fd.Message() != nil {
					out = append(out, texts(v.List().Get(i).Message())...)
				}
			}
		case fd.Kind() == protoreflect.StringKind:
			out = append(out, func(s string) { m.Set(fd, protoreflect.ValueOfString(s)) })
		case fd.Message() != nil:
			out = append(out, texts(v.Message())...)
		}
		return true
	})
	return out
}

// TestUnusualTexts has the real Envoy accept what is made of objects with an
// unusual text somewhere: what it would reject is rejected before, and
// everything else is accepted.
func TestUnusualTexts(t *testing.T) {
	program := envoy.Require(t)
	const worlds, entries = 40, 12
	faults, hosts := 0, 0
	for seed := range uint64(worlds) {
		r := rand.New(rand.NewPCG(seed, 99))
		in := egresstest.Random(t, r, entries)
		for i := range in.VirtualServices {
			v, e := &in.VirtualServices[i], &in.ServiceEntries[i]
			v.Spec, e.Spec = proto.CloneOf(v.Spec), proto.CloneOf(e.Spec)
			mutate(r, v.Spec)
			if i%4 == 0 {
				mutate(r, e.Spec)
			}
		}
		model, problems := egress.Build(in)
		v := model.View("shop")
		hosts, faults = hosts+len(v.Hosts()), faults+len(problems)
		if egresstest.Validate(t, program, egresstest.Make(t, v)); t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d hosts, %d problems", hosts, faults)
	if hosts < worlds*entries/2 || faults < worlds*entries/4 {
		t.Error("the objects are too invalid, or too valid, to test anything")
	}
}
