package scenarios

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/redirect"
)

// twice passes to each entry point what each has made: nothing may change.
func (t *trial) twice() {
	if t.cli == nil {
		t.webhookTwice(nil)
		return
	}
	var made []file
	var results []object
	if t.cli.code == 0 && t.cli.out != "" {
		name, _ := t.input()
		made = append(made, file{name, t.cli.out})
		results = objectsOf(t.T, t.cli.out)
	}
	if pods := t.webhookTwice(results); len(pods) > 0 {
		made = append(made, file{"pods.yaml", strings.Join(pods, "---\n")})
	}
	if len(made) == 0 {
		return
	}
	want := made[0].text
	if len(made) > 1 {
		want = strings.TrimSuffix(want, "\n") + "\n---\n" + made[1].text
	}
	if again := t.kubeInject(t.T, "", made...); again.code != 0 || again.out != want {
		t.Errorf("kube-inject changes its own result, or the webhook's (exit code %d): first -, second +\n%s", again.code, cmp.Diff(want, again.out))
	}
}

// webhookTwice sends to the webhook what it made itself, and what kube-inject
// made. It returns its own pods as documents.
func (t *trial) webhookTwice(results []object) (pods []string) {
	for i, o := range t.objects {
		if !o.hasPod() || !t.answers[i].allowed {
			continue
		}
		if again := t.server.admit(t.T, t.answers[i].object, o.namespace(t.scenario)); again.patched || !again.allowed {
			t.Errorf("%s: the webhook changes its own result: first -, second + %v\n%s", o.name(), again.problems, cmp.Diff(t.answers[i].object, again.object))
		} else if d := cmp.Diff(lasting(t.answers[i].warnings), again.warnings); d != "" {
			t.Errorf("%s: the webhook warns differently about its own result: first -, second +\n%s", o.name(), d)
		}
		if results != nil {
			pod := results[i].asCreated(t.T, t.scenario)
			if again := t.server.admit(t.T, pod, o.namespace(t.scenario)); again.patched || !again.allowed {
				t.Errorf("%s: the webhook changes what kube-inject made: first -, second + %v\n%s", o.name(), again.problems, cmp.Diff(pod, again.object))
			}
		}
		text, err := yaml.Marshal(t.answers[i].object)
		if err != nil {
			t.Fatal(err)
		}
		pods = append(pods, string(text))
	}
	return pods
}

// lasting are the warnings that do not end with the injection itself.
func lasting(warnings []string) (out []string) {
	for _, w := range warnings {
		if !strings.Contains(w, "invalid value replaced; reserved for the injector") {
			out = append(out, w)
		}
	}
	return out
}

// served: the API server reads the patched pod into its own types and fills in
// defaults; a second call of the webhook then, or creating the pod again from
// what kubectl shows, changes nothing.
func (t *trial) served() {
	for i, o := range t.objects {
		if !o.hasPod() || !t.answers[i].allowed || !t.answers[i].patched {
			continue
		}
		pod := asServed(t.T, t.answers[i].object)
		if again := t.server.admit(t.T, pod, o.namespace(t.scenario)); again.patched || !again.allowed {
			t.Errorf("%s: the webhook changes the pod as the API server shows it: first -, second + %v\n%s", o.name(), again.problems, cmp.Diff(pod, again.object))
		}
		if status, ok := statusOf(t.T, pod); !ok || !slices.Equal(status.Templates, []string{"sidecar"}) {
			continue // another template may change another container
		}
		pod = meddled(pod)
		if again := t.server.admit(t.T, pod, o.namespace(t.scenario)); again.patched || !again.allowed {
			t.Errorf("%s: the webhook changes the pod after another webhook did: first -, second + %v\n%s", o.name(), again.problems, cmp.Diff(pod, again.object))
		}
	}
}

// arguments reads the init container's arguments with the init container's own
// parser: it must understand what the status annotation holds.
func (t *trial) arguments() {
	for i, o := range t.objects {
		if !o.hasPod() || !t.answers[i].allowed {
			continue
		}
		pod := t.answers[i].object
		status, ok := statusOf(t.T, pod)
		if !ok {
			continue
		}
		for _, c := range containers(pod, "initContainers") {
			if text(c, "name") != "istio-init" || !slices.Contains(status.Templates, "sidecar") {
				continue
			}
			var args []string
			for _, arg := range c["args"].([]any) {
				args = append(args, arg.(string))
			}
			got, _, err := redirect.ParseArgs(args, func(string) string { return "" })
			if err != nil {
				t.Errorf("%s: the init container rejects its arguments: %v", o.name(), err)
				continue
			}
			t.compareArguments(o, status, got)
		}
	}
}

