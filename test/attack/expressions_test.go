package attack

import (
	"context"
	"fmt"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/outrider-mesh/outrider/test/kit"
)

// rejectable are parts of a VirtualService's http that Envoy may reject, or take
// otherwise than the server.
var rejectable = []string{
	`"match":[{"uri":{"regex":"\\p{Letter}"}}]`,
	`"match":[{"uri":{"regex":"\\p{ASCII}.*"}}]`,
	`"match":[{"uri":{"regex":"\\p{greek}"}}]`,
	`"match":[{"uri":{"regex":"\\x{100}"}}]`,
	`"match":[{"uri":{"regex":"\\x{110000}"}}]`,
	`"match":[{"uri":{"regex":"(a{1000}){1000}"}}]`,
	`"match":[{"uri":{"regex":"((((((((((a{10}){10}){10}){10}){10}){10}){10}){10}){10}){10})"}}]`,
	`"match":[{"uri":{"regex":"(?P<a>x)(?P<a>y)"}}]`,
	`"match":[{"uri":{"regex":"(?i-s:a)\\C"}}]`,
	`"match":[{"uri":{"regex":"\\pN\\p{^Han}[[:word:]]\\z"}}]`,
	`"match":[{"headers":{"x":{"regex":"\\p{Lowercase_Letter}"}}}]`,
	`"match":[{"headers":{"x y":{"exact":"1"}}}]`,
	`"match":[{"headers":{":path":{"exact":"/"}}}]`,
	`"match":[{"queryParams":{"q":{"regex":"\\p{Uppercase_Letter}"}}}]`,
	`"match":[{"authority":{"regex":"\\p{Script=Greek}"}}]`,
	`"match":[{"method":{"regex":"[\\d-z]"}}]`,
	`"match":[{"uri":{"prefix":"/a"}}],"rewrite":{"uriRegexRewrite":{"match":"\\p{Letter}","rewrite":"\\9"}}`,
	`"match":[{"uri":{"prefix":"/a"}}],"rewrite":{"uri":"/a\u0000b"}`,
	`"match":[{"uri":{"prefix":"/b"}}],"headers":{"request":{"set":{"x":"%NOSUCH(1)%"}}}`,
	`"match":[{"uri":{"prefix":"/b"}}],"headers":{"request":{"set":{"x y\n":"1"}}}`,
	`"match":[{"uri":{"prefix":"/b"}}],"headers":{"request":{"remove":[":path","host"]}}`,
	`"match":[{"uri":{"prefix":"/c"}}],"corsPolicy":{"allowOrigins":[{"regex":"\\p{Letter}"}],"maxAge":"999999999s"}`,
	`"match":[{"uri":{"prefix":"/d"}}],"retries":{"attempts":3,"retryOn":"nonsense,5xx,\u0001"}`,
	`"match":[{"uri":{"prefix":"/e"}}],"timeout":"-1s"`,
	`"match":[{"uri":{"prefix":"/e"}}],"timeout":"315576000001s"`,
	`"match":[{"uri":{"prefix":"/f"}}],"fault":{"abort":{"httpStatus":99999,"percentage":{"value":100}}}`,
	`"match":[{"uri":{"prefix":"/g"}}],"directResponse":{"status":9999,"body":{"string":"x"}}`,
}

// expressions: one namespace has routes that sidecars reject, one after the other and
// then all of them. Entries of the neighbor have their effect, its undeclared hosts stay
// closed, and its new pods get their configuration.
func expressions(t *testing.T, b *battery) {
	const ns, host = "expressions", "shared.example.com"
	b.namespace(t, ns, false)
	kit.Must(t, b.object(entries, ns, "shared", entrySpec(host, 80, "HTTP")))
	spec := func(part string) string {
		if !strings.Contains(part, `"directResponse"`) {
			part += `,"route":[{"destination":{"host":"` + host + `"}}]`
		}
		return `{"hosts":["` + host + `"],"http":[{` + part + `},{"route":[{"destination":{"host":"` + host + `"}}]}]}`
	}
	accepted := 0
	for i, part := range rejectable {
		if err := b.object(services, ns, "one", spec(part)); err != nil {
			continue
		}
		accepted++
		b.neighbor.edits++
		edit := fmt.Sprintf("edit-%d.example.com", b.neighbor.edits)
		b.neighbor.declare(t, edit, 80, "HTTP")
		if took := b.neighbor.until(t, edit, 200); took > within {
			t.Errorf("%s: a host of the neighbor is declared after %s", part, took)
		}
		kit.Must(t, b.objects.Resource(entries).Namespace(bank).Delete(ended, nameOf(edit), metav1.DeleteOptions{}))
		b.neighbor.closed(t)
		kit.Must(t, b.objects.Resource(services).Namespace(ns).Delete(context.WithoutCancel(ended), "one", metav1.DeleteOptions{}))
		if t.Failed() {
			t.Fatalf("after rule %d: %s", i, part)
		}
	}
	for i, part := range rejectable {
		_ = b.object(services, ns, fmt.Sprint("all-", i), spec(part))
	}
	t.Logf("%d of %d are accepted by the API server", accepted, len(rejectable))
	b.neighbor.goesOn(t, 4)
	b.neighbor.closed(t)
	t.Logf("%v responses rejected by sidecars", b.metric(t, "outrider_xds_rejections_total"))
}
