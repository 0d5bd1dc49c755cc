package decide

import (
	"testing"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
)

// TestExpressionsCompareBytes: Envoy's expressions see each byte as a character.
func TestExpressionsCompareBytes(t *testing.T) {
	for _, c := range []struct {
		regex, text string
		want        bool
	}{
		{`é+`, "é", true}, {`é+`, "éé", false}, {`(é)+`, "éé", true},
		{`a.b`, "aéb", false}, {`a..b`, "aéb", true}, {`[é]`, "\xc3", true}, {`[é]`, "é", false},
		{`a`, "ab", false}, {`a|ab`, "ab", true},
	} {
		m := &networkingv1alpha3.StringMatch{MatchType: &networkingv1alpha3.StringMatch_Regex{Regex: c.regex}}
		if got := matchText(m, c.text); got != c.want {
			t.Errorf("%s, %q: %v", c.regex, c.text, got)
		}
	}
	if back := fromLatin1(latin1("/é\xff")); back != "/é\xff" {
		t.Errorf("%q", back)
	}
}
