package deploy

import (
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/test/kube"
)

// renders are sets of values, each with a golden file of the lines that differ from
// those of the defaults.
var renders = map[string]struct {
	args []string
	// privileged is set where the pods need more than the restricted Pod Security level.
	privileged bool
}{
	"private-registry": {args: []string{
		"--set=global.hub=registry.example/team,global.tag=v1,global.imagePullPolicy=Always,global.imagePullSecrets={regcred},global.proxy.image=envoy:distroless-v1.40.0",
	}},
	"image-of-another-name": {args: []string{"--set=image=registry.example/outrider@sha256:" + strings.Repeat("ab", 32)}},
	"ranges": {args: []string{
		"--set=global.proxy.includeIPRanges={10.0.0.1/24,10.2.0.0/16}", `--set=global.proxy.excludeIPRanges=10.0.0.7\,10.0.0.8`,
		"--set=global.proxy.excludeOutboundPorts={22,25},global.namedRanges.partners={203.0.113.0/24,198.51.100.0/24},values.global.proxy.logLevel=debug",
	}},
	"mesh":              {args: []string{"--set=meshConfig.outboundTrafficPolicy.mode=REGISTRY_ONLY,meshConfig.defaultConfig.concurrency=4,meshConfig.accessLogFile="}},
	"injection":         {args: []string{"-f=testdata/renders/injection.values.yaml"}},
	"high-availability": {args: []string{"-f=chart/values-ha.yaml"}},
	"host-network":      {args: []string{"-f=chart/values-hostnetwork.yaml"}, privileged: true},
	"private-gke":       {args: []string{"--set=webhook.ports.webhook=10250,controlPlane.ports.validation=10250"}},
	"openshift":         {args: []string{"--set=global.platform=openshift,openshift.scc.enabled=true"}},
	"aks":               {args: []string{"--set=global.platform=aks"}},
	"monitoring":        {args: []string{"--set=podMonitor.enabled=true,podMonitor.labels.release=prometheus,prometheusRule.enabled=true,grafanaDashboard.enabled=true"}},
	"crds-of-helm":      {args: []string{"--set=crds.enabled=true"}},
	"crds-of-others":    {args: []string{"--set=crds.enabled=false"}},
	"without-reports":   {args: []string{"--set=egressReports.enabled=false"}},
	"without-bodies":    {args: []string{"--set=blockedResponseBody=false"}},
	"report-retention":  {args: []string{"--set=egressReports.retention=48h"}},
	"without-counts":    {args: []string{"--set=podCounts.enabled=false"}},
	"counts-interval":   {args: []string{"--set=podCounts.interval=1h"}},
	"without-extras":    {args: []string{"--set=policy.enabled=false,global.networkPolicy.enabled=false,global.defaultPodDisruptionBudget.enabled=false,podAntiAffinity=none"}},
	"old-cluster":       {args: []string{"--kube-version=1.29.3"}},
	"scheduling":        {args: []string{"-f=testdata/renders/scheduling.values.yaml"}},
	"istioctl":          {args: []string{"--set=values.pilot.replicaCount=3,values.pilot.resources.requests.cpu=10m,values.global.proxy.excludeIPRanges=10.0.0.0/8,values.sidecarInjectorWebhook.enableNamespacesByDefault=true"}},
}

// identity is the kind and name of an object.
func identity(t testing.TB, text string) string {
	t.Helper()
	var o metav1.PartialObjectMetadata
	if err := yaml.Unmarshal([]byte(text), &o); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return o.Kind + " " + o.Name
}

// defaults are the objects without values, by identity.
func defaults(t testing.TB) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, d := range rendered(t) {
		out[identity(t, d.text)] = d.text
	}
	return out
}

// differing are the objects that differ from the defaults, and a line for each that is
// missing.
func differing(t testing.TB, defaults map[string]string, args []string) (docs []document, missing string) {
	t.Helper()
	before := maps.Clone(defaults)
	for _, d := range rendered(t, args...) {
		id := identity(t, d.text)
		if before[id] != d.text {
			docs = append(docs, d)
		}
		delete(before, id)
	}
	var names []string
	for id := range before {
		names = append(names, "# without "+id+"\n")
	}
	slices.Sort(names)
	return docs, strings.Join(names, "")
}

