package inject

import (
	"strings"
	"testing"
)

// A value of the wrong type is reported by its path, with the expected type.
func TestWrongTypes(t *testing.T) {
	pod := func(rest string) string { return `{"apiVersion":"v1","kind":"Pod",` + rest + `}` }
	for _, tt := range []struct{ object, want string }{
		{pod(`"metadata":{"name":true}`), "metadata.name: true: not a valid v1 Pod: expected a string, got a boolean; put it in quotes"},
		{pod(`"metadata":{"annotations":{"a":1.5}}`), "metadata.annotations.a: 1.5: not a valid v1 Pod: expected a string, got a number; put it in quotes"},
		{pod(`"metadata":{"labels":[]}`), "metadata.labels: not a valid v1 Pod: expected an object, got a list; see kubectl explain pod.metadata.labels"},
		{`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":1},"spec":{"template":{}}}`,
			"metadata.name: 1: not a valid apps/v1 Deployment: expected a string, got a number; put it in quotes"},
		// Objects of other kinds are not validated.
		{`{"apiVersion":"example.com/v1","kind":"Thing","metadata":{"name":1}}`, ""},
		{`{"apiVersion":1,"kind":[],"metadata":"x"}`, ""},
	} {
		_, found, err := FindTemplate([]byte(tt.object))
		switch {
		case tt.want == "" && (err != nil || found):
			t.Errorf("%s: found %v, %v", tt.object, found, err)
		case tt.want != "" && (err == nil || !strings.HasSuffix(err.Error(), tt.want)):
			t.Errorf("%s: want %q, got %v", tt.object, tt.want, err)
		}
	}
	for spec, want := range map[string]string{
		`{"hostNetwork":"true"}`:                         "spec.hostNetwork: \"true\": not a valid v1 Pod: expected a boolean, got a string; remove the quotes",
		`{"priority":"1"}`:                               "spec.priority: \"1\": not a valid v1 Pod: expected a number, got a string; remove the quotes",
		`{"containers":{"a":{}}}`:                        "spec.containers: not a valid v1 Pod: expected a list, got an object; see kubectl explain pod.spec.containers",
		`{"dnsPolicy":1}`:                                "spec.dnsPolicy: 1: not a valid v1 Pod: expected a string, got a number; put it in quotes",
		`{"containers":[{"ports":[{"name":1}]}]}`:        "spec.containers[0].ports[0].name: 1: not a valid v1 Pod: expected a string, got a number; put it in quotes",
		`{"containers":[{"ports":[{"protocol":true}]}]}`: "spec.containers[0].ports[0].protocol: true: not a valid v1 Pod: expected a string, got a boolean; put it in quotes",
		`{"securityContext":5}`:                          "spec.securityContext: 5: not a valid v1 Pod: expected an object, got a number; see kubectl explain pod.spec.securityContext",
	} {
		_, err := decodePod([]byte(pod(`"spec":` + spec)))
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: want %q, got %v", spec, want, err)
		}
	}
}
