package egress_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/egresstest"
	"github.com/outrider-mesh/outrider/test/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
)

var expressions = flag.Int("expressions", 4000, "how many random regular expressions to compare with the real Envoy's")

// TestRegexFaults has what Go accepts and Envoy rejects.
func TestRegexFaults(t *testing.T) {
	for text, want := range map[string]string{
		`\p{Letter}`:                  `\p{Letter}: Envoy has no character class of that name`,
		`\p{ASCII}`:                   `\p{ASCII}: Envoy has no character class of that name`,
		`/a\P{greek}+`:                `\P{greek}: Envoy has no character class of that name`,
		`[a\p{^Nd_}]`:                 `\p{Nd_}: Envoy has no character class of that name`,
		`\p{^Lowercase_Letter}`:       `\p{Lowercase_Letter}: Envoy has no character class of that name`,
		`\p{lu}`:                      `\p{lu}: Envoy has no character class of that name`,
		`\p{LC}`:                      `\p{LC}: Envoy has no character class of that name`,
		`\pQ`:                         "error parsing regexp: invalid character class range: `\\pQ`",
		`\x{100}`:                     `\x{100}: Envoy compares bytes, and the value exceeds ff`,
		`[\x{20}-\x{10FFFF}]`:         `\x{10FFFF}: Envoy compares bytes, and the value exceeds ff`,
		`\Qa\E\x{1F600}`:              `\x{1F600}: Envoy compares bytes, and the value exceeds ff`,
		`[ü-a]`:                       "error parsing regexp: invalid character class range",
		`(?:(?:(?:a{2}){0}){17}){39}`: `nested repetitions exceed 1000`,
	} {
		if got := egress.RegexFault(text); !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
	for _, text := range []string{`\Q\p{Letter}\E`, `\\p{Letter}`, `\x{ff}`, `\x41{100}`, `[à-é]`, `\p{Lu}\pL\P{^Greek}`, `\Q\x{100}`, `é+`} {
		if got := egress.RegexFault(text); got != "" {
			t.Errorf("%s: %s", text, got)
		}
	}
}

// TestEnvoyAcceptsTheExpressions makes random expressions, and has the real Envoy
// read those that validation accepts.
func TestEnvoyAcceptsTheExpressions(t *testing.T) {
	program := envoy.Require(t)
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	accepted := 0
	for made := 0; made < *expressions; {
		var batch []string
		for ; made < *expressions && len(batch) < 4000; made++ {
			if text := randomExpression(random, 4); egress.RegexFault(text) == "" {
				batch = append(batch, text)
			}
		}
		accepted += len(batch)
		if rejected := firstRejected(t, program, batch); rejected != "" {
			t.Fatalf("seed %d: Envoy rejects %q, validation accepts it", seed, rejected)
		}
	}
	if accepted < *expressions/8 {
		t.Errorf("only %d of %d expressions were valid", accepted, *expressions)
	}
	t.Logf("%d expressions, %d valid", *expressions, accepted)
}

var expressionParts = strings.Split(`a b / - . ^ $ | \b \B \A \z \Z \d \W \s \pL \pN \p{Lu} \P{Ll} \p{Greek} \p{^Greek} \p{Letter} \p{greek} \p{ASCII} \p{Any} \p{Zs} `+
	`\x41 \x{41} \x{ff} \x{100} \x{1F600} \Qa.b\E \Q(\E \Q \E é ü 😀 \é \_ \- \8 \01 \141 \C \a \f \v [a-z] [^/] [é] [à-é] [[:alpha:]] [[:word:]] [[:foo:]] [^[:^digit:]] [\d] [a-\d] [\pL] [\p{Nd_}] [] []a] [^]a] [a [a-] [-a] `+
	`* + ? *? +? ?? {2} {2,} {2,5} {,2} {1000} {1001} {3}? {0} {2,1} { } ( ) (?: (?i) (?s) (?m) (?U) (?-s) (?i: (?P<n> (?P<é> (?<m> (?P=n) (?= (?! (?# \k<n> \1 \G \X \R \h`, " ")

// randomExpression joins parts, some of them nested.
func randomExpression(random *rand.Rand, depth int) string {
	var b strings.Builder
	for range 1 + random.IntN(5) {
		switch n := random.IntN(10); {
		case n == 0 && depth > 0:
			fmt.Fprintf(&b, "(%s)", randomExpression(random, depth-1))
		case n == 1 && depth > 0:
			fmt.Fprintf(&b, "(?:%s){%d}", randomExpression(random, depth-1), random.IntN(40))
		case n == 2 && depth > 0:
			fmt.Fprintf(&b, "(?i:%s|%s)*", randomExpression(random, depth-1), randomExpression(random, depth-1))
		case n == 3:
			b.WriteRune(rune(random.IntN(0x180)))
		default:
			b.WriteString(expressionParts[random.IntN(len(expressionParts))])
		}
	}
	return strings.ToValidUTF8(b.String(), "?")
}

// firstRejected is an expression that Envoy rejects.
func firstRejected(t *testing.T, program string, texts []string) string {
	t.Helper()
	if len(texts) == 0 || takesExpressions(t, program, texts) {
		return ""
	}
	for len(texts) > 1 {
		half := texts[:len(texts)/2]
		if takesExpressions(t, program, half) {
			half = texts[len(texts)/2:]
		}
		texts = half
	}
	return texts[0]
}

// takesExpressions reports whether Envoy accepts all expressions, one to a route.
func takesExpressions(t *testing.T, program string, texts []string) bool {
	t.Helper()
	host := &routev3.VirtualHost{Name: "test", Domains: []string{"*"}}
	for _, text := range texts {
		host.Routes = append(host.Routes, &routev3.Route{
			Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: text}}},
			Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 200}},
		})
	}
	m := egresstest.Messages{Routes: []*routev3.RouteConfiguration{{Name: "test", VirtualHosts: []*routev3.VirtualHost{host}}}}
	text, err := protojson.Marshal(m.Bootstrap(t))
	kit.Must(t, err)
	_, ok := egresstest.ValidateText(t, program, text)
	return ok
}