// comments are lines that other changes of the templates edit.
var comments = regexp.MustCompile(`(?m)^ *#( .*)?\n`)

func TestRenders(t *testing.T) {
	without := defaults(t)
	for name, r := range renders {
		t.Run(name, func(t *testing.T) {
			docs, got := differing(t, without, r.args)
			for _, d := range docs {
				readStrictly(t, d.text)
				before := without[identity(t, d.text)]
				got += "--- " + identity(t, d.text) + "\n" + difference(before, d.text)
			}
			if len(docs) == 0 && got == "" {
				t.Fatal("the values change nothing")
			}
			golden := filepath.Join("testdata", "renders", name+".diff")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if read(t, golden) != got {
				t.Errorf("%s differs; run go test ./deploy -update and review the diff:\n%s", golden, got)
			}
		})
	}
}

// difference are the lines of two texts that only one of them has, with - and +. Of a
// new CRD there is the beginning.
func difference(before, after string) (out string) {
	split := func(text string) []string {
		text, _, _ = strings.Cut(comments.ReplaceAllString(text, ""), "\n  versions:")
		return strings.SplitAfter(strings.TrimSuffix(text, "\n")+"\n", "\n")
	}
	a, b := split(before), split(after)
	common := make([][]int, len(a)+1) // length of the longest common subsequence from i and j
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			common[i][j] = max(common[i+1][j], common[i][j+1])
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			}
		}
	}
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			out += "-" + a[i]
			i++
		default:
			out += "+" + b[j]
			j++
		}
	}
	return regexp.MustCompile(`(?m)^[+-] *\n`).ReplaceAllString(out, "")
}

var strictly = serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer()

// readStrictly reads an object of Kubernetes by its type, and the ConfigMaps of the
// configuration as the program does.
func readStrictly(t testing.TB, text string) {
	t.Helper()
	if foreign(text) {
		return
	}
	object, _, err := strictly.Decode([]byte(text), nil, nil)
	if err != nil {
		t.Errorf("%v\n%s", err, text)
	}
	m, ok := object.(*corev1.ConfigMap)
	if !ok {
		return
	}
	texts := config.Texts{Config: m.Data["config"], Values: m.Data["values"], Mesh: m.Data["mesh"]}
	if _, problems := config.Parse(texts, config.Labels{}); len(problems) > 0 {
		t.Errorf("%s: %v", m.Name, problems.Strings())
	}
}

// foreign are objects whose type is not Kubernetes' own.
func foreign(text string) bool {
	for _, group := range []string{"monitoring.coreos.com/", "security.openshift.io/", "apiextensions.k8s.io/"} {
		if strings.HasPrefix(comments.ReplaceAllString(text, ""), "apiVersion: "+group) {
			return true
		}
	}
	return false
}

// The API server accepts the objects of all these values, and the pods comply with the
// restricted Pod Security level.
func TestRendersAreAccepted(t *testing.T) {
	s := kube.Require(t)
	ns := s.Namespace(t, map[string]string{"pod-security.kubernetes.io/enforce": "restricted"})
	_ = s.Kubectl(t.Context(), "create", "namespace", namespace).Run() // another test may have
	without := defaults(t)
	var all []string
	for name, r := range renders {
		docs, _ := differing(t, without, r.args)
		for _, d := range docs {
			if !foreign(d.text) || d.template == "crds" {
				all = append(all, d.text)
			}
			if !strings.Contains(d.text, "\nkind: Deployment\n") {
				continue
			}
			if err := createPod(t.Context(), s, ns, d.text); (err != nil) != r.privileged {
				t.Errorf("%s: a pod at level restricted: %v", name, err)
			}
		}
	}
	apply := s.Kubectl(t.Context(), "apply", "--dry-run=server", "--warnings-as-errors", "-f", "-")
	apply.Stdin = strings.NewReader(strings.Join(all, "---\n"))
	if out, err := apply.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// createPod tries to create a pod of a Deployment.
func createPod(ctx context.Context, s *kube.Server, ns, text string) error {
	var d appsv1.Deployment
	if err := yaml.UnmarshalStrict([]byte(text), &d); err != nil {
		return err
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: d.Name, Labels: d.Spec.Template.Labels}, Spec: d.Spec.Template.Spec}
	pod.Spec.ServiceAccountName, pod.Spec.PriorityClassName = "", ""
	_, err := s.Client.CoreV1().Pods(ns).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}

