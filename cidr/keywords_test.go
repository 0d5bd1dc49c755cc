package cidr

import (
	"slices"
	"testing"
)

func TestKeywords(t *testing.T) {
	if k := Keywords(); !slices.IsSorted(k) || len(k) != 5 {
		t.Errorf("keywords %q", k)
	}
	for _, name := range Keywords() {
		l, err := Parse(name, Options{AllowNames: true})
		if err != nil || !slices.Equal(l.Names(), []string{name}) || !ValidName(name) || !IsKeyword(name) {
			t.Errorf("%s: %v, %v", name, l, err)
		}
		constant, ok := Constant(name)
		if ok == (name == Cluster || name == APIServer) || ok && constant.IsEmpty() {
			t.Errorf("%s: %s, %v", name, constant, ok)
		}
	}
	if _, ok := Constant("mine"); ok || IsKeyword("mine") {
		t.Error("an unknown name has ranges")
	}
	local, _ := Constant(LinkLocal)
	metadata, _ := Constant(CloudMetadata)
	if !local.Contains(metadata.V4()[0].Addr()) && !metadata.ContainsList(FromPrefixes()) {
		t.Errorf("%s, %s", local, metadata)
	}
}

// The names of a rejected list are available, so that problems with them are
// reported together with the list's.
func TestNames_RejectedList(t *testing.T) {
	const value = "b,10.0.0.0/33 a,,b, *, B"
	if _, err := Parse(value, Options{AllowNames: true}); err == nil {
		t.Errorf("%q is accepted", value)
	}
	if got := Names(value); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("names %q", got)
	}
}
