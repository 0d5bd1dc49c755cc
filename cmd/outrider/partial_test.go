package main

import (
	"fmt"
	"strings"
	"testing"
)

// TestPartialManifests: what is no whole workload, such as a patch of Kustomize, is
// copied and reported; the rest of the directory is injected.
func TestPartialManifests(t *testing.T) {
	const apps = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n"
	pod := func(spec string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n" + spec
	}
	template := func(text string) string {
		return apps + "spec:\n  template:\n    " + strings.ReplaceAll(text, "\n", "\n    ") + "\n"
	}
	const app = "containers: [{name: app, image: i}]"
	for name, c := range map[string]struct{ in, want string }{
		"replicas":           {apps + "spec: {replicas: 3}\n", "document 1 (Deployment web): skipped: no pod template at spec.template, as in a patch"},
		"no spec":            {apps, "no pod template at spec.template"},
		"null spec":          {apps + "spec:\n", "no pod template at spec.template"},
		"null template":      {apps + "spec: {template: }\n", "no pod template at spec.template"},
		"template metadata":  {template("metadata: {labels: {a: b}}"), "skipped: the pod has no spec, as in a patch"},
		"empty template":     {template("{}"), "skipped: the pod has no spec"},
		"null pod spec":      {template("spec:"), "skipped: the pod has no spec"},
		"no containers":      {template("spec: {nodeSelector: {a: b}}"), "skipped: the pod has no containers"},
		"init containers":    {template("spec: {initContainers: [{name: a, image: i}]}"), "skipped: the pod has no containers"},
		"name only":          {template("spec: {containers: [{name: app}]}"), `skipped: container "app" has no image, as in a patch`},
		"resources":          {template("spec: {containers: [{name: app, resources: {limits: {cpu: 1}}}]}"), `container "app" has no image`},
		"one without image":  {template("spec: {containers: [{name: app, image: i}, {name: b, env: []}]}"), `container "b" has no image`},
		"init without image": {template("spec: {initContainers: [{name: a}], " + app + "}"), `container "a" has no image`},
		"delete":             {template("spec: {containers: [{name: b, $patch: delete}, {name: app, image: i}]}"), `container "b" has a patch directive`},
		"order":              {template("spec: {$setElementOrder/containers: [{name: app}], " + app + "}"), "the pod's spec has a patch directive"},
		"cronjob":            {"apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: c}\nspec: {suspend: true}\n", "(CronJob c): skipped: no pod template at spec.jobTemplate.spec.template"},
		"cronjob, half":      {"apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: c}\nspec: {jobTemplate: {spec: {backoffLimit: 1}}}\n", "no pod template at spec.jobTemplate.spec.template"},
		"a pod's kind":       {"apiVersion: v1\nkind: Pod\n", "document 1 (Pod (no name)): skipped: the pod has no spec"},
		"a pod's metadata":   {pod(""), "skipped: the pod has no spec"},
		"an empty list":      {pod("spec: {containers: []}\n"), "skipped: the pod has no containers"},
		"a null list":        {pod("spec:\n  containers:\n"), "skipped: the pod has no containers"},
		"null container":     {pod("spec: {containers: [null]}\n"), "skipped: containers[0] is empty"},
		"empty container":    {pod("spec: {containers: [{}]}\n"), `skipped: containers[0] has no image, as in a patch`},
		"null image":         {template("spec: {containers: [{name: app, image: }]}"), `skipped: container "app" has no image`},
		"empty image":        {template("spec: {containers: [{name: app, image: ''}]}"), `skipped: container "app" has no image`},
		"delete a volume":    {template("spec: {volumes: [{name: v, $patch: delete}], " + app + "}"), "skipped: the pod has a patch directive ($patch)"},
		"delete a value":     {template("spec: {containers: [{name: app, image: i, $deleteFromPrimitiveList/args: [a]}]}"), "has a patch directive"},
		"replace labels":     {template("metadata: {labels: {$patch: replace, a: b}}\nspec: {" + app + "}"), "skipped: the pod has a patch directive ($patch)"},
		"in a list":          {"apiVersion: v1\nkind: List\nitems: [{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: s}, spec: {replicas: 2}}]\n", "(StatefulSet s): skipped: no pod template"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, map[string]string{
				"base.yaml": named("whole"), "patch.yaml": c.in, "patch.json": `[{"op": "replace", "path": "/spec/replicas", "value": 3}]` + "\n",
				"kustomization.yaml": "resources: [base.yaml]\npatches: [{path: patch.yaml}]\n", "values.yaml": "image: {tag: 1}\nreplicas: 2\n",
			})
			got := runWith(t, "", "kube-inject", "-f", dir)
			if got.code != 0 || strings.Count(got.out, "name: istio-proxy") != 1 || !strings.Contains(got.out, c.in) || !strings.Contains(got.err, "patch.yaml: document 1 (") || !strings.Contains(got.err, c.want) || strings.Count(got.err, "\n") != 1 {
				t.Errorf("%+v", got)
			}
			back := runWith(t, got.out, "uninject", "-f", "-")
			if back.code != 0 || strings.Contains(back.out, "istio-proxy") || !strings.Contains(back.out, c.in) || !strings.Contains(back.err, "unchanged: ") {
				t.Errorf("uninject: %+v", back)
			}
		})
	}
	// An own sidecar has no image: the injection adds it.
	got := runWith(t, template("spec: {containers: [{name: app, image: i}, {name: istio-proxy}]}"), "kube-inject", "-f", "-")
	if got.code != 0 || got.err != "" || !strings.Contains(got.out, "envoyproxy") {
		t.Errorf("an own sidecar: %+v", got)
	}
}

