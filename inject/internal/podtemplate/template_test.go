package podtemplate

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

type data struct {
	ObjectMeta metav1.ObjectMeta
	Spec       corev1.PodSpec
	Values     map[string]any
	Settings   map[string]string
}

var testOrigins = map[string]Origin{
	"ObjectMeta": FromPod, "Spec": FromPod, "Values": FromConfig, "Settings": FromSettings,
}

func sample() data {
	return data{
		ObjectMeta: metav1.ObjectMeta{
			Name:        "web-1",
			Labels:      map[string]string{"app": "web"},
			Annotations: map[string]string{"plain": "a", "list": "10.0.0.0/8,1.2.3.4", "json": `{"data":{"emptyDir":{}}}`},
		},
		Spec: corev1.PodSpec{Containers: []corev1.Container{
			{Name: "app", Ports: []corev1.ContainerPort{{ContainerPort: 80}, {ContainerPort: 53, Protocol: "UDP"}}},
			{Name: "istio-proxy", Ports: []corev1.ContainerPort{{ContainerPort: 15090}}},
		}},
		Values: map[string]any{"image": "proxyv2", "tree": map[string]any{"b": int64(1), "a": "x"}, "empty": "", "raw": "k: v\nl: w"},
	}
}

func render(t *testing.T, source string, d data) (string, error) {
	t.Helper()
	tmpl, err := Compile("test", source, testOrigins)
	if err != nil {
		return "", err
	}
	out, err := tmpl.Render(d)
	return string(out), err
}

