package deploy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	authenticationv1 "k8s.io/api/authentication/v1"
	batchv1 "k8s.io/api/batch/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gvr "k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	metaclient "k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/egress/envoy"
	"github.com/outrider-mesh/outrider/egress/report"
	reports "github.com/outrider-mesh/outrider/egress/report/live"
	"github.com/outrider-mesh/outrider/egress/xds"
	"github.com/outrider-mesh/outrider/lifecycle"
	"github.com/outrider-mesh/outrider/lifecycle/live"
	"github.com/outrider-mesh/outrider/serve"
	"github.com/outrider-mesh/outrider/test/kit"
)

// auditLog is the audit log of the API server from a moment on.
type auditLog struct {
	path  string
	began int64
}

// startAudit is the audit log from now on.
func (d *deployed) startAudit() auditLog {
	d.t.Helper()
	info, err := os.Stat(d.AuditLog())
	d.must(err)
	return auditLog{d.AuditLog(), info.Size()}
}

// event is what is read of an audit event.
type event struct {
	Verb, UserAgent, RequestURI string
	ImpersonatedUser            struct{ Username string }
	ObjectRef                   *struct{ Resource, Namespace, Name, APIGroup, Subresource string }
	Annotations                 map[string]string
}

// requests are those of the accounts: the ones that were allowed, and those that were
// denied. kubectl's are those of the tests.
func (l auditLog) requests() (seen map[right]bool, denied []string, err error) {
	file, err := os.Open(l.path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = file.Close() }()
	if _, err := file.Seek(l.began, io.SeekStart); err != nil {
		return nil, nil, err
	}
	seen = map[right]bool{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, nil, err
		}
		account, ours := strings.CutPrefix(e.ImpersonatedUser.Username, "system:serviceaccount:"+namespace+":")
		if !ours || strings.HasPrefix(e.UserAgent, "kubectl") {
			continue
		}
		if r := e.right(account); e.Annotations["authorization.k8s.io/decision"] == "forbid" {
			denied = append(denied, r.String())
		} else {
			seen[r] = true
		}
	}
	slices.Sort(denied)
	return seen, slices.Compact(denied), lines.Err()
}

// right is what the request needed.
func (e event) right(account string) right {
	o := e.ObjectRef
	if o == nil {
		path, _, _ := strings.Cut(e.RequestURI, "?")
		return right{account: account, verb: e.Verb, resource: path}
	}
	resource := o.Resource
	if o.Subresource != "" {
		resource += "/" + o.Subresource
	}
	return right{account, e.Verb, qualified(resource, o.APIGroup), o.Namespace, o.Name}
}

// rightsAreUsed fails for a right that no request of the life cycle needed, and for a
// request that was denied.
func (d *deployed) rightsAreUsed(log auditLog) {
	d.t.Helper()
	rights := granted(d.t, installed(d.t))
	var denied []string
	_, err := kit.Wait{For: 10 * time.Second, Every: time.Second}.Until(context.Background(), func() error { // the log is written behind
		seen, forbidden, err := log.requests()
		if err != nil {
			return err
		}
		denied = forbidden
		if left := unused(rights, seen); len(left) > 0 {
			return fmt.Errorf("granted, and not used in the whole life cycle; remove them, or add the step that needs them:\n%s", strings.Join(left, "\n"))
		}
		return nil
	})
	if err != nil {
		d.t.Error(err)
	}
	if len(denied) > 0 {
		d.t.Errorf("denied:\n%s", strings.Join(denied, "\n"))
	}
	d.t.Logf("%d rights are granted", len(rights))
}

// apply applies a text.
func (d *deployed) apply(text string) {
	d.t.Helper()
	cmd := d.Kubectl(d.t.Context(), "apply", "-f", "-")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil {
		d.t.Fatalf("%v: %s\n%s", err, out, text)
	}
}

// installHooks applies what the chart has beside the manifests: the accounts of its hooks
// with their roles, and the configuration of a revision tag.
func (d *deployed) installHooks() {
	d.t.Helper()
	d.tags = append(d.tags, rightsTag)
	var namespaces, others []string
	for _, text := range installed(d.t) {
		var o metav1.PartialObjectMetadata
		d.must(yaml.Unmarshal([]byte(text), &o))
		switch {
		case o.Kind == "Namespace":
			namespaces = append(namespaces, text)
		case o.Name == "istio-revision-tag-"+rightsTag, o.Kind == "ClusterRole" && o.Name == "outrider", strings.HasPrefix(o.Kind, "ValidatingAdmissionPolicy"),
			o.Annotations["helm.sh/hook"] != "" && (o.Kind != "Job" || o.Name == lifecycle.Verify):
			others = append(others, text)
		}
	}
	if jobs := parsed[batchv1.Job](d.t, others, "Job"); len(jobs) != 1 || len(namespaces) != 1 {
		d.t.Fatalf("%d Jobs, %d namespaces", len(jobs), len(namespaces))
	}
	d.apply(strings.Join(slices.Concat(namespaces, others), "\n---\n"))
	d.apply("{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: " + lifecycle.Verify + "}}")
	d.t.Cleanup(func() {
		_ = d.Kubectl(context.Background(), "delete", "--ignore-not-found", "mutatingwebhookconfiguration", "istio-revision-tag-"+rightsTag).Run()
	})
}

