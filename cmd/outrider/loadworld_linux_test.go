package main

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/outrider-mesh/outrider/egress/xds"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube"
)

// loadWorld is the API server of a simulation: its namespaces, pods and objects. A pod's
// token is signed with the API server's own key, so that thousands take seconds.
type loadWorld struct {
	t       testing.TB
	server  *kube.Server
	client  kubernetes.Interface
	objects dynamic.Interface
	signer  jose.Signer
	issuer  string
	entries int // private ones so far
}

// loadPod is a pod with a sidecar.
type loadPod struct {
	namespace, name, uid, account string // account is the UID of its service account
}

// The namespace of entries that all namespaces see, and how many these are.
const (
	sharedNamespace = "load-shared"
	sharedEntries   = 190
)

func newLoadWorld(t testing.TB, server *kube.Server) *loadWorld {
	t.Helper()
	config := rest.CopyConfig(server.Config)
	config.QPS = -1
	w := &loadWorld{t: t, server: server}
	var err error
	w.client, err = kubernetes.NewForConfig(config)
	kit.Must(t, err)
	w.objects, err = dynamic.NewForConfig(config)
	kit.Must(t, err)
	w.readIssuer()
	for _, kind := range []string{"serviceentry", "virtualservice", "sidecar", "egressreport"} {
		if out, err := server.Kubectl(t.Context(), "apply", "-f", "../../deploy/crds/"+kind+".yaml").CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	out, err := server.Kubectl(t.Context(), "wait", "--for=condition=Established", "--timeout=30s", "crd", "--all").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return w
}

// ownServer is an API server of the test's own: other tests list what they find on the
// one that they share.
func ownServer(t testing.TB) *kube.Server {
	t.Helper()
	kube.Require(t) // for its skip
	s, err := kube.Start(t.Context(), kube.Options{})
	kit.Must(t, err)
	t.Cleanup(func() { kit.Must(t, s.Stop()) })
	return s
}

// readIssuer reads what tokens are signed with.
func (w *loadWorld) readIssuer() {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(w.server.Dir, "kube-apiserver", "sa-signer.key"))
	kit.Must(w.t, err)
	block, _ := pem.Decode(text)
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	kit.Must(w.t, err)
	var discovery struct{ Issuer string }
	var keys jose.JSONWebKeySet
	for path, into := range map[string]any{"/.well-known/openid-configuration": &discovery, "/openid/v1/jwks": &keys} {
		body, err := w.server.Client.CoreV1().RESTClient().Get().AbsPath(path).DoRaw(w.t.Context())
		kit.Must(w.t, err)
		kit.Must(w.t, json.Unmarshal(body, into))
	}
	w.issuer = discovery.Issuer
	w.signer, err = jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(keys.Keys[0].Algorithm), Key: jose.JSONWebKey{Key: key, KeyID: keys.Keys[0].KeyID}}, nil)
	kit.Must(w.t, err)
}

// token is that of a pod.
func (w *loadWorld) token(p loadPod) (string, error) {
	now := time.Now()
	return jwt.Signed(w.signer).Claims(map[string]any{
		"iss": w.issuer, "aud": []string{xds.Audience}, "sub": "system:serviceaccount:" + p.namespace + ":default",
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(24 * time.Hour).Unix(),
		"kubernetes.io": map[string]any{
			"namespace": p.namespace, "pod": map[string]string{"name": p.name, "uid": p.uid}, "serviceaccount": map[string]string{"name": "default", "uid": p.account},
		},
	}).Serialize()
}

// each calls f for 0 to n-1, some at once.
func (w *loadWorld) each(n int, f func(ctx context.Context, i int) error) {
	w.t.Helper()
	const workers = 16
	var next atomic.Int64
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && !w.t.Failed(); i = int(next.Add(1)) - 1 {
				if err := f(w.t.Context(), i); err != nil && !apierrors.IsAlreadyExists(err) {
					w.t.Error(err)
				}
			}
		})
	}
	running.Wait()
	if w.t.Failed() {
		w.t.FailNow()
	}
}

func loadNamespace(i int) string { return fmt.Sprintf("load-%04d", i) }

