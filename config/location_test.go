package config

import (
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/internal/revision"
)

func TestConfigMaps(t *testing.T) {
	for _, r := range []revision.Revision{"", "default"} {
		if got, want := LocationOf("n", r), (Location{"n", "istio-sidecar-injector", "istio"}); got != want {
			t.Errorf("revision %q: %v", r, got)
		}
	}
	_, ps := Parse(Texts{Values: "globl: 1"}, LocationOf("n", "r").Labels())
	if want := `ConfigMap n/istio-sidecar-injector-r, key "values":1:1: globl: unknown key`; !strings.HasPrefix(ps[0].String(), want) {
		t.Errorf("got %s", ps[0])
	}
}
