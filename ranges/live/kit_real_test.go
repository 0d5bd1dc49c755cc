package live

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/ranges"
	"github.com/outrider-mesh/outrider/test/kube"
)

func TestMain(m *testing.M) { os.Exit(kube.Main(m)) }

// stub stands in front of the API server and answers some paths itself.
type stub struct {
	*rest.Config
	mu      sync.Mutex
	answers map[*regexp.Regexp]int // HTTP status by an expression for "METHOD path?query"
}

// answer answers with a status from now on; 0 lets the API server answer again.
func (s *stub) answer(expression string, status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e := range s.answers {
		if e.String() == expression {
			delete(s.answers, e)
		}
	}
	if status != 0 {
		s.answers[regexp.MustCompile(expression)] = status
	}
}

// status is the answer to a request; 0 where the API server is to give it.
func (s *stub) status(r *http.Request) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	for e, status := range s.answers {
		if e.MatchString(r.Method + " " + r.URL.RequestURI()) {
			return status
		}
	}
	return 0
}

func newStub(t testing.TB, server *rest.Config) *stub {
	t.Helper()
	transport, err := rest.TransportFor(server)
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(server.Host)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, FlushInterval: -1}
	s := &stub{answers: map[*regexp.Regexp]int{}}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status := s.status(r); status != 0 {
			reason := map[int]metav1.StatusReason{403: metav1.StatusReasonForbidden, 404: metav1.StatusReasonNotFound, 503: metav1.StatusReasonServiceUnavailable}[status]
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(status)
			_ = json.NewEncoder(w).Encode(metav1.Status{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
				Status: metav1.StatusFailure, Code: int32(status), Reason: reason, Message: "error of the stub"})
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	s.Config = &rest.Config{Host: front.URL, QPS: 1000, Burst: 1000}
	return s
}

// gather reads the cluster behind a configuration.
func gather(t testing.TB, c *rest.Config, o Options) (*Snapshot, ranges.Result) {
	t.Helper()
	cluster, err := New(c, o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := cluster.Gather(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s, s.Data.Resolve(ranges.Options{Live: true})
}

// applier makes objects of any kind, and takes them away again.
type applier struct {
	t testing.TB
	client.Client
	made []*unstructured.Unstructured
}

func newApplier(t testing.TB, server *rest.Config) *applier {
	t.Helper()
	c, err := client.New(server, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	a := &applier{t: t, Client: c}
	t.Cleanup(a.clear)
	return a
}

// apply makes the objects of YAML documents, with their status.
func (a *applier) apply(text string) {
	a.t.Helper()
	for _, doc := range strings.Split(text, "\n---\n") {
		if strings.TrimSpace(doc) == "" || strings.TrimSpace(doc) == "---" {
			continue
		}
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(doc), &o.Object); err != nil {
			a.t.Fatalf("%v in %s", err, doc)
		}
		a.create(o)
	}
}

func (a *applier) create(o *unstructured.Unstructured) {
	a.t.Helper()
	status, has := o.Object["status"]
	// A kind that was defined just now is not served at once.
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := a.Create(a.t.Context(), o)
		if err == nil {
			break
		}
		if time.Now().After(deadline) || !strings.Contains(err.Error(), "no matches for kind") && !strings.Contains(err.Error(), "could not find") {
			a.t.Fatalf("%s/%s: %v", o.GetKind(), o.GetName(), err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	a.made = append(a.made, o)
	if has && o.GetKind() != "Node" {
		o.Object["status"] = status
		if err := a.Status().Update(a.t.Context(), o); err != nil && !strings.Contains(err.Error(), "not found") {
			a.t.Fatalf("status of %s/%s: %v", o.GetKind(), o.GetName(), err)
		}
	}
}

// clear takes away what was made, the last first.
func (a *applier) clear() {
	for i := len(a.made) - 1; i >= 0; i-- {
		o := a.made[i]
		grace := int64(0)
		if err := a.Delete(context.Background(), o, &client.DeleteOptions{GracePeriodSeconds: &grace}); client.IgnoreNotFound(err) != nil {
			a.t.Errorf("%s/%s: %v", o.GetKind(), o.GetName(), err)
		}
	}
	a.made = nil
}

// definition is a CustomResourceDefinition that takes any object.
func definition(group, version, kind, plural, scope string) string {
	return fmt.Sprintf(`
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: %[4]s.%[1]s
  annotations: {api-approved.kubernetes.io: "unapproved, of a test"}
spec:
  group: %[1]s
  scope: %[5]s
  names: {kind: %[3]s, plural: %[4]s, singular: %[6]s, listKind: %[3]sList}
  versions:
  - name: %[2]s
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`, group, version, kind, plural, scope, strings.ToLower(kind))
}

// systemAccount allows pods to be created in kube-system.
const systemAccount = "{apiVersion: v1, kind: ServiceAccount, metadata: {name: default, namespace: kube-system}}"

// keep makes objects that stay, as several tests need them: it costs a second to
// define a kind. They may be there already.
func (a *applier) keep(texts ...string) {
	a.t.Helper()
	for _, text := range texts {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
			a.t.Fatal(err)
		}
		if err := a.Create(a.t.Context(), o); client.IgnoreAlreadyExists(err) != nil {
			a.t.Fatal(err)
		}
	}
}

// namespaces that a cluster may have.
func (a *applier) namespace(name string) {
	a.t.Helper()
	o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name}}}
	if err := a.Create(a.t.Context(), o); client.IgnoreAlreadyExists(err) != nil {
		a.t.Fatal(err)
	}
}

func mustRanges(text string) cidr.List {
	l, err := cidr.Parse(text, cidr.Options{})
	if err != nil {
		panic(err)
	}
	return l
}
