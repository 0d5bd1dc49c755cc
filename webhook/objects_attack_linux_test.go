package webhook

import (
	"encoding/json"
	"fmt"
	"strings"

	admissionv1 "k8s.io/api/admission/v1"

	"github.com/outrider-mesh/outrider/webhook/registration"
)

// numbered is n items that differ by their number, with commas between them.
func numbered(n int, format string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, strings.ReplaceAll(format, "%n", "%[1]d"), i)
	}
	return b.String()
}

// filled is as many lines as fit into a size, by number.
func filled(size int, line string) string {
	var b strings.Builder
	for i := 0; b.Len() < size; i++ {
		fmt.Fprintf(&b, strings.ReplaceAll(line, "%n", "%[1]d"), i)
	}
	return b.String()
}

// heavyEntries are ServiceEntries, and heavyRoutes VirtualServices, with long lists.
func heavyEntries(n int) map[string]string {
	ports := `"ports":[{"number":80,"name":"http","protocol":"HTTP"}]`
	return map[string]string{
		"hosts":             `{"hosts":[` + numbered(n, `"h%n.example"`) + `],` + ports + `,"resolution":"DNS"}`,
		"same hosts":        `{"hosts":[` + items(`"h.example"`, n) + `],` + ports + `,"resolution":"DNS"}`,
		"wildcards":         `{"hosts":[` + numbered(n, `"*.h%n.example"`) + `],` + ports + `,"resolution":"DYNAMIC_DNS"}`,
		"invalid hosts":     `{"hosts":[` + numbered(n, `"_%n"`) + `],` + ports + `,"resolution":"DNS"}`,
		"a long host":       `{"hosts":["` + strings.Repeat("a.", 10*n) + `a"],` + ports + `,"resolution":"DNS"}`,
		"ports":             `{"hosts":["a.example"],"ports":[` + numbered(n, `{"number":%n,"name":"p%n","protocol":"TCP"}`) + `],"resolution":"DNS"}`,
		"invalid ports":     `{"hosts":["a.example"],"ports":[` + items(`{"number":0,"name":"a","protocol":"x"}`, n) + `],"resolution":"DNS"}`,
		"addresses":         `{"hosts":["a.example"],"addresses":[` + numbered(n, `"fd00::%n/128"`) + `],` + ports + `,"resolution":"DNS"}`,
		"invalid addresses": `{"hosts":["a.example"],"addresses":[` + numbered(n, `"x%n"`) + `],` + ports + `,"resolution":"DNS"}`,
		"endpoints":         `{"hosts":["a.example"],"endpoints":[` + numbered(n, `{"address":"e%n.example","ports":{"http":%n}}`) + `],` + ports + `,"resolution":"DNS"}`,
		"endpoint labels":   `{"hosts":["a.example"],"endpoints":[{"address":"e.example","labels":{` + numbered(n, `"l%n":"x"`) + `}}],` + ports + `,"resolution":"DNS"}`,
		"exports":           `{"hosts":["a.example"],"exportTo":[` + numbered(n, `"n%n"`) + `],` + ports + `,"resolution":"DNS"}`,
		"unknown fields":    `{"hosts":["a.example"],` + numbered(n, `"hostz%n":1`) + `,` + ports + `,"resolution":"DNS"}`,
		"wrong types":       `{"hosts":[` + items("7", n) + `],` + ports + `,"resolution":"DNS"}`,
	}
}

