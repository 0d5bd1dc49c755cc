package config_test

import (
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
)

// keyCase is a key with a value other than the default, in the values that it
// needs beside it to matter.
type keyCase struct {
	value string // in the place of the key
	with  string // other values, as a mapping
	// warns is set where the value has no effect with the built-in template.
	warns bool
}

var keyCases = map[string]keyCase{
	"revision":                                     {value: "canary"},
	"global.hub":                                   {value: "registry.example/mesh"},
	"global.tag":                                   {value: "v2"},
	"global.variant":                               {value: "debug"},
	"global.imagePullPolicy":                       {value: "Always"},
	"global.imagePullSecrets":                      {value: "[registry]"},
	"global.platform":                              {value: "no-such-platform", warns: true},
	"global.platformFallback":                      {value: `"10.0.0.0/8,fd00::/8"`, with: "global: {proxy: {excludeIPRanges: cluster}}"},
	"global.network":                               {value: "net1", warns: true},
	"global.logAsJson":                             {value: "true"},
	"global.logging.level":                         {value: "debug", warns: true},
	"global.namedRanges":                           {value: "{mine: 10.0.0.0/8}", with: "global: {proxy: {excludeIPRanges: mine}}"},
	"global.proxy.autoInject":                      {value: "disabled"},
	"global.proxy.includeIPRanges":                 {value: `"10.0.0.0/8,fd00::/8"`},
	"global.proxy.excludeIPRanges":                 {value: "10.0.0.0/8"},
	"global.proxy.includeOutboundPorts":            {value: "443"},
	"global.proxy.excludeOutboundPorts":            {value: "22"},
	"global.proxy.excludeInterfaces":               {value: "eth1"},
	"global.proxy.includeInboundPorts":             {value: "80", warns: true},
	"global.proxy.excludeInboundPorts":             {value: "80", warns: true},
	"global.proxy.image":                           {value: "registry.example/envoy:1"},
	"global.proxy.logLevel":                        {value: "debug"},
	"global.proxy.componentLogLevel":               {value: "upstream:debug"},
	"global.proxy.clusterDomain":                   {value: "cluster.example"},
	"global.proxy.privileged":                      {value: "true"},
	"global.proxy.holdApplicationUntilProxyStarts": {value: "true", with: `pilot: {env: {ENABLE_NATIVE_SIDECARS: "false"}}`},
	"global.proxy.statusPort":                      {value: "0"},
	"global.proxy.readinessInitialDelaySeconds":    {value: "7"},
	"global.proxy.readinessPeriodSeconds":          {value: "7"},
	"global.proxy.readinessFailureThreshold":       {value: "7"},
	"global.proxy.startupProbe.enabled":            {value: "false"},
	"global.proxy.startupProbe.failureThreshold":   {value: "7", with: `pilot: {env: {ENABLE_NATIVE_SIDECARS: "false"}}`},
	"global.proxy.resources":                       {value: "{limits: {cpu: 3}}"},
	"global.proxy.lifecycle":                       {value: "{preStop: {sleep: {seconds: 7}}}"},
	"global.proxy.seccompProfile":                  {value: "{type: RuntimeDefault}"},
	"global.proxy_init.image":                      {value: "registry.example/init:1"},
	"global.proxy_init.resources":                  {value: "{limits: {cpu: 3}}"},
	"pilot.env.ENABLE_NATIVE_SIDECARS":             {value: `"false"`},
}

// Each key that is read changes a pod with the built-in template, or has a
// warning.
func TestEveryKeyHasAnEffectOrAWarning(t *testing.T) {
	for _, key := range config.ReadKeys() {
		c, ok := keyCases[key]
		if !ok {
			t.Errorf("%s: no case", key)
			continue
		}
		before, _ := injected(t, c.with, key, "")
		after, warnings := injected(t, c.with, key, c.value)
		switch {
		case strings.HasPrefix(after, "rejected"):
			t.Errorf("%s: %s: %s", key, c.value, after)
		case c.warns && !strings.Contains(warnings, ": "+key+": "):
			t.Errorf("%s: %s: no warning: %q", key, c.value, warnings)
		case c.warns && after != before:
			t.Errorf("%s: %s: an effect and a warning that there is none", key, c.value)
		case !c.warns && after == before:
			t.Errorf("%s: %s: no effect", key, c.value)
		case !c.warns && strings.Contains(warnings, ": "+key+": "):
			t.Errorf("%s: %s: a warning although it has an effect: %q", key, c.value, warnings)
		}
	}
}

// injected is a pod with the value of a key, without the hash of the
// configuration, and the warnings about it.
func injected(t *testing.T, with, key, value string) (pod, warnings string) {
	t.Helper()
	values := with
	if value != "" {
		values = merged(with, key, value)
	}
	cfg, problems := config.Parse(config.Texts{Values: values}, config.Labels{})
	if cfg == nil {
		return "rejected: " + problems.Err().Error(), ""
	}
	i, more := inject.Compile(cfg, inject.Environment{})
	problems = append(problems, more...)
	if i == nil {
		return "rejected: " + problems.Err().Error(), ""
	}
	r, err := i.Inject(inject.Request{Pod: []byte(`{"metadata":{"name":"a"},"spec":{"containers":[{"name":"app","image":"app"}]}}`)})
	if err != nil {
		t.Fatal(err)
	}
	text := string(inject.AppendPatch(nil, r.Patch))
	return strings.ReplaceAll(text, i.Hash(), "HASH"), strings.Join(problems.Warnings().Strings(), "\n")
}

// merged is the values with one key more.
func merged(with, key, value string) string {
	inner := value
	names := strings.Split(key, ".")
	for i := len(names) - 1; i >= 0; i-- {
		inner = "{" + names[i] + ": " + inner + "}"
	}
	if with == "" {
		return inner
	}
	const global = "global: {"
	if rest, ok := strings.CutPrefix(with, global); ok {
		return strings.TrimSuffix(inner, "}}") + ", " + rest + "}"
	}
	return strings.TrimSuffix(inner, "}") + ", " + with + "}"
}

// Every key and field has a description.
func TestReferenceIsComplete(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range config.Keys() {
		if k.About == "" || k.Type == "" || seen[k.Path] || !strings.HasSuffix(k.About, ".") {
			t.Errorf("%s: type %q, description %q, seen %v", k.Path, k.Type, k.About, seen[k.Path])
		}
		seen[k.Path] = true
	}
	for key := range keyCases {
		if !seen[key] {
			t.Errorf("the reference lacks %s", key)
		}
	}
	for _, f := range config.MeshFields() {
		if len(f.About) < 20 {
			t.Errorf("meshConfig.%s: description %q", f.Descriptor.JSONName(), f.About)
		}
	}
}