// TestOtherKinds: kinds with pods that are not injected are reported, one line each.
func TestOtherKinds(t *testing.T) {
	const template = "{template: {spec: {containers: [{name: app, image: i}]}}}"
	object := func(apiVersion, kind, rest string) string {
		return fmt.Sprintf("apiVersion: %s\nkind: %s\nmetadata: {name: x}\n%s\n", apiVersion, kind, rest)
	}
	for name, c := range map[string]struct{ in, want string }{
		"CloneSet":            {object("apps.kruise.io/v1alpha1", "CloneSet", "spec: "+template), "(CloneSet x): not injected: kind CloneSet.apps.kruise.io is not built in; use --pod-template-path CloneSet.apps.kruise.io=spec.template"},
		"Knative":             {object("serving.knative.dev/v1", "Service", "spec: {template: {spec: {containers: [{image: i}]}}}"), "use --pod-template-path Service.serving.knative.dev=spec.template"},
		"PodTemplate":         {object("v1", "PodTemplate", template[1:len(template)-1]), "kind PodTemplate is not built in; use --pod-template-path PodTemplate=template"},
		"Kruise's own":        {object("apps.kruise.io/v1beta1", "StatefulSet", "spec: "+template), "use --pod-template-path StatefulSet.apps.kruise.io=spec.template"},
		"several templates":   {object("kubeflow.org/v1", "TFJob", "spec: {tfReplicaSpecs: {Chief: "+template+", Worker: "+template+"}}"), "use --pod-template-path TFJob.kubeflow.org=spec.tfReplicaSpecs.Chief.template --pod-template-path TFJob.kubeflow.org=spec.tfReplicaSpecs.Worker.template"},
		"in a list":           {object("ray.io/v1", "RayCluster", "spec: {workerGroupSpecs: ["+template+"]}"), "--pod-template-path has no path into a list (spec.workerGroupSpecs[0].template)"},
		"OpenShift's":         {object("template.openshift.io/v1", "Template", "objects: [{apiVersion: v1, kind: DeploymentConfig, spec: "+template+"}]"), "oc process"},
		"lower case":          {object("apps/v1", "deployment", "spec: "+template), `kind "deployment" in apiVersion "apps/v1" is unknown; use kind: Deployment`},
		"plural":              {object("apps/v1", "Deployments", "spec: {}"), "use kind: Deployment"},
		"pod":                 {object("v1", "pod", "spec: {containers: [{name: a, image: i}]}"), "use kind: Pod"},
		"cronjob":             {object("batch/v1", "Cronjob", "spec: {}"), "use kind: CronJob"},
		"wrong group":         {object("v1", "Deployment", "spec: "+template), "use apiVersion: apps/v1"},
		"wrong group, job":    {object("apps/v1", "Job", "spec: "+template), "use apiVersion: batch/v1"},
		"both wrong":          {object("v1", "daemonset", "spec: "+template), "use apiVersion: apps/v1, kind: DaemonSet"},
		"no apiVersion":       {"kind: Deployment\nmetadata: {name: x}\nspec: " + template + "\n", "use apiVersion: apps/v1"},
		"a typed list":        {"apiVersion: v1\nkind: PodTemplateList\nitems: [{metadata: {name: x}, " + template[1:] + "]\n", "(PodTemplate x): not injected: kind PodTemplate is not built in"},
		"a list's case":       {"apiVersion: v1\nkind: list\nitems: [{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: [{name: a, image: i}]}}]\n", `kind "list" in apiVersion "v1" is unknown; use kind: List`},
		"items of no list":    {"apiVersion: v1\nkind: List\nitems: {apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: [{name: a, image: i}]}}\n", "a List has its objects in a list of items; write - before each"},
		"items in upper case": {"apiVersion: v1\nkind: List\nItems: [{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: [{name: a, image: i}]}}]\n", "a List has its objects in a list of items; use items instead of Items"},
		"misspelt":            {object("apps/v1", "Deploymnet", "spec: "+template), `kind "Deploymnet" in apiVersion "apps/v1" is unknown; use kind: Deployment`},
		"a blank":             {object("apps/v1", `"Deployment "`, "spec: "+template), "is unknown; use kind: Deployment"},
		"a list":              {"- {apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: [{name: a, image: i}]}}\n", "a list of objects is not an object"},
		"by an alias":         {object("example.com/v1", "Thing", "x: &t {spec: {containers: [{name: a}]}}\nspec: {template: *t}"), "Thing.example.com=x --pod-template-path Thing.example.com=spec.template"},
	} {
		t.Run(name, func(t *testing.T) {
			in := c.in + "---\n" + named("known") + "---\n" + c.in
			got := runWith(t, in, "kube-inject", "-f", "-")
			if got.code != 0 || !strings.HasPrefix(got.err, "standard input: document 1 (") || strings.Count(got.err, "\n") != 1 || !strings.Contains(got.err, c.want) ||
				!strings.HasSuffix(got.err, " (2 objects)\n") || !strings.HasPrefix(got.out, c.in) || strings.Count(got.out, "name: istio-proxy") != 1 {
				t.Errorf("%+v", got)
			}
			if _, flags, ok := strings.Cut(c.want, "use --pod-template-path "); ok {
				args := append([]string{"kube-inject", "-f", "-", "--pod-template-path"}, strings.Fields(flags)...)
				if got = runWith(t, in, args...); got.code != 0 || got.err != "" || strings.Count(strings.ReplaceAll(got.out, `"`, ""), "name: istio-proxy") < 3 {
					t.Errorf("with the flags: %d %s %.300s", got.code, got.err, got.out)
				}
			}
		})
	}
	quiet := ""
	for _, other := range []string{
		object("v1", "Service", "spec: {}"), object("v1", "ConfigMap", "data: {containers: a}"), object("monitoring.coreos.com/v1", "Prometheus", "spec: {containers: [{name: a}]}"),
		object("argoproj.io/v1alpha1", "Rollout", "spec: {workloadRef: {name: web}}"), object("apps/v1", "ControllerRevision", "data: "+template[:1]+"}"), object("v1", "Node", ""),
		"kind: Thing\nspec: {a: containers}\n", "replicas: 1\ndeployment: {containers: [a]}\n", "- {op: add, path: /spec/containers}\n",
	} {
		quiet += other + "---\n"
	}
	if got := runWith(t, quiet+named("known"), "kube-inject", "-f", "-"); got.code != 0 || got.err != "" {
		t.Errorf("kinds without pods: %+v", got)
	}
	many := ""
	for i := range 50 {
		many += object("example.com/v1", fmt.Sprintf("Thing%d", i), "spec: "+template) + "---\n"
	}
	if got := runWith(t, many, "kube-inject", "-f", "-"); got.code != 0 || strings.Count(got.err, "\n") > 21 {
		t.Errorf("%+v", got)
	}
}

// TestLegacyDeploymentConfig: OpenShift 3 has it in the core group, too.
func TestLegacyDeploymentConfig(t *testing.T) {
	for _, version := range []string{"v1", "apps.openshift.io/v1"} {
		in := "apiVersion: " + version + "\nkind: DeploymentConfig\nmetadata:\n  name: web\nspec:\n  template:\n    metadata:\n      labels:\n        app: web\n    spec:\n      containers:\n      - name: web\n        image: i\n"
		got := runWith(t, in, "kube-inject", "-f", "-")
		if got.code != 0 || got.err != "" || !strings.Contains(got.out, "name: istio-proxy") {
			t.Errorf("%s: %+v", version, got)
		}
		if back := runWith(t, got.out, "uninject", "-f", "-"); back.out != in {
			t.Errorf("%s: %+v", version, back)
		}
	}
}