// Every name, and every selector, of a revision ends in it; nothing of the default
// revision is selected.
func TestRevisionHasItsOwnNames(t *testing.T) {
	names := map[string]bool{}
	for _, d := range rendered(t) {
		names[identity(t, d.text)] = true
	}
	for _, d := range rendered(t, "--set=revision=1-2", "--set=podMonitor.enabled=true,grafanaDashboard.enabled=true,priorityClass.create=true") {
		if id := identity(t, d.text); names[id] || !strings.HasSuffix(id, "-1-2") {
			t.Errorf("%s does not end in the revision", id)
		}
		for _, line := range strings.Split(d.text, "\n") {
			if strings.Contains(line, "matchLabels") || strings.Contains(line, "selector: {") {
				if strings.Contains(line, "outrider") && !strings.Contains(line, "-1-2}") {
					t.Errorf("%s: %s", d.template, line)
				}
			}
		}
	}
}

// Values that Helm rejects, with the path and what to do.
func TestValuesAreRejected(t *testing.T) {
	for set, want := range map[string]string{
		"global.proxy.includeIPRange=10.0.0.0/8":             "at '/global/proxy': additional properties 'includeIPRange' not allowed",
		"values.global.hubb=a":                               "at '/values/global': additional properties 'hubb' not allowed",
		"replicaCounts=3":                                    "additional properties 'replicaCounts' not allowed",
		"replicaCount=many":                                  "at '/replicaCount': got string, want",
		"webhook.port=9443":                                  "at '/webhook': additional properties 'port' not allowed",
		"meshConfig.outboundTrafficPolicy.mode=REGISTRYONLY": "at '/meshConfig/outboundTrafficPolicy/mode': value must be one of 'REGISTRY_ONLY', 'ALLOW_ANY'",
		"meshConfig.acessLogFile=a":                          "at '/meshConfig': additional properties 'acessLogFile' not allowed",
		"sidecarInjectorWebhook.reinvocationPolicy=Always":   "at '/sidecarInjectorWebhook/reinvocationPolicy': value must be one of 'IfNeeded', 'Never'",
		"crds.enabled=maybe":                                 "at '/crds/enabled': value must be one of",
		"revision=1.2.3":                                     "revision: \"1.2.3\": must consist of lower case letters, digits and \"-\"; use dashes instead of dots, such as 1-2-3",
		"global.istioNamespace=other":                        "global.istioNamespace: \"other\": must be the namespace of the release, \"istio-system\"; install with --namespace other, or remove it",
		"webhook.ports.health=9443":                          "webhook.ports.webhook: 9443: is already webhook.ports.health; use another port",
		"global.hub=":                                        "global.hub: required, because controlPlane.image is the short name \"outrider\"; set it, or use a full image reference",
		"podLabels.app=mine":                                 "webhook.podLabels: label app is set by the chart; remove it",
		"podDisruptionBudget.minAvailable=1,podDisruptionBudget.maxUnavailable=1": "minAvailable and maxUnavailable exclude each other; remove one",
	} {
		out := helmFails(t, "template", "outrider", "chart", "--namespace=istio-system", "--set="+set)
		if !strings.Contains(out, want) {
			t.Errorf("--set %s:\n%s\nwant %s", set, out, want)
		}
	}
}

// The alerts and the dashboard use metrics that there are.
func TestMonitoringUsesExistingMetrics(t *testing.T) {
	page := read(t, "../docs/metrics.md")
	name := regexp.MustCompile(`\b(outrider|sidecar_injection)_[a-z_]+`)
	var dashboard any
	if err := json.Unmarshal([]byte(read(t, "chart/files/dashboard.json")), &dashboard); err != nil {
		t.Error(err)
	}
	for _, file := range []string{"chart/files/alerts.yaml", "chart/files/dashboard.json"} {
		found := name.FindAllString(read(t, file), -1)
		if len(found) < 5 {
			t.Errorf("%s uses the metrics %v", file, found)
		}
		for _, metric := range found {
			if !strings.Contains(page, "| `"+strings.TrimSuffix(metric, "_bucket")+"` |") {
				t.Errorf("%s: docs/metrics.md has no %s", file, metric)
			}
		}
	}
}