// addPods creates namespaces with pods, half of which have each of two Deployments. The
// pods of all namespaces alternate in the result.
func (w *loadWorld) addPods(namespaces, each int) []loadPod {
	w.t.Helper()
	accounts := make([]string, namespaces)
	w.each(namespaces+1, func(ctx context.Context, i int) error {
		name := sharedNamespace
		if i < namespaces {
			name = loadNamespace(i)
		}
		if _, err := w.client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
			return err
		}
		account, err := w.client.CoreV1().ServiceAccounts(name).Create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{})
		if err == nil && i < namespaces {
			accounts[i] = string(account.UID)
		}
		return err
	})
	pods := make([]loadPod, namespaces*each)
	w.each(len(pods), func(ctx context.Context, i int) error {
		ns, app := i%namespaces, []string{"web", "batch"}[i/namespaces%2]
		pod, err := w.client.CoreV1().Pods(loadNamespace(ns)).Create(ctx, &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Name: fmt.Sprintf("%s-7d4b9c5f6-%05d", app, i), Labels: map[string]string{"app": app, "pod-template-hash": "7d4b9c5f6"},
				OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: app + "-7d4b9c5f6", UID: "u", Controller: new(true)}},
			},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}},
		}, metav1.CreateOptions{})
		if err == nil {
			pods[i] = loadPod{pod.Namespace, pod.Name, string(pod.UID), accounts[ns]}
		}
		return err
	})
	return pods
}

func (w *loadWorld) create(ctx context.Context, kind, resource, namespace, name string, spec map[string]any) error {
	_, err := w.objects.Resource(schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: resource}).Namespace(namespace).
		Create(ctx, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": map[string]any{"name": name}, "spec": spec,
		}}, metav1.CreateOptions{})
	return err
}

// entry creates a ServiceEntry of one host with HTTP and TLS.
func (w *loadWorld) entry(ctx context.Context, namespace, name, exportTo string) error {
	return w.create(ctx, "ServiceEntry", "serviceentries", namespace, name, map[string]any{
		"hosts": []any{name + ".example.com"}, "resolution": "DNS", "exportTo": []any{exportTo},
		"ports": []any{
			map[string]any{"number": int64(80), "name": "http", "protocol": "HTTP"}, map[string]any{"number": int64(443), "name": "tls", "protocol": "TLS"},
		},
	})
}

// addEntries creates entries until there are n: some that all namespaces see, and the
// rest of the namespaces' own.
func (w *loadWorld) addEntries(n, namespaces int) {
	w.t.Helper()
	shared := min(sharedEntries, n/2)
	if w.entries == 0 {
		w.each(shared, func(ctx context.Context, i int) error {
			return w.entry(ctx, sharedNamespace, fmt.Sprintf("shared-%d", i), "*")
		})
	}
	from := w.entries
	w.entries = n - shared
	w.each(max(0, w.entries-from), func(ctx context.Context, i int) error {
		return w.entry(ctx, loadNamespace((from+i)%namespaces), fmt.Sprintf("own-%d", from+i), ".")
	})
}

// addSidecars creates Sidecars in the first namespaces: one for a whole namespace, which
// blocks in every second one, and in each third one that selects pods.
func (w *loadWorld) addSidecars(n int) {
	w.t.Helper()
	w.each(n, func(ctx context.Context, i int) error {
		spec := map[string]any{"egress": []any{map[string]any{"hosts": []any{"./*", sharedNamespace + "/*"}}}}
		if i%2 == 1 {
			spec["outboundTrafficPolicy"] = map[string]any{"mode": "REGISTRY_ONLY"}
		}
		if i%3 == 2 {
			spec["workloadSelector"] = map[string]any{"labels": map[string]any{"app": "batch"}}
		}
		return w.create(ctx, "Sidecar", "sidecars", loadNamespace(i), "load", spec)
	})
}

// setMesh writes the mesh configuration, with a text in the format of the access log.
func (w *loadWorld) setMesh(text string) error {
	mesh := fmt.Sprintf("accessLogFile: /dev/stdout\naccessLogFormat: \"%s %%UPSTREAM_CLUSTER%%\\n\"\n", text)
	maps := w.client.CoreV1().ConfigMaps("default")
	o := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "istio"}, Data: map[string]string{"mesh": mesh}}
	_, err := maps.Update(w.t.Context(), o, metav1.UpdateOptions{})
	if apierrors.IsNotFound(err) {
		_, err = maps.Create(w.t.Context(), o, metav1.CreateOptions{})
	}
	return err
}
