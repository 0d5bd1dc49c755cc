package serve

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	meshconfig "istio.io/api/mesh/v1alpha1"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/outrider-mesh/outrider/debug"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/envoy"
	"github.com/outrider-mesh/outrider/egress/xds"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

// token is one that the API server issues for the pod; without an audience it is
// for the API server.
func (i *instance) token(ns string, pod *corev1.Pod, audience ...string) string {
	i.t.Helper()
	r, err := i.Client.CoreV1().ServiceAccounts(ns).CreateToken(i.t.Context(), "default", &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{Audiences: audience, BoundObjectRef: &authenticationv1.BoundObjectReference{
			APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID,
		}},
	}, metav1.CreateOptions{})
	i.must(err)
	return r.Status.Token
}

// stream opens a sidecar's stream and subscribes to a type.
func (i *instance) stream(token, typeURL string) (discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient, error) {
	i.t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(i.ca)
	conn, err := grpc.NewClient(i.xds, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots})))
	i.must(err)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	i.t.Cleanup(func() { cancel(); _ = conn.Close() })
	c, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token))
	if err != nil {
		return nil, err
	}
	if err := c.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL}); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return c, nil // after EOF, the stream's error is what it receives
}

// receive is the resources of the next response, as name and body.
func receive(c discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient) (*discoveryv3.DeltaDiscoveryResponse, string, error) {
	r, err := c.Recv()
	if err != nil {
		return nil, "", err
	}
	var b strings.Builder
	for _, resource := range r.Resources {
		fmt.Fprintf(&b, "%s: %s\n", resource.Name, resource.Resource.Value)
	}
	return r, b.String(), nil
}

func TestSidecarsAreConfigured(t *testing.T) {
	var compiled atomic.Int32
	i := startInstance(t, "", func(o *Options) {
		o.compileMesh = func(c *meshconfig.MeshConfig) *egress.Mesh { compiled.Add(1); return egress.CompileMesh(c) }
	}).ready()
	ns := i.workspace()
	pod, err := i.create(ns, sleepPod("sleep"))
	i.must(err)

	i.rejectsTokens(map[string]string{"none": "", "made up": "a.b.c", "for the API server": i.token(ns, pod)})

	c, err := i.stream(i.token(ns, pod, xds.Audience), envoy.TypeListener)
	i.must(err)
	first, body, err := receive(c)
	i.must(err)
	names := []string{"virtualOutbound:", "0.0.0.0_80:", "0.0.0.0_443:", "10.0.0.1"} // the last is the API server's Service
	if slices.ContainsFunc(names, func(n string) bool { return !strings.Contains(body, n) }) || strings.Contains(body, "%START_TIME%") {
		t.Errorf("the first response lacks one of %q, or has an access log that is not configured: %q", names, body)
	}
	i.must(c.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.TypeListener, ResponseNonce: first.Nonce}))

	// An edit of the mesh reaches the open stream, and is compiled once on its way.
	start, before := time.Now(), compiled.Load()
	_, err = i.Client.CoreV1().ConfigMaps(i.namespace).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "istio-" + i.revision},
		Data:       map[string]string{"mesh": "accessLogFile: /dev/stdout\noutboundTrafficPolicy: {mode: REGISTRY_ONLY}\n"},
	}, metav1.CreateOptions{})
	i.must(err)
	second, body, err := receive(c)
	i.must(err)
	if !strings.Contains(body, "%START_TIME%") || !strings.Contains(body, "BlackHoleCluster") {
		t.Errorf("after the edit: %q", body)
	}
	t.Logf("from the edit to the sidecar: %s", time.Since(start).Round(time.Millisecond))
	if n := compiled.Load() - before; n != 1 {
		t.Errorf("the edit compiled its mesh configuration %d times", n)
	}

	// Of listeners that are rejected together, halves are sent again. The NACK of one is
	// reported in the metric and in an event about the pod.
	for rejected := second; ; {
		i.must(c.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.TypeListener, ResponseNonce: rejected.Nonce,
			ErrorDetail: status.New(codes.InvalidArgument, "no such filter").Proto()}))
		if len(rejected.Resources) == 1 {
			break
		}
		rejected, _, err = receive(c)
		i.must(err)
	}
	i.eventually("an event about the pod", func() string {
		events, err := i.Client.EventsV1().Events(ns).List(t.Context(), metav1.ListOptions{})
		i.must(err)
		for _, e := range events.Items {
			if e.Reason == "SidecarRejectedConfiguration" && e.Regarding.Name == "sleep" && strings.Contains(e.Note, "no such filter") {
				return ""
			}
		}
		return fmt.Sprintf("%d events", len(events.Items))
	})
	if n := i.metric("outrider_xds_rejections_total", "Listener"); n != 1 {
		t.Errorf("%v rejections counted", n)
	}

	testDebug(i, ns, pod)

	// A mesh configuration that no listener can be built from is rejected as a whole.
	_, err = i.Client.CoreV1().ConfigMaps(i.namespace).Update(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "istio-" + i.revision},
		Data:       map[string]string{"mesh": "accessLogFile: /dev/stdout\naccessLogFormat: \"100% wrong\"\n"},
	}, metav1.UpdateOptions{})
	i.must(err)
	i.eventually("the mesh configuration is rejected", func() string {
		if i.metric("sidecar_injection_config_rejections_total") == 0 {
			return "not yet"
		}
		return ""
	})

	// The replica shuts down: the stream ends, and the sidecar connects elsewhere.
	i.replica.Cancel()
	for err = error(nil); err == nil; { // halves that were not read yet
		_, _, err = receive(c)
	}
	if status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ended with %v", err)
	}
}