// TestIstioHelpers shows each helper once, with the result Istio's has.
func TestIstioHelpers(t *testing.T) {
	for source, want := range map[string]string{
		"{{ annotation .ObjectMeta `plain` `d` }}":                                 "a",
		"{{ annotation .ObjectMeta `none` 15020 }}":                                "15020",
		"{{ isset .ObjectMeta.Annotations `plain` }}":                              "true",
		"{{ valueOrDefault .Values.empty `d` }}{{ valueOrDefault .Values.nil 1 }}": "d1",
		"{{ toJSON .ObjectMeta.Labels }}":                                          `{"app":"web"}`,
		"{{ toJSON `<a&b>` }}":                                                     `"<a&b>"`,
		"{{ structToJSON (index (index .Spec.Containers 0).Ports 0) }}":            `{"containerPort":80}`,
		"{{ range $k, $v := fromJSON (index .ObjectMeta.Annotations `json`) }}- name: {{ $k }}\n  {{ toYaml $v | indent 2 }}{{ end }}": "- name: data\n  emptyDir: {}\n  ",
		"a:\n  {{ toYaml .Values.tree | indent 2 }}":              "a:\n  a: x\n  b: 1\n  ",
		"a:{{ toYaml .Values.tree | trim | nindent 2 }}":          "a:\n  a: x\n  b: 1",
		"{{ contains `/` .Values.image }}":                        "false",
		"{{ directory `/etc/certs/a.pem` }}":                      "/etc/certs/",
		"{{ toLower `ReplicaSet` }}s":                             "replicasets",
		"{{ excludeInboundPort 15020 `80, 90` }}":                 "80,90,15020",
		"{{ excludeInboundPort `0` `80` }}":                       "80",
		"{{ excludeInboundPort `80` `80` }}":                      "80",
		"{{ includeInboundPorts .Spec.Containers }}":              "80,15090",
		"{{ applicationPorts .Spec.Containers }}":                 "80",
		"{{ appendMultusNetwork `` `cni` }}":                      "cni",
		"{{ appendMultusNetwork `a, b` `cni` }}":                  "a, b, cni",
		"{{ appendMultusNetwork `[{\"name\": \"a\"}]` `cni` }}":   `[{"name": "a"}, {"name":"cni"}]`,
		"{{ appendMultusNetwork `[{\"name\": \"cni\"}]` `cni` }}": `[{"name": "cni"}]`,
		// In the JSON form, a namespace has a field of its own.
		"{{ appendMultusNetwork `[{\"name\": \"a\"}]` `ns/cni` }}":                       `[{"name": "a"}, {"name":"cni","namespace":"ns"}]`,
		"{{ appendMultusNetwork `[{\"name\":\"cni\",\"namespace\":\"ns\"}]` `ns/cni` }}": `[{"name":"cni","namespace":"ns"}]`,
		"{{ appendMultusNetwork `[{\"name\":\"cni\",\"namespace\":\"b\"}]` `ns/cni` }}":  `[{"name":"cni","namespace":"b"}, {"name":"cni","namespace":"ns"}]`,
		"{{ appendMultusNetwork `[{\"name\":\"cni\",\"namespace\":\"ns\"}]` `cni` }}":    `[{"name":"cni","namespace":"ns"}, {"name":"cni"}]`,
		"{{ appendMultusNetwork `[]` `ns/cni` }}":                                        `[{"name":"cni","namespace":"ns"}]`,
		"{{ appendMultusNetwork `a` `ns/cni` }}":                                         "a, ns/cni",
		"{{ appendMultusNetwork `ns/cni` `ns/cni` }}":                                    "ns/cni",
		"{{ appendMultusNetwork `ns/cni@net1, a` `ns/cni` }}":                            "ns/cni@net1, a",
		"{{ env `HOME` `none` }}":                                                        "none",
		"{{ toJsonMap (strdict `a` `1`) (strdict `b` `2`) }}":                            `{"a":"1","b":"2"}`,
		"{{ omit (dict `a` 1 `b` 2) `b` | toJSON }}":                                     `{"a":1}`,
		"{{ omitNil (dict `a` 1 `b` nil) | toJSON }}":                                    `{"a":1}`,
		"{{ mergeMaps (strdict `a` `1`) (strdict `a` `2`) | toJSON }}":                   `{"a":"2"}`,
		"{{ .Values.image | default `x` | upper }}":                                      "PROXYV2",
		"{{ range until 3 }}{{ . }}{{ end }}":                                            "012",
		"{{ seq 2 4 }}":                                                                  "2 3 4",
		"{{ printf `%s-%03d` .Values.image 7 }}":                                         "proxyv2-007",
		"{{ repeat 3 `ab` }}":                                                            "ababab",
		"{{ replace `a` `b` `banana` }}":                                                 "bbnbnb",
		"{{ .Values.raw }}":                                                              "k: v\nl: w", // the admin may bring structure
		"{{ $x := .Values.raw }}{{ $x }}":                                                "k: v\nl: w",
		"{{ with .Values.tree }}{{ .a }}{{ else }}no{{ end }}":                           "x",
	} {
		got, err := render(t, source, sample())
		if err != nil || got != want {
			t.Errorf("%s\n got %q, %v\nwant %q", source, got, err, want)
		}
	}
}