func (t *trial) compareArguments(o object, s podStatus, got redirect.Config) {
	cfg, _ := config.Parse(t.texts(""))
	if got.Mode != redirect.ModeRedirect || got.Action != redirect.Apply || int32(got.ProxyPort) != cfg.Mesh.GetProxyListenPort() {
		t.Errorf("%s: the init container gets %+v", o.name(), got)
	}
	for name, value := range map[string]string{
		"includeOutboundIPRanges": got.Include.String(),
		"excludeOutboundIPRanges": got.Exclude.String(),
		"includeOutboundPorts":    got.IncludePorts.String(),
		"excludeOutboundPorts":    got.ExcludePorts.String(),
		"excludeInterfaces":       strings.Join(got.ExcludeInterfaces, ","),
	} {
		want := s.Effective[name].Value
		if s.Effective[name].Source == "container istio-init of the pod" { // which runs something else
			continue
		}
		if value != want {
			t.Errorf("%s: %s: the init container reads %q, the status annotation has %q", o.name(), name, value, want)
		}
	}
}

// asServed is a pod as the API server shows it: read into its types, with
// defaults, a status, and the volume of the service account's token.
func asServed(t *testing.T, pod tree) tree {
	t.Helper()
	served := copied(t, pod)
	metadata, spec := served["metadata"].(tree), served["spec"].(tree)
	maps.Copy(metadata, tree{
		"creationTimestamp": "2026-08-22T09:30:00Z", "resourceVersion": "4711", "uid": "d1a7c6de-3f0c-4c19-a8b5-2b6d0f2d5a44",
		"managedFields": []any{tree{"manager": "kubectl", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": tree{"f:spec": tree{}}}},
	})
	if metadata["name"] == nil {
		metadata["name"] = text(metadata, "generateName") + "x7k2p"
	}
	for _, list := range []string{"initContainers", "containers"} {
		for _, c := range containers(served, list) {
			serveContainer(c)
		}
	}
	volumes, _ := spec["volumes"].([]any)
	if !slices.ContainsFunc(volumes, func(v any) bool { return text(v.(tree), "name") == tokenVolume }) {
		spec["volumes"] = append(volumes, tree{"name": tokenVolume, "projected": tree{"sources": []any{tree{"serviceAccountToken": tree{"path": "token"}}}}})
	}
	defaults(spec, tree{
		"restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler", "enableServiceLinks": true,
		"terminationGracePeriodSeconds": 30, "serviceAccountName": "default", "securityContext": tree{}, "nodeName": "node-1",
	})
	served["status"] = tree{"phase": "Running", "podIP": "10.244.0.7", "qosClass": "Burstable"}
	return copied(t, served)
}

const (
	tokenVolume = "kube-api-access-9zv8q"
	tokenPath   = "/var/run/secrets/kubernetes.io/serviceaccount"
)

// serveContainer drops what the API's types do not keep, zeros above all, and
// fills in what they default.
func serveContainer(c tree) {
	defaults(c, tree{"imagePullPolicy": "IfNotPresent", "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File", "resources": tree{}})
	for _, name := range []string{"readinessProbe", "startupProbe", "livenessProbe"} {
		if probe := at(c, name); probe != nil {
			defaults(probe, tree{"successThreshold": 1, "timeoutSeconds": 1, "periodSeconds": 10, "failureThreshold": 3})
			if http := at(probe, "httpGet"); http != nil {
				defaults(http, tree{"scheme": "HTTP"})
			}
			if probe["initialDelaySeconds"] != nil && string(asText(probe["initialDelaySeconds"])) == "0" {
				delete(probe, "initialDelaySeconds")
			}
		}
	}
	env, _ := c["env"].([]any)
	for _, e := range env {
		if ref := at(e.(tree), "valueFrom", "fieldRef"); ref != nil {
			defaults(ref, tree{"apiVersion": "v1"})
		}
	}
	mounts, _ := c["volumeMounts"].([]any)
	if !slices.ContainsFunc(mounts, func(m any) bool { return text(m.(tree), "mountPath") == tokenPath }) {
		c["volumeMounts"] = append(mounts, tree{"name": tokenVolume, "mountPath": tokenPath, "readOnly": true})
	}
}

// meddled is a pod after another mutating webhook: a container more, before the
// others unless the sidecar is held first, and a variable more in every container.
func meddled(pod tree) tree {
	for _, list := range []string{"initContainers", "containers"} {
		for _, c := range containers(pod, list) {
			env, _ := c["env"].([]any)
			c["env"] = append(env, tree{"name": "MEDDLED", "value": "yes"})
		}
	}
	spec := at(pod, "spec")
	others, _ := spec["containers"].([]any)
	place := 0
	if text(others[0].(tree), "name") == "istio-proxy" {
		place = 1
	}
	spec["containers"] = slices.Insert(others, place, any(tree{"name": "meddler", "image": "example.com/meddler:1"}))
	at(pod, "metadata", "annotations")["example.com/meddled"] = "yes"
	return pod
}

func defaults(v, missing tree) {
	for key, value := range missing {
		if _, ok := v[key]; !ok {
			v[key] = value
		}
	}
}