// rejectsTokens opens a stream with each token, which is unauthenticated.
func (i *instance) rejectsTokens(tokens map[string]string) {
	i.t.Helper()
	for name, token := range tokens {
		c, err := i.stream(token, envoy.TypeListener)
		if err == nil {
			_, _, err = receive(c)
		}
		if status.Code(err) != codes.Unauthenticated {
			i.t.Errorf("token %s: %v, want it rejected", name, err)
		}
	}
}

// A replica of one component serves it and nothing of the other.
func TestComponents(t *testing.T) {
	for _, tt := range []struct {
		component Component
		paths     []string
		serve     bool
	}{
		{Webhook, []string{registration.InjectPath, registration.WarnPath, registration.ConfigurationPath}, false},
		{XDS, []string{registration.ValidatePath, debug.Path}, true},
	} {
		t.Run(string(tt.component), func(t *testing.T) {
			i := startInstance(t, "", func(o *Options) { o.Components = []Component{tt.component} })
			i.eventually("ready", i.readyz)
			plain := i.Namespace(t, nil) // no webhook is called for its pods
			pod, err := i.create(plain, sleepPod("sleep"))
			i.must(err)
			for _, path := range []string{registration.InjectPath, registration.WarnPath, registration.ConfigurationPath, registration.ValidatePath, debug.Path} {
				code, _ := i.get(path, "")
				if served := code != http.StatusNotFound; served != slices.Contains(tt.paths, path) {
					t.Errorf("%s: %d", path, code)
				}
			}
			c, err := i.stream(i.token(plain, pod, xds.Audience), envoy.TypeListener)
			if err == nil {
				_, _, err = receive(c)
			}
			if served := err == nil; served != tt.serve {
				t.Errorf("a sidecar's stream: %v", err)
			}
		})
	}
}

// get asks over HTTPS.
func (i *instance) get(path, token string) (int, string) {
	i.t.Helper()
	r, err := http.NewRequestWithContext(i.t.Context(), http.MethodGet, i.url+path, nil)
	i.must(err)
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(i.ca)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	resp, err := client.Do(r)
	i.must(err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	i.must(err)
	return resp.StatusCode, string(body)
}

// testDebug gets the endpoints: unauthenticated, as a user who is not allowed to,
// and as one who is.
func testDebug(i *instance, ns string, pod *corev1.Pod) {
	i.t.Helper()
	own := i.token(ns, pod)
	get := i.get
	for _, path := range []string{"/debug/", "/debug/sidecars", "/debug/sidecars/" + ns + "/sleep", "/debug/objects"} {
		if code, body := get(path, ""); code != http.StatusUnauthorized || !strings.Contains(body, "missing bearer token") {
			i.t.Errorf("%s without a token: %d %s", path, code, body)
		}
		if code, body := get(path, "a.b.c"); code != http.StatusUnauthorized {
			i.t.Errorf("%s with a made-up token: %d %s", path, code, body)
		}
		if code, body := get(path, own); code != http.StatusForbidden || !strings.Contains(body, "cannot get path \""+path+"\"; grant nonResourceURLs") {
			i.t.Errorf("%s as a service account without permissions: %d %s", path, code, body)
		}
	}
	name := "debug-" + ns
	_, err := i.Client.RbacV1().ClusterRoles().Create(i.t.Context(), &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Rules:      []rbacv1.PolicyRule{{NonResourceURLs: []string{"/debug/*"}, Verbs: []string{"get"}}},
	}, metav1.CreateOptions{})
	i.must(err)
	_, err = i.Client.RbacV1().ClusterRoleBindings().Create(i.t.Context(), &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: ns, Name: "default"}},
	}, metav1.CreateOptions{})
	i.must(err)
	i.eventually("the role is active", func() string {
		if code, body := get("/debug/", own); code != http.StatusOK {
			return body
		}
		return ""
	})
	for path, want := range map[string][]string{
		"/debug/":                          {"/debug/sidecars/NAMESPACE/POD"},
		"/debug/objects":                   {"["},
		"/debug/rejections":                {`"sidecars": 1`, `"reason": "no such filter"`, `"example": "` + ns + `/sleep"`},
		"/debug/sidecars":                  {`"pod": "sleep"`, `"Listener": 3`, `"reason": "no such filter"`},
		"/debug/sidecars/" + ns + "/sleep": {`"name": "virtualOutbound"`, `"filterChainMatcher"`, "10.0.0.1"},
	} {
		code, body := get(path, own)
		if code != http.StatusOK || slices.ContainsFunc(want, func(w string) bool { return !strings.Contains(body, w) }) {
			i.t.Errorf("%s: %d, want %q in %.3000s", path, code, want, body)
		}
	}
	if code, body := get("/debug/sidecars/"+ns+"/other", own); code != http.StatusNotFound || !strings.Contains(body, "sidecar "+ns+"/other is not connected") {
		i.t.Errorf("a pod without a sidecar: %d %s", code, body)
	}
}
