package debug

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/egress/xds"
	"github.com/outrider-mesh/outrider/test/kit"
)

// TestSidecarViews: the objects that a sidecar is configured without are shown, with
// Envoy's reason.
func TestSidecarViews(t *testing.T) {
	for _, tt := range []struct {
		omitted map[string]string
		want    string // "" for no such field
	}{
		{map[string]string{"VirtualService evil/evil": "invalid range"}, `"omitted":{"VirtualService evil/evil":"invalid range"}`},
		{map[string]string{}, ""},
	} {
		b, err := json.Marshal(sidecarViews([]xds.StreamStatus{{Omitted: tt.omitted}}))
		kit.Must(t, err)
		if got := string(b); strings.Contains(got, "omitted") != (tt.want != "") || !strings.Contains(got, tt.want) {
			t.Errorf("%v: %s", tt.omitted, got)
		}
	}
}