func TestOtelResourceAttributes(t *testing.T) {
	mesh := &meshconfig.MeshConfig{}
	containers := []corev1.Container{{Name: "app", Image: "reg:5000/web:1.2@sha256:ab"}}
	if got := otelResourceAttributes(mesh, nil, nil, "ns", containers); got != "" {
		t.Errorf("not expected: %q", got)
	}
	mesh.ExtensionProviders = []*meshconfig.MeshConfig_ExtensionProvider{{Provider: &meshconfig.MeshConfig_ExtensionProvider_Opentelemetry{
		Opentelemetry: &meshconfig.MeshConfig_ExtensionProvider_OpenTelemetryTracingProvider{
			ServiceAttributeEnrichment: meshconfig.MeshConfig_ExtensionProvider_OTEL_SEMANTIC_CONVENTIONS,
		},
	}}}
	for want, args := range map[string][2]map[string]string{
		"service.namespace=ns,service.version=1.2@sha256:ab,service.instance.id=ns.$(POD_NAME).app": {},
		"service.namespace=ns,service.version=7,service.instance.id=ns.$(POD_NAME).app":             {nil, {"app.kubernetes.io/version": "7"}},
		"service.namespace=a%2Cb,service.version=1.2@sha256:ab,service.instance.id=x":               {{"resource.opentelemetry.io/service.namespace": "a,b", "resource.opentelemetry.io/service.instance.id": "x"}, nil},
	} {
		if got := otelResourceAttributes(mesh, args[0], args[1], "ns", containers); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestErrorsOfTemplates(t *testing.T) {
	for source, want := range map[string]string{
		"{{ .Nope }}{{ $.Other.X }}":        "no such field: .Nope, .Other",
		"a\n{{ if }}":                       "line 2",
		"{{ fail `no` }}":                   "no",
		"{{ fromJSON `{` }}":                "fromJSON",
		"{{ now }}":                         `function "now" not defined`,
		"{{ expandenv `$HOME` }}":           "not defined",
		"{{ getHostByName `a` }}":           "not defined",
		"{{ genPrivateKey `rsa` }}":         "not defined",
		"{{ uuidv4 }}":                      "not defined",
		"{{ randAlpha 3 }}":                 "not defined",
		"{{ date `2006` 1 }}":               "not defined",
		"{{ shuffle `abc` }}":               "not defined",
		"{{ index .Spec.Containers 9 }}":    "out of range",
		"{{ semverCompare `x` `y` }}":       "invalid semantic version",
		"{{ required `a` }}":                "not defined",
		strings.Repeat("x", maxSource+1):    "exceed the maximum length",
		"{{ strdict `a` }}":                 "key without a value",
		"{{ appendMultusNetwork `[x` `a`}}": "appendMultusNetwork",
	} {
		_, err := render(t, source, sample())
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), `template "test": `) {
			t.Errorf("%.60s: got %v, want it to name %q", source, err, want)
		}
	}
}

