package egress

import (
	"net/netip"
	"reflect"
	"testing"
)

// TestTextOfAHostHasAllItsFields changes each field of a host, and of its
// endpoint, and expects another text; but the object does not count.
func TestTextOfAHostHasAllItsFields(t *testing.T) {
	host := func() Host {
		return Host{Name: "a.com", Endpoints: []Endpoint{{Address: "b.com"}}}
	}
	plain := host()
	before := string(plain.appendText(nil))
	fields := 0
	for _, target := range []struct {
		of     func(h *Host) reflect.Value
		ignore map[string]bool
	}{
		{func(h *Host) reflect.Value { return reflect.ValueOf(h).Elem() }, map[string]bool{"Meta": true, "exports": true, "shared": true}},
		{func(h *Host) reflect.Value { return reflect.ValueOf(&h.Endpoints[0]).Elem() }, nil},
	} {
		for i := range target.of(&plain).NumField() {
			h := host()
			name := target.of(&h).Type().Field(i).Name
			if target.ignore[name] {
				continue
			}
			change(t, target.of(&h).Field(i))
			fields++
			if text := string(h.appendText(nil)); text == before {
				t.Errorf("%s makes no difference: %s", name, text)
			}
		}
	}
	if fields != 14 {
		t.Errorf("%d fields were changed, want 14", fields)
	}
}

func change(t *testing.T, v reflect.Value) {
	t.Helper()
	switch value := v.Addr().Interface().(type) {
	case *string:
		*value += "x"
	case *uint32:
		*value++
	case *bool:
		*value = !*value
	case *Protocol:
		*value++
	case *[]Endpoint:
		*value = append(*value, Endpoint{Address: "c.com"})
	case *[]netip.Prefix:
		*value = append(*value, netip.MustParsePrefix("10.0.0.0/8"))
	default:
		t.Fatalf("a field of type %s: change it here", v.Type())
	}
}

// TestTextsOfHostsDiffer has hosts whose texts would be equal if their parts ran
// together.
func TestTextsOfHostsDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, h := range []Host{
		{Name: "a", Port: 1, TargetPort: 12},
		{Name: "a", Port: 11, TargetPort: 2},
		{Name: "a 1", TargetPort: 12},
		{Name: "a", Port: 1, Endpoints: []Endpoint{{Address: "b", Port: 1}}},
		{Name: "a", Port: 1, Endpoints: []Endpoint{{Address: "b", Weight: 1}}},
		{Name: "a", Port: 1, Endpoints: []Endpoint{{Address: "b"}, {Address: "c"}}},
		{Name: "a", Port: 1, Endpoints: []Endpoint{{Address: `b" 0 0 "c`}}},
	} {
		text := string(h.appendText(nil))
		if seen[text] {
			t.Errorf("twice: %s", text)
		}
		seen[text] = true
	}
}
