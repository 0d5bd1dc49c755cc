package envoy

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
)

func annotated(pairs ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i+1 < len(pairs); i += 2 {
		m[pairs[i]] = pairs[i+1]
	}
	return m
}

// discovery is the annotation for another control plane.
func discovery(address string) map[string]string {
	return annotated("proxy.istio.io/config", fmt.Sprintf("discoveryAddress: %q", address))
}

// setups are the configurations that change what Envoy is given, with what must
// be seen in its bootstrap or arguments.
var setups = map[string]struct {
	setup
	want []string
	not  []string
}{
	"default": {
		setup: setup{labels: map[string]string{"app": "sleep"}},
		want:  []string{`id: "sidecar~10.244.0.7~sleep-7d4b-x2x.shop~shop.svc.cluster.local"`, `cluster: "sleep.shop"`, "--concurrency 2 ", "--log-level warning ", "--component-log-level misc:error "},
	},
	"IPv6 pod":      {setup: setup{ip: "fd00:10:244::7"}, want: []string{`"sidecar~fd00:10:244::7~sleep`}},
	"no app label":  {want: []string{`cluster: ".shop"`}},
	"odd app label": {setup: setup{labels: map[string]string{"app": "1e3"}}, want: []string{`cluster: "1e3.shop"`}},
	"classic":       {setup: setup{kubernetes: inject.Version{Major: 1, Minor: 28}}},
	"control plane": {setup: setup{annotations: discovery("istiod.other.svc:443")}, want: []string{"istiod.other.svc", "port_value: 443}"}, not: []string{"15012"}},
	// Names that YAML would read as something else.
	"control plane, a number": {setup: setup{annotations: discovery("1234:15012")}},
	"control plane, a word":   {setup: setup{annotations: discovery("null:15012")}},
	"control plane, a float":  {setup: setup{annotations: discovery("1e3:15012")}},
	"control plane, IPv4":     {setup: setup{annotations: discovery("192.0.2.1:15012")}},
	"control plane, IPv6":     {setup: setup{annotations: discovery("[fd00::1]:15012")}},
	"control plane, ::1":      {setup: setup{annotations: discovery("[::1]:15012")}},
	"control plane, ::":       {setup: setup{annotations: discovery("[fd00::]:15012")}},
	"concurrency 0":           {setup: setup{annotations: annotated("proxy.istio.io/config", "concurrency: 0")}, not: []string{"--concurrency"}},
	"concurrency 7":           {setup: setup{annotations: annotated("proxy.istio.io/config", "concurrency: 7")}, want: []string{"--concurrency 7 "}},
	"component log levels":    {setup: setup{annotations: annotated("sidecar.istio.io/componentLogLevel", "upstream:debug, config:trace,misc:off")}, want: []string{"--component-log-level upstream:debug,config:trace,misc:off "}},
	"no component log levels": {setup: setup{annotations: annotated("sidecar.istio.io/componentLogLevel", "")}, not: []string{"--component-log-level"}},
	"cluster domain":          {setup: setup{values: "global: {proxy: {clusterDomain: corp.example}}"}, want: []string{"shop.svc.corp.example"}},
	"proxy metadata":          {setup: setup{annotations: annotated("proxy.istio.io/config", "proxyMetadata: {OTHER: 9.9.9.9, EXTRA: '$(APP)\"'}")}},
}

// Every version of the table accepts every bootstrap and argument that the injector
// renders.
func TestEnvoyAccepts(t *testing.T) {
	for _, v := range config.EnvoyVersions() {
		t.Run(v.Version, func(t *testing.T) { envoyAccepts(t, RequireVersion(t, v.Version)) })
	}
}

func envoyAccepts(t *testing.T, program string) {
	for _, level := range []string{"trace", "debug", "info", "warning", "warn", "error", "critical", "off"} {
		s := setups["default"]
		s.annotations, s.want = annotated("sidecar.istio.io/logLevel", level), []string{"--log-level " + level + " "}
		setups["log level "+level] = s
	}
	dir := t.TempDir()
	fillSecrets(t, dir, "..1", map[string]string{"token": "t", "ca.pem": newCA(t).pem(), "sds-token.yaml": sdsToken, "sds-ca.yaml": sdsCA})
	for name, c := range setups {
		t.Run(name, func(t *testing.T) {
			if c.ip == "" {
				c.ip = "10.244.0.7"
			}
			s := render(t, c.setup)
			if !slices.Equal(s.command, []string{"/usr/local/bin/envoy"}) {
				t.Errorf("command %q", s.command)
			}
			all := strings.Join(s.args, " ")
			for _, want := range c.want {
				if !strings.Contains(all+" ", want) {
					t.Errorf("no %q in\n%s", want, all)
				}
			}
			for _, not := range append(c.not, "$(") {
				if strings.Contains(all, not) {
					t.Errorf("%q in\n%s", not, all)
				}
			}
			cmd := exec.CommandContext(t.Context(), program, append([]string{"--mode", "validate"}, s.withSecrets(dir).args...)...)
			cmd.Env = s.env
			if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "OK") {
				t.Errorf("envoy --mode validate: %v\n%s\nbootstrap:\n%s", err, out, s.bootstrap(t))
			}
		})
	}
}
