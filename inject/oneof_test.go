package inject

import (
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"

	"github.com/outrider-mesh/outrider/config"
)

// TestOverridesReplaceHandlersAndSources: of the handlers of a probe and of the sources
// of a variable the pod's own one remains, as the API server accepts one.
func TestOverridesReplaceHandlersAndSources(t *testing.T) {
	const extra = `defaultTemplates: [sidecar, extra]
templates:
  extra: |
    spec:
      {{ if .NativeSidecars }}initContainers{{ else }}containers{{ end }}:
      - name: istio-proxy
        lifecycle: {preStop: {sleep: {seconds: 5}}, postStart: {httpGet: {path: /p, port: 15000}}}
        env: [{name: PLAIN, value: x}, {name: KEY, valueFrom: {secretKeyRef: {name: s, key: k}}}]
        securityContext: {seccompProfile: {type: Localhost, localhostProfile: p.json}}
`
	for _, c := range []struct{ name, override, path, want string }{
		{"command", `"readinessProbe":{"exec":{"command":["x"]}}`, "readinessProbe", `{"timeoutSeconds":3,"exec":{"command":["x"]},"periodSeconds":15,"failureThreshold":4}`},
		{"connection", `"startupProbe":{"tcpSocket":{"port":15021}}`, "startupProbe.tcpSocket", `{"port":15021}`},
		{"the same handler", `"readinessProbe":{"httpGet":{"port":8080}}`, "readinessProbe.httpGet", `{"path":"/healthz/ready","port":8080}`},
		{"no handler", `"readinessProbe":{"periodSeconds":30}`, "readinessProbe.httpGet", `{"path":"/healthz/ready","port":15021}`},
		{"preStop", `"lifecycle":{"preStop":{"exec":{"command":["x"]}}}`, "lifecycle.preStop", `{"exec":{"command":["x"]}}`},
		{"preStop, the other event stays", `"lifecycle":{"preStop":{"exec":{"command":["x"]}}}`, "lifecycle.postStart", `{"httpGet":{"path":"/p","port":15000}}`},
		{"postStart", `"lifecycle":{"postStart":{"tcpSocket":{"port":1}}}`, "lifecycle.postStart", `{"tcpSocket":{"port":1}}`},
		{"value", `"env":[{"name":"KEY","value":"v"}]`, "env.KEY", `{"name":"KEY","value":"v"}`},
		{"value of the built-in template", `"env":[{"name":"APP","value":"v"}]`, "env.APP", `{"name":"APP","value":"v"}`},
		{"source", `"env":[{"name":"PLAIN","valueFrom":{"fieldRef":{"fieldPath":"spec.nodeName"}}}]`, "env.PLAIN", `{"name":"PLAIN","valueFrom":{"fieldRef":{"fieldPath":"spec.nodeName"}}}`},
		{"another source", `"env":[{"name":"KEY","valueFrom":{"configMapKeyRef":{"name":"c","key":"k"}}}]`, "env.KEY", `{"name":"KEY","valueFrom":{"configMapKeyRef":{"name":"c","key":"k"}}}`},
		{"the same source", `"env":[{"name":"KEY","valueFrom":{"secretKeyRef":{"key":"j"}}}]`, "env.KEY", `{"name":"KEY","valueFrom":{"secretKeyRef":{"name":"s","key":"j"}}}`},
		{"no value", `"env":[{"name":"KEY"},{"name":"NEW","value":"n"}]`, "env.KEY", `{"name":"KEY","valueFrom":{"secretKeyRef":{"name":"s","key":"k"}}}`},
		{"profile", `"securityContext":{"seccompProfile":{"type":"RuntimeDefault"}}`, "securityContext.seccompProfile", `{"type":"RuntimeDefault"}`},
	} {
		for _, minor := range []int{28, 37} {
			t.Run(sprintf("%s, 1.%d", c.name, minor), func(t *testing.T) {
				i := mustCompile(t, config.Texts{Config: extra}, Environment{Kubernetes: Version{Major: 1, Minor: minor}})
				pod := `{"metadata":{"name":"a"},"spec":{"containers":[{"name":"a","image":"i"},{"name":"istio-proxy","image":"auto",` + c.override + `}]}}`
				list := "initContainers"
				if minor == 28 {
					list = "containers"
				}
				out := mustInject(t, i, Request{Pod: []byte(pod)})
				got := out.tree.At("spec", list)
				for _, key := range strings.Split("istio-proxy."+c.path, ".") {
					if n := indexOfName(got.Items(), key); n >= 0 {
						got = got.Items()[n]
					} else {
						got = got.Get(key)
					}
				}
				if !jsonpatch.Equal([]byte(got.JSON()), []byte(c.want)) {
					t.Errorf("%s: %s, want %s", c.path, got.JSON(), c.want)
				}
			})
		}
	}
}