// platforms are the kinds of other projects that the ranges of a cluster are read from.
var platforms = []struct{ group, version, kind, plural, scope, why string }{
	{"config.openshift.io", "v1", "Network", "networks", "Cluster", "OpenShift"},
	{"crd.projectcalico.org", "v1", "IPPool", "ippools", "Cluster", "Calico"},
	{"projectcalico.org", "v3", "IPPool", "ippools", "Cluster", "Calico with its API server"},
	{"cilium.io", "v2", "CiliumNode", "ciliumnodes", "Cluster", "Cilium"},
	{"cilium.io", "v2", "CiliumPodIPPool", "ciliumpodippools", "Cluster", "Cilium with pools"},
	{"acn.azure.com", "v1alpha", "NodeNetworkConfig", "nodenetworkconfigs", "Namespaced", "AKS with overlay networking"},
}

// installPlatforms defines the kinds of the platforms, until the end of the test.
func (d *deployed) installPlatforms() {
	d.t.Helper()
	var texts, names []string
	for _, p := range platforms {
		name := "crd/" + p.plural + "." + p.group
		names = append(names, name)
		texts = append(texts, fmt.Sprintf(`apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: %s.%s, annotations: {why: %s}}
spec:
  group: %[2]s
  scope: %[4]s
  names: {kind: %[5]s, plural: %[1]s}
  versions: [{name: %[6]s, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]
`, p.plural, p.group, p.why, p.scope, p.kind, p.version))
	}
	d.t.Cleanup(func() {
		out, err := d.Kubectl(context.Background(), append([]string{"delete", "--ignore-not-found", "--timeout=30s"}, names...)...).CombinedOutput()
		if err != nil {
			d.t.Errorf("%v: %s", err, out)
		}
	})
	d.apply(strings.Join(texts, "---\n"))
	kubectl(d.t, d.Server, append([]string{"wait", "--for=condition=Established", "--timeout=30s"}, names...)...)
	d.eventually("OpenShift's network is created", func() error {
		cmd := d.Kubectl(d.t.Context(), "apply", "-f", "-")
		cmd.Stdin = strings.NewReader("{apiVersion: config.openshift.io/v1, kind: Network, metadata: {name: cluster}}")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

// verifies runs the hook that verifies an installation.
func (d *deployed) verifies() {
	d.t.Helper()
	client, err := kubernetes.NewForConfig(d.as(lifecycle.Verify))
	d.must(err)
	var out strings.Builder
	err = live.Verify(d.t.Context(), client, live.VerifyOptions{
		Installation: lifecycle.Installation{Namespace: namespace}, TestNamespace: lifecycle.Verify,
		Image: "registry.k8s.io/pause:3.10", Timeout: 30 * time.Second, Every: 200 * time.Millisecond,
	}, &out)
	if err != nil {
		d.t.Errorf("the hook that verifies: %v\n%s", err, &out)
	}
}

// uninstalls runs the hook that uninstalls, once no replica runs and no object of the CRDs
// exists. It removes all that it is there for.
func (d *deployed) uninstalls() {
	d.t.Helper()
	for _, kind := range []string{"serviceentries", "virtualservices", "sidecars"} {
		kubectl(d.t, d.Server, "delete", kind+".networking.istio.io", "--all", "--all-namespaces")
	}
	client, err := dynamic.NewForConfig(d.as("outrider-uninstall"))
	d.must(err)
	var out strings.Builder
	if err := live.Uninstall(d.t.Context(), client, live.UninstallOptions{Installation: lifecycle.Installation{Namespace: namespace}}, &out); err != nil {
		d.t.Errorf("the hook that uninstalls: %v\n%s", err, &out)
	}
	for _, removed := range []string{
		"mutatingwebhookconfigurations " + configurationName, "mutatingwebhookconfigurations istio-revision-tag-" + rightsTag,
		"validatingwebhookconfigurations " + configurationName, "deployments istio-system/outrider", "deployments istio-system/outrider-xds",
		"secrets istio-system/outrider-certs", "secrets istio-system/outrider-ca-key", "leases istio-system/outrider-leader", "leases istio-system/outrider-status", "leases istio-system/outrider-pods",
		"jobs istio-system/outrider-verify", "roles istio-system/outrider-verify", "rolebindings istio-system/outrider-verify",
		"clusterroles outrider-verify", "clusterrolebindings outrider-verify", "serviceaccounts istio-system/outrider-verify", "namespaces outrider-verify",
		"customresourcedefinitions egressreports.outrider.dev", "customresourcedefinitions serviceentries.networking.istio.io", "customresourcedefinitions virtualservices.networking.istio.io", "customresourcedefinitions sidecars.networking.istio.io",
	} {
		if !strings.Contains(out.String(), "removed "+removed+"\n") {
			d.t.Errorf("the hook that uninstalls did not remove %s:\n%s", removed, &out)
		}
	}
}

// readsAfterConflict edits objects while their status is written. A write that is in
// conflict with an edit reads the object, and is repeated.
func (d *deployed) readsAfterConflict(ns string) {
	d.t.Helper()
	for kind, spec := range map[string]string{
		"ServiceEntry":   "{hosts: [NAME.example], ports: [{number: 80, name: http}], resolution: DNS}",
		"VirtualService": "{hosts: [NAME.example], http: [{route: [{destination: {host: NAME.example}}]}]}",
		"Sidecar":        "{workloadSelector: {labels: {app: NAME}}, egress: [{hosts: [./*]}]}",
	} {
		resource := map[string]string{"ServiceEntry": "serviceentries", "VirtualService": "virtualservices", "Sidecar": "sidecars"}[kind]
		n := 0
		d.eventually("a write of status is in conflict", func() error {
			n++
			name := fmt.Sprintf("edited-%d", n)
			d.apply(strings.ReplaceAll("{apiVersion: networking.istio.io/v1, kind: "+kind+", metadata: {name: NAME, namespace: "+ns+"}, spec: "+spec+"}", "NAME", name))
			err := d.editUntilRead(resource, ns, name)
			kubectl(d.t, d.Server, "wait", "-n", ns, "--for=condition=Accepted", "--timeout=30s", resource+"/"+name)
			return err
		})
	}
}

// editUntilRead edits an annotation of an object until a replica reads the object.
func (d *deployed) editUntilRead(resource, ns, name string) error {
	d.t.Helper()
	config := rest.CopyConfig(d.Config)
	config.QPS = -1
	client, err := dynamic.NewForConfig(config)
	d.must(err)
	kind := gvr.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: resource}
	request := "GET /apis/networking.istio.io/v1/namespaces/" + ns + "/" + resource + "/" + name
	for began := time.Now(); time.Since(began) < 2*time.Second && !d.asked(request); {
		patch := fmt.Sprintf(`{"metadata":{"annotations":{"edited":"%s"}}}`, time.Now().Format(time.RFC3339Nano))
		_, err := client.Resource(kind).Namespace(ns).Patch(d.t.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		d.must(err)
	}
	if !d.asked(request) {
		return errors.New("no replica has sent " + request)
	}
	return nil
}

// rejects is a sidecar that rejects what an object becomes: an event is on its pod, and the
// object's status has Envoy's reason. Other objects are accepted. It also is a user who
// may not read the debug endpoints.
func (d *deployed) rejects(ns, pod, address, controlPlane string) {
	d.t.Helper()
	p, err := d.Client.CoreV1().Pods(ns).Get(d.t.Context(), pod, metav1.GetOptions{})
	d.must(err)
	token := func(audiences ...string) string {
		made, err := d.Client.CoreV1().ServiceAccounts(ns).CreateToken(d.t.Context(), "default", &authenticationv1.TokenRequest{
			Spec: authenticationv1.TokenRequestSpec{Audiences: audiences, BoundObjectRef: &authenticationv1.BoundObjectReference{
				APIVersion: "v1", Kind: "Pod", Name: p.Name, UID: p.UID,
			}},
		}, metav1.CreateOptions{})
		d.must(err)
		return made.Status.Token
	}
	secret, err := d.Client.CoreV1().Secrets(namespace).Get(d.t.Context(), "outrider-certs", metav1.GetOptions{})
	d.must(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(secret.Data["ca.crt"])
	secure := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: secure, DisableKeepAlives: true}, Timeout: 10 * time.Second}
	request, err := http.NewRequestWithContext(d.t.Context(), http.MethodGet, "https://"+controlPlane+"/debug/sidecars", http.NoBody)
	d.must(err)
	request.Header.Set("Authorization", "Bearer "+token())
	response, err := client.Do(request)
	d.must(err)
	_ = response.Body.Close()
	if response.StatusCode != http.StatusForbidden {
		d.t.Errorf("the debug endpoints for a user without a role: %s", response.Status)
	}
	for _, name := range []string{"good", "poison"} {
		d.apply(strings.ReplaceAll("{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: NAME, namespace: "+ns+
			"}, spec: {hosts: [NAME.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}}", "NAME", name))
		kubectl(d.t, d.Server, "wait", "-n", ns, "--for=condition=Accepted", "--timeout=30s", "serviceentry/"+name)
	}
	d.sidecar(address, token(xds.Audience), secure, "poison.example")
	d.eventually("an event about the pod", func() error {
		events, err := d.Client.EventsV1().Events(ns).List(d.t.Context(), metav1.ListOptions{FieldSelector: "reason=SidecarRejectedConfiguration"})
		if err == nil && !slices.ContainsFunc(events.Items, func(e eventsv1.Event) bool { return e.Regarding.Name == pod }) {
			err = fmt.Errorf("%d events", len(events.Items))
		}
		return err
	})
	d.eventually("the rejected object's status has the reason", func() error {
		got := kubectl(d.t, d.Server, "-n", ns, "get", "serviceentries", "-o", `jsonpath={range .items[*]}{.metadata.name} {range .status.conditions[*]}{.status} {.reason}: {.message}{"\n"}{end}{end}`)
		if !strings.Contains(got, "good True Accepted: ") || !strings.Contains(got, "poison False RejectedByEnvoy: ") || !strings.Contains(got, "no such thing as poison.example") {
			return errors.New(got)
		}
		return nil
	})
	kubectl(d.t, d.Server, "-n", ns, "delete", "serviceentry", "poison")
}

// reported are workloads of each kind that the control plane reads the UID of.
var reported = []string{"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "Pod"}

// writesReports has the report of a namespace created, updated, and removed when it has
// expired, with an Event on a workload of each kind.
func (d *deployed) writesReports(ns string) {
	d.t.Helper()
	objects, err := dynamic.NewForConfig(d.client(serve.XDS))
	d.must(err)
	meta, err := metaclient.NewForConfig(d.client(serve.XDS))
	d.must(err)
	recorder := func(retention time.Duration) *reports.Recorder {
		r, err := reports.New(reports.Options{
			Dynamic: objects, Metadata: meta, Events: events.NewFakeRecorder(len(reported)), Identity: "test", Retention: retention, Interval: 10 * time.Millisecond, Counts: 10 * time.Millisecond,
		})
		d.must(err)
		return r
	}
	ctx, cancel := context.WithCancel(d.t.Context())
	defer cancel()
	r := recorder(0)
	go func() { _ = r.Start(ctx) }()
	for i, kind := range reported {
		now, host := time.Now(), fmt.Sprintf("host-%d.example", i)
		r.Observe(ns, report.Workload{Kind: kind, Name: "sleep"}, []report.DestinationReport{{
			Destination: report.Destination{Host: host, Port: 443, Protocol: report.TLS, Verdict: report.Blocked, Rule: "block_all"}, Counts: report.Counts{First: now, Last: now, Connections: 1},
		}})
		d.eventually("the report has "+host, func() error {
			if got := kubectl(d.t, d.Server, "get", "-n", ns, "egressreports", "-o", "yaml"); !strings.Contains(got, host) {
				return errors.New(got)
			}
			return nil
		})
	}
	d.eventually("UIDs of workloads are read", func() error {
		seen, _, err := d.log.requests()
		if err == nil && !seen[right{"outrider-xds", "get", "cronjobs.batch", ns, "sleep"}] {
			err = errors.New("not that of a CronJob")
		}
		return err
	})
	time.Sleep(time.Second) // the times are in seconds
	go recorder(time.Nanosecond).Sweep(ctx)
	d.eventually("the report has expired", func() error {
		if got := kubectl(d.t, d.Server, "get", "-n", ns, "egressreports", "-o", "name"); got != "" {
			return errors.New(got)
		}
		return nil
	})
}

// sidecar connects as one, and rejects each response with a text in a resource. It stays
// connected until the end of the test.
func (d *deployed) sidecar(address, token string, secure *tls.Config, rejects string) {
	d.t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(secure)))
	d.must(err)
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(d.t.Context(), "authorization", "Bearer "+token))
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	d.must(err)
	for typeURL, names := range map[string][]string{envoy.TypeCluster: nil, envoy.TypeListener: nil, envoy.TypeRoute: {"80"}} {
		d.must(stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL, ResourceNamesSubscribe: names}))
	}
	done := make(chan struct{})
	d.t.Cleanup(func() { cancel(); <-done; _ = conn.Close() })
	go func() {
		defer close(done)
		for {
			sent, err := stream.Recv()
			if err != nil {
				return
			}
			reply := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: sent.TypeUrl, ResponseNonce: sent.Nonce}
			if slices.ContainsFunc(sent.Resources, func(r *discoveryv3.Resource) bool { return bytes.Contains(r.Resource.Value, []byte(rejects)) }) {
				reply.ErrorDetail = status.New(codes.InvalidArgument, "no such thing as "+rejects).Proto()
			}
			if stream.Send(reply) != nil {
				return
			}
		}
	}()
}