// TestLimits: a template that exceeds a limit is an error.
func TestLimits(t *testing.T) {
	for name, source := range map[string]string{
		"repeat":          "{{ repeat 2000000 `a` }}",
		"negative repeat": "{{ repeat -1 `a` }}",
		"until":           "{{ range until 20000 }}{{ end }}",
		"untilStep":       "{{ untilStep 0 2000000 1 }}",
		"seq":             "{{ seq 1 100000000 }}",
		"indent":          "{{ indent 5000000 `a\nb` }}",
		"nindent":         "{{ nindent 5000000 `a` }}",
		"printf":          "{{ printf `%999999999d` 1 }}",
		"printf star":     "{{ printf `%*d` 999999999 1 }}",
		"replace":         "{{ $a := repeat 100000 `a` }}{{ replace `a` $a $a }}",
		"nested loops":    "{{ range until 9999 }}{{ range until 9999 }}{{ range until 9999 }}{{ end }}{{ end }}{{ end }}",
		"output":          "{{ range until 9999 }}{{ repeat 1000 `a` }}{{ end }}",
		"doubling text":   "{{ $x := `aa` }}{{ range until 60 }}{{ $x = cat $x $x }}{{ end }}",
		"doubling list":   "{{ $x := list 1 }}{{ range until 60 }}{{ $x = concat $x $x }}{{ end }}",
		"sharing list":    "{{ $x := list 1 }}{{ range until 60 }}{{ $x = list $x $x }}{{ end }}{{ toJSON $x }}",
		"recursion":       "{{ define `r` }}{{ template `r` . }}{{ end }}{{ template `r` . }}",
		"recursive loop":  "{{ define `r` }}{{ range until 9 }}{{ template `r` . }}{{ end }}{{ end }}{{ template `r` . }}",
	} {
		if _, err := render(t, source, sample()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// awkward are values that mean something in YAML or in templates.
var awkward = []string{
	"a\nprivileged: true", "a\n- b", `a" b: "c`, `a' b: 'c`, "a: b", "a #b", "# a", "{{ .Values }}", "*", "&a", "!!int 1",
	"[1, 2]", "{a: 1}", "- a", "? a", "| a", "> a", "%a", "@a", "`a`", "~", "null", "NULL", "---", "...", "<<", "a:",
	`\`, `\n`, `a\`, "\x00", "\u2028", "\u0085", "\ufeff", "\r", "\t", ",a", "a,b", "", " ", "]", "}", "😀", "true", "123",
}

// places are the ways templates put a value into YAML.
var places = map[string]string{
	"double quotes":     `value: "{{ X }}"`,
	"inside double":     `value: "pre {{ X }} post"`,
	"single quotes":     `value: '{{ X }}'`,
	"plain":             `value: {{ X }}`,
	"plain, part":       `value: pre-{{ X }}-post`,
	"plain, end":        `value: pre {{ X }}`,
	"list item":         "value:\n- {{ X }}",
	"flow list":         `value: [{{ X }}, b]`,
	"flow map":          `value: {k: {{ X }}}`,
	"flow quoted":       `value: {"k": "{{ X }}"}`,
	"toJSON":            `value: {{ toJSON X }}`,
	"toJSON in quotes":  `value: "{{ toJSON X }}"`,
	"toJSON in single":  `value: '{{ toJSON X }}'`,
	"quote":             `value: {{ X | quote }}`,
	"squote":            `value: {{ X | squote }}`,
	"toYaml":            `value: {{ toYaml X | indent 2 }}`,
	"block":             "value: |\n  {{ X }}",
	"variable":          `{{ $v := X }}value: "{{ $v }}"`,
	"changed variable":  `{{ $v := "" }}{{ range until 2 }}value{{ . }}: {{ $v }}` + "\n" + `{{ $v = X }}{{ end }}`,
	"range":             `value: {{ range list X }}{{ . }}{{ end }}`,
	"with":              `{{ with X }}value: {{ . }}{{ end }}`,
	"called template":   `{{ define "t" }}value: {{ . }}{{ end }}{{ template "t" X }}`,
	"through functions": `value: {{ X | trimSuffix "zzz" | printf "%s" }}`,
	"through print":     `value: {{ print X }}`,
	"split":             `value: {{ index (splitList "zzz" X) 0 }}`,
	"key":               `{{ X }}: value`,
	"whole data":        `value: {{ with $ }}{{ .ObjectMeta.Annotations.x }}{{ end }}`,
	"parenthesised":     `value: {{ (index .ObjectMeta.Annotations "x") }}`,
	"after a comment":   "# it's\nvalue: {{ X }}",
	"after a quote":     "a: \"x\"\nb: 'it''s'\nvalue: {{ X }}",
}

// TestPodValuesKeepTheStructure: whatever a pod's value is, the overlay has the
// structure it has for a harmless value, or the template is rejected.
func TestPodValuesKeepTheStructure(t *testing.T) {
	for place, source := range places {
		source = strings.ReplaceAll(source, "X", `(index $.ObjectMeta.Annotations "x")`)
		want := structure(t, source, "harmless")
		rejected := 0
		for _, value := range awkward {
			d := sample()
			d.ObjectMeta.Annotations["x"] = value
			out, err := render(t, source, d)
			if err != nil {
				rejected++
				if !strings.Contains(err.Error(), "structure") {
					t.Errorf("%s, %q: unexpected error %v", place, value, err)
				}
				continue
			}
			if got := structureOf(t, out); got != want && !emptied(place, value) {
				t.Errorf("%s, %q: structure %s, want %s\n%s", place, value, got, want, out)
			}
		}
		if quotedPlace(place) && rejected > 0 {
			t.Errorf("%s: %d values rejected, although each can be written there", place, rejected)
		}
	}
}

// emptied: nothing printed is nothing, as {{ with }} takes the whole line away
// and a plain scalar of nothing is null: that is the template's doing.
func emptied(place, value string) bool {
	return strings.TrimSpace(value) == "" && !quotedPlace(place)
}

func quotedPlace(place string) bool {
	switch place {
	case "double quotes", "inside double", "flow quoted", "toJSON", "toJSON in quotes", "toJSON in single", "quote", "variable":
		return true
	}
	return false
}

func structure(t *testing.T, source, value string) string {
	t.Helper()
	d := sample()
	d.ObjectMeta.Annotations["x"] = value
	out, err := render(t, source, d)
	if err != nil {
		t.Fatalf("%s: %v", source, err)
	}
	return structureOf(t, out)
}

// structureOf prints the kinds and keys of a YAML text, without the scalars.
func structureOf(t *testing.T, text string) string {
	t.Helper()
	var v any
	if err := yaml.UnmarshalStrict([]byte(text), &v); err != nil {
		return "invalid: " + err.Error()
	}
	var shape func(v any) string
	shape = func(v any) string {
		switch v := v.(type) {
		case map[string]any:
			keys := []string{}
			for k, item := range v {
				if strings.HasPrefix(k, "value") {
					keys = append(keys, k+":"+shape(item))
				} else {
					keys = append(keys, "k:"+shape(item))
				}
			}
			return "{" + strings.Join(sorted(keys), ",") + "}"
		case []any:
			out := "["
			for _, item := range v {
				out += shape(item) + ","
			}
			return out + "]"
		}
		return "s"
	}
	return shape(v)
}

func sorted(keys []string) []string {
	for i := range keys {
		for j := range i {
			if keys[i] < keys[j] {
				keys[i], keys[j] = keys[j], keys[i]
			}
		}
	}
	return keys
}

func TestReadsPod(t *testing.T) {
	for source, want := range map[string]bool{
		"{{ .Values.image }}": false,
		"{{ .Settings.x }}":   false,
		"{{ $v := .Values.tree }}{{ $v.a }}{{ range $v }}x{{ end }}":       false,
		"{{ .ObjectMeta.Name }}":                                           true,
		"{{ $.Spec.NodeName }}":                                            true,
		"{{ if .ObjectMeta.Labels }}x{{ end }}":                            true,
		"{{ with .Values.tree }}{{ $.ObjectMeta.Name }}{{ end }}":          true,
		"{{ printf `%v` . }}":                                              true,
		"{{ $d := . }}{{ $d.Values.image }}":                               true, // cannot be followed
		"{{ define `a` }}{{ .x }}{{ end }}{{ template `a` .Values.tree }}": true,
	} {
		tmpl, err := Compile("test", source, testOrigins)
		if err != nil {
			t.Fatal(err)
		}
		if tmpl.ReadsPod != want {
			t.Errorf("%s: ReadsPod %v", source, tmpl.ReadsPod)
		}
	}
	if tmpl, _ := Compile("test", "{{ $_ := set .Values `a` 1 }}", testOrigins); !tmpl.Mutates {
		t.Error("set: not seen to mutate")
	}
}

func TestConcurrentRenders(t *testing.T) {
	tmpl, err := Compile("test", "{{ range .Spec.Containers }}{{ toJSON .Name }},{{ end }}", testOrigins)
	if err != nil {
		t.Fatal(err)
	}
	errs := make(chan error)
	for range 8 {
		go func() {
			out, err := tmpl.Render(sample())
			if err == nil && string(out) != `"app","istio-proxy",` {
				err = fmt.Errorf("got %s", out)
			}
			errs <- err
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

// FuzzPodValue: no value of a pod changes the structure, in any place.
func FuzzPodValue(f *testing.F) {
	for _, value := range awkward {
		f.Add(value)
	}
	type compiled struct {
		tmpl *Template
		want string
	}
	var all []compiled
	for place, source := range places {
		if place == "key" || place == "with" || place == "called template" { // an empty value removes the line
			continue
		}
		source = strings.ReplaceAll(source, "X", `(index $.ObjectMeta.Annotations "x")`)
		tmpl, err := Compile(place, source, testOrigins)
		if err != nil {
			f.Fatal(err)
		}
		d := sample()
		d.ObjectMeta.Annotations["x"] = "harmless"
		out, err := tmpl.Render(d)
		if err != nil {
			f.Fatal(err)
		}
		all = append(all, compiled{tmpl, structureOf(&testing.T{}, string(out))})
	}
	f.Fuzz(func(t *testing.T, value string) {
		if strings.TrimSpace(value) == "" || !utf8.ValidString(value) { // decoded JSON is valid UTF-8
			return
		}
		d := sample()
		d.ObjectMeta.Annotations["x"] = value
		for _, c := range all {
			out, err := c.tmpl.Render(d)
			if err != nil {
				continue
			}
			if got := structureOf(t, string(out)); got != c.want {
				t.Errorf("%s, %q: structure %s, want %s\n%s", c.tmpl.name, value, got, c.want, out)
			}
		}
	})
}