func heavyRoutes(n int) map[string]string {
	to := `"route":[{"destination":{"host":"a.example"}}]`
	return map[string]string{
		"hosts":           `{"hosts":[` + numbered(n, `"h%n.example"`) + `],"http":[{` + to + `}]}`,
		"routes":          `{"hosts":["a.example"],"http":[` + numbered(n, `{"match":[{"uri":{"prefix":"/%n"}}],`+to+`}`) + `]}`,
		"same routes":     `{"hosts":["a.example"],"http":[` + items(`{`+to+`}`, n) + `]}`,
		"same names":      `{"hosts":["a.example"],"http":[` + items(`{"name":"a",`+to+`}`, n) + `]}`,
		"matches":         `{"hosts":["a.example"],"http":[{"match":[` + numbered(n, `{"uri":{"exact":"/%n"}}`) + `],` + to + `}]}`,
		"regexes":         `{"hosts":["a.example"],"http":[{"match":[` + numbered(n, `{"uri":{"regex":"/a{1,9}b%n"}}`) + `],` + to + `}]}`,
		"large regexes":   `{"hosts":["a.example"],"http":[{"match":[` + numbered(n/10, `{"uri":{"regex":"(a{1,30}){1,30}%n"}}`) + `],` + to + `}]}`,
		"a long regex":    `{"hosts":["a.example"],"http":[{"match":[{"uri":{"regex":"` + strings.Repeat("(a|b)*", 3*n) + `"}}],` + to + `}]}`,
		"a deep regex":    `{"hosts":["a.example"],"http":[{"match":[{"uri":{"regex":"` + strings.Repeat("(", 5*n) + "a" + strings.Repeat(")", 5*n) + `"}}],` + to + `}]}`,
		"classes":         `{"hosts":["a.example"],"http":[{"match":[{"uri":{"regex":"` + strings.Repeat(`\\pL`, 3*n) + `"}}],` + to + `}]}`,
		"headers":         `{"hosts":["a.example"],"http":[{"match":[{"headers":{` + numbered(n, `"h%n":{"exact":"x"}`) + `}}],` + to + `}]}`,
		"request headers": `{"hosts":["a.example"],"http":[{"headers":{"request":{"set":{` + numbered(n, `"h%n":"%%REQ(a)%%"`) + `}}},` + to + `}]}`,
		"weights":         `{"hosts":["a.example"],"http":[{"route":[` + numbered(n, `{"weight":1,"destination":{"host":"d%n.example","port":{"number":80}}}`) + `]}]}`,
		"mirrors":         `{"hosts":["a.example"],"http":[{"mirrors":[` + numbered(n, `{"destination":{"host":"d%n.example"}}`) + `],` + to + `}]}`,
		"tls":             `{"hosts":["a.example"],"tls":[` + numbered(n, `{"match":[{"port":443,"sniHosts":["s%n.example"]}],`+to+`}`) + `]}`,
		"tcp":             `{"hosts":["a.example"],"tcp":[` + numbered(n, `{"match":[{"port":%n}],`+to+`}`) + `]}`,
		"gateways":        `{"hosts":["a.example"],"gateways":[` + numbered(n, `"g%n"`) + `],"http":[{` + to + `}]}`,
		"durations":       `{"hosts":["a.example"],"http":[` + items(`{"timeout":"-1s",`+to+`}`, n) + `]}`,
	}
}

