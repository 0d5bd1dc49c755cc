package scenarios

import (
	"fmt"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/test/istio"
)

// helm is a set of Helm values by dotted keys.
func helm(pairs ...any) map[string]any {
	out := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		at := out
		names := strings.Split(pairs[i].(string), ".")
		for _, name := range names[:len(names)-1] {
			next, ok := at[name].(map[string]any)
			if !ok {
				next = map[string]any{}
				at[name] = next
			}
			at = next
		}
		at[names[len(names)-1]] = pairs[i+1]
	}
	return out
}

// installations are Istio's chart with the values that its templates branch on.
var installations = []struct {
	name   string
	values map[string]any
}{
	{"default", helm()},
	{"canary", helm("revision", "canary", "global.network", "net1", "global.logAsJson", true, "global.meshID", "mesh1", "global.variant", "debug")},
	{"nftables", helm("global.nativeNftables", true, "global.imagePullSecrets", []any{"registry"}, "global.imagePullPolicy", "Always")},
	{"cni", helm("pilot.cni.enabled", true, "pilot.cni.provider", "multus", "global.proxy.excludeOutboundPorts", "22")},
	{"openshift", helm("global.platform", "openshift")},
	{"demo", helm("profile", "demo", "meshConfig.accessLogFile", "/dev/stdout", "meshConfig.defaultConfig.holdApplicationUntilProxyStarts", true)},
	{"ambient", helm("profile", "ambient")},
	{"older", helm("compatibilityVersion", "1.27")},
	{"tracer", helm("global.proxy.tracer", "zipkin", "global.mountMtlsCerts", true, "global.sts.servicePort", 8080, "global.proxy.seccompProfile.type", "RuntimeDefault")},
	{"certificates", helm("global.caName", "GkeWorkloadCertificate", "global.caAddress", "ca.example:443", "pilot.env.ENABLE_CLUSTER_TRUST_BUNDLE_API", true)},
	{"plain sidecars", helm("pilot.env.ENABLE_NATIVE_SIDECARS", "false", "global.proxy.statusPort", 0, "global.proxy.lifecycle.preStop.exec.command", []any{"sleep", "5"})},
}

// TestIstioInstallation puts each installation of Istio, unchanged, through both
// entry points: its templates render for a pod of each kind.
func TestIstioInstallation(t *testing.T) {
	var values []map[string]any
	for _, i := range installations {
		values = append(values, i.values)
	}
	all := istio.Require(t, values...)
	t.Run("templates without their values", func(t *testing.T) {
		s := &scenario{name: "istio", files: []file{{"input.yaml", podsOfEachKind()}, {"config.yaml", all[0].Config}}}
		newTrial(t, s).checkInstallation()
	})
	for n, texts := range all {
		t.Run(installations[n].name, func(t *testing.T) {
			t.Parallel()
			s := &scenario{name: "istio", files: []file{
				{"input.yaml", podsOfEachKind()}, {"config.yaml", texts.Config}, {"values.yaml", texts.Values}, {"mesh.yaml", texts.Mesh},
			}}
			newTrial(t, s).checkInstallation()
		})
	}
}

func (t *trial) checkInstallation() {
	if t.injector == nil {
		t.Fatalf("rejected: %v", t.problems)
	}
	name, text := t.input()
	t.server, t.stream, t.objects = newWebhookServer(t.T, t.scenario, t.injector), text, objectsOf(t.T, text)
	t.webhook()
	t.cli = t.kubeInject(t.T, "", file{name, text})
	if t.cli.code != 0 {
		t.Fatalf("kube-inject: %v %v", t.cli.configProblems, t.cli.problems)
	}
	t.compareConfiguration()
	t.compareObjects()
	t.twice()
	if strings.Contains(t.cli.out, "<no value>") {
		t.Error("a template printed a value that is not set")
	}
	for i, o := range t.objects {
		if a := t.answers[i]; o.hasPod() && (!a.allowed || !a.patched) {
			t.Errorf("%s: not injected: %v", o.name(), a.problems)
		}
	}
	for _, p := range t.problems {
		if text := p.String(); !strings.Contains(text, "pods that request this template are denied") && !strings.Contains(text, "no effect") {
			t.Errorf("the configuration has the problem %s", text)
		}
	}
}

// podsOfEachKind is a pod of each kind, with the annotations that Istio's templates
// branch on, and each of the templates that pods may request.
func podsOfEachKind() string {
	const spec = "{restartPolicy: %s, containers: [{name: app, image: app, ports: [{containerPort: 8080}]}], initContainers: [{name: setup, image: setup}]}"
	always, never := fmt.Sprintf(spec, "Always"), fmt.Sprintf(spec, "Never")
	var documents []string
	add := func(kind, name, body string) {
		documents = append(documents, fmt.Sprintf("%s\nmetadata: {name: %s}\nspec: %s\n", kind, name, body))
	}
	template := func(spec string) string { return "{template: {metadata: {labels: {app: a}}, spec: " + spec + "}}" }
	add("apiVersion: apps/v1\nkind: Deployment", "web", template(always))
	add("apiVersion: apps/v1\nkind: StatefulSet", "db", template(always))
	add("apiVersion: apps/v1\nkind: DaemonSet", "agent", template(always))
	add("apiVersion: batch/v1\nkind: Job", "report", template(never))
	add("apiVersion: batch/v1\nkind: CronJob", "nightly", "{jobTemplate: {spec: "+template(never)+"}}")
	for i, annotations := range []string{
		"{}",
		`{sidecar.istio.io/nativeSidecar: "true"}`,
		`{sidecar.istio.io/nativeSidecar: "false"}`,
		`{inject.istio.io/templates: sidecar}`,
		`{inject.istio.io/templates: gateway}`,
		`{inject.istio.io/templates: grpc-simple}`,
		`{inject.istio.io/templates: grpc-agent}`,
		`{sidecar.istio.io/proxyCPU: "4", sidecar.istio.io/proxyMemory: 1Gi}`,
		`{sidecar.istio.io/proxyCPULimit: "4", sidecar.istio.io/proxyImage: envoy:latest}`,
		`{traffic.sidecar.istio.io/includeOutboundIPRanges: "10.0.0.0/8,fd00::/8", traffic.sidecar.istio.io/excludeOutboundPorts: "22", traffic.sidecar.istio.io/includeOutboundPorts: "443"}`,
		`{readiness.status.sidecar.istio.io/periodSeconds: "5", status.sidecar.istio.io/port: "15099", sidecar.istio.io/logLevel: debug}`,
		`{sidecar.istio.io/interceptionMode: NONE, sidecar.istio.io/bootstrapOverride: mine}`,
		`{proxy.istio.io/config: "concurrency: 1\nproxyMetadata: {A: b}\n", k8s.v1.cni.cncf.io/networks: '[{"name": "a"}]'}`,
		`{sidecar.istio.io/userVolume: '{"v": {"emptyDir": {}}}', sidecar.istio.io/userVolumeMount: '{"v": {"mountPath": "/v"}}'}`,
	} {
		documents = append(documents, fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: pod-%d, labels: {app: a}, annotations: %s}\nspec: %s\n", i, annotations, always))
	}
	return strings.Join(documents, "---\n")
}
