package inject

import (
	"strings"
	"testing"
)

// A value of the wrong type is named by its path, with what belongs there.
func TestWrongTypes(t *testing.T) {
	pod := func(rest string) string { return `{"apiVersion":"v1","kind":"Pod",` + rest + `}` }
	for _, tt := range []struct{ object, want string }{
		{pod(`"metadata":{"name":true}`), "pod: the object is no v1 Pod: metadata.name: true or false where a string belongs; put it in quotes"},
		{pod(`"metadata":{"annotations":{"a":1.5}}`), "metadata.annotations: a number where a string belongs; put it in quotes"},
		{pod(`"metadata":{"labels":[]}`), "metadata.labels: a list where a mapping belongs; kubectl explain pod.metadata.labels shows its form"},
		{`{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":1},"spec":{"template":{}}}`,
			"the object is no apps/v1 Deployment: metadata.name: a number where a string belongs; put it in quotes"},
		// What is none of ours is none of ours to judge.
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
		`{"hostNetwork":"true"}`:                         "spec.hostNetwork: a string where true or false belongs; write it without quotes",
		`{"priority":"1"}`:                               "spec.priority: a string where a number belongs; write it without quotes",
		`{"containers":{"a":{}}}`:                        "spec.containers: a mapping where a list belongs; kubectl explain pod.spec.containers shows its form",
		`{"dnsPolicy":1}`:                                "spec.dnsPolicy: a number where a string belongs; put it in quotes",
		`{"containers":[{"ports":[{"name":1}]}]}`:        "spec.containers.ports.name: a number where a string belongs; put it in quotes",
		`{"containers":[{"ports":[{"protocol":true}]}]}`: "spec.containers.ports.protocol: true or false where a string belongs; put it in quotes",
		`{"securityContext":5}`:                          "spec.securityContext: a number where a mapping belongs; kubectl explain pod.spec.securityContext shows its form",
	} {
		_, err := decodePod([]byte(pod(`"spec":` + spec)))
		if err == nil || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("%s: want %q, got %v", spec, want, err)
		}
	}
}