// heavyTexts are the data of ConfigMaps with texts of a size.
func heavyTexts(size int) map[string]map[string]string {
	values := func(text string) map[string]string { return map[string]string{"values": text} }
	conf := func(text string) map[string]string { return map[string]string{"config": text} }
	bomb := "global:\n  a: &a [x,x,x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'h'; c++ {
		bomb += "  " + string(c) + ": &" + string(c) + " [" + items("*"+string(c-1), 10) + "]\n"
	}
	return map[string]map[string]string{
		"aliases":           values(bomb),
		"many aliases":      values("a: &a x\nb:\n" + filled(size-100, "- *a\n")),
		"anchors":           values("b:\n" + filled(size-100, "- &a%n x\n")),
		"merges":            values("a: &a {x: y}\n" + filled(size-100, "k%n: {<<: *a}\n")),
		"deep":              values(strings.Repeat("[", size)),
		"deep and wide":     values(filled(size-300, strings.Repeat("[", 90)+strings.Repeat("]", 90)+",\n")),
		"flow":              values("a: [" + strings.Repeat("1,", size/2-10) + "1]"),
		"empty maps":        values("a: [" + strings.Repeat("{},", size/3-10) + "1]"),
		"keys":              values(filled(size-100, "k%n:\n")),
		"keys of global":    values("global:\n" + filled(size-100, " k%n:\n")),
		"same key":          values(strings.Repeat("a:\n", size/3-2)),
		"proxy keys":        values("global:\n  proxy:\n" + filled(size-100, "   image%n: 1\n")),
		"ranges":            values("global:\n  proxy:\n    excludeIPRanges: " + strings.TrimSuffix(filled(size-100, "10.0.%n.0/24,"), ",")),
		"valid ranges":      values("global:\n  proxy:\n    includeIPRanges: " + strings.TrimSuffix(filled(size-100, "fd00::%n,"), ",")),
		"ports":             values("global:\n  proxy:\n    excludeOutboundPorts: '" + strings.TrimSuffix(filled(size-100, "%n,"), ",") + "'"),
		"a string":          values("a: \"" + strings.Repeat(`\x41`, size/4-20) + "\""),
		"comments":          values(strings.Repeat("#\n", size/2-1)),
		"documents":         values(strings.Repeat("---\n", size/4-1)),
		"templates":         conf("templates:\n" + filled(size-100, "  t%n: 'x: y'\n")),
		"a template":        conf("templates:\n  a: '" + strings.Repeat("{{.}}", size/5-20) + "'\n"),
		"nested templates":  conf("templates:\n  a: '" + strings.Repeat("{{if .}}", size/16-20) + strings.Repeat("{{end}}", size/16-20) + "'\n"),
		"unnamed templates": conf("defaultTemplates: [" + items("a", size/2-20) + "]"),
		"aliases of none":   conf("aliases:\n" + filled(size-100, "  a%n: [x]\n")),
		"selectors":         conf("neverInjectSelector:\n" + filled(size-100, "- {matchLabels: {a: b%n}}\n")),
		"expressions":       conf("neverInjectSelector:\n- matchExpressions:\n" + filled(size-100, "  - {key: a, operator: Inside}\n")),
		"annotations":       conf("injectedAnnotations:\n" + filled(size-100, "  a%n: b\n")),
		"mesh":              {"mesh": "outboundTrafficPolicy:\n" + filled(size-100, "  mode%n: x\n")},
		"mesh providers":    {"mesh": "extensionProviders:\n" + filled(size-100, "- {name: a%n, envoyFileAccessLog: {path: /dev/stdout}}\n")},
		"mesh namespaces":   {"mesh": "defaultServiceExportTo:\n" + filled(size-100, "- n%n\n")},
		"a long key":        {strings.Repeat("v", size): "x"},
		"unread keys":       {"values": "", "x": strings.Repeat("x", size)},
	}
}

// objectAttacks are the reviews of those objects, by their path and name.
func objectAttacks(n, size int) map[string]map[string][]byte {
	of := func(resource string) func(*admissionv1.AdmissionReview) {
		return about("networking.istio.io", "v1", resource)
	}
	maps := func(rv *admissionv1.AdmissionReview) {
		about("", "v1", "configmaps")(rv)
		rv.Request.Namespace = "istio-system"
	}
	objects, texts := map[string][]byte{}, map[string][]byte{}
	for name, spec := range heavyEntries(n) {
		objects["entry: "+name] = reviewOf(entryOf(spec), of(registration.ServiceEntries))
	}
	for name, spec := range heavyRoutes(n) {
		objects["routes: "+name] = reviewOf(routesOf(spec), of(registration.VirtualServices))
	}
	for name, data := range heavyTexts(size) {
		object := "istio-sidecar-injector"
		if data["mesh"] != "" {
			object = "istio"
		}
		text, err := json.Marshal(data)
		exitOn(err)
		texts[name] = reviewOf(configMap(object, string(text)), maps)
	}
	return map[string]map[string][]byte{registration.ValidatePath: objects, registration.ConfigurationPath: texts}
}
