package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/outrider-mesh/outrider/egress/envoy"
	"github.com/outrider-mesh/outrider/egress/xds"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube"
)

// BenchmarkControlPlane runs the program as Deployment outrider-xds does, on a real API
// server with 100 ServiceEntries, and prints its anonymous memory and processor time with
// 100 and with 1,000 sidecars: idle, and while an entry changes once a second. A sidecar
// is a stream with the token of its own pod, from an address of its own, with 5 hosts in
// use; it acknowledges all it gets. It needs two minutes.
//
//	go test ./cmd/outrider -run ^$ -bench ControlPlane -benchtime 1x
func BenchmarkControlPlane(b *testing.B) {
	server := kube.Require(b)
	plane := startServer(b, buildProgram(b), server, "xds")
	kit.Eventually(b, "the entries are created", func() error { return applyEntries(b, server, 0, 100) })
	f := &sidecars{b: b, address: plane.xds, tokens: podTokens(b, server, 1000)}
	ctx, stop := context.WithCancel(b.Context())
	defer f.running.Wait()
	defer stop()
	for b.Loop() { // what is measured is below
	}
	for _, n := range []int{0, 100, 1000} {
		began, before := time.Now(), plane.cpu(b)
		f.connect(ctx, n)
		kit.Eventually(b, "all are connected", func() error { return f.missing(0) })
		b.Logf("%d sidecars are connected after %s, which took %.2f s CPU", n, time.Since(began).Round(time.Millisecond), plane.cpu(b)-before)
		time.Sleep(10 * time.Second) // what that took is released
		b.Logf("%d sidecars, idle: %d MiB anonymous, %.0fm CPU", n, plane.anonymous(b), plane.cpuFor(b, 10*time.Second))
		const pushes = 10
		var last time.Duration
		most := 0
		began, before = time.Now(), plane.cpu(b)
		for i := range pushes {
			f.acknowledged.Store(0)
			edit := time.Now()
			kit.Must(b, applyEntries(b, server, 10_000*(n+1)+i, 1))
			kit.Wait{Every: 5 * time.Millisecond}.Eventually(b, "all have the entry", func() error { return f.missing(1) })
			last = max(last, time.Since(edit))
			most = max(most, plane.anonymous(b))
			time.Sleep(time.Until(began.Add(time.Duration(i+1) * time.Second)))
		}
		b.Logf("%d sidecars, an entry a second: %d MiB anonymous at most, %.0fm CPU; all have it after at most %s, kubectl included",
			n, most, (plane.cpu(b)-before)*1000/time.Since(began).Seconds(), last.Round(time.Millisecond))
	}
	b.ReportMetric(0, "ns/op")
}

// applyEntries creates ServiceEntries of one HTTP host each.
func applyEntries(b *testing.B, server *kube.Server, from, n int) error {
	var all strings.Builder
	for i := range n {
		fmt.Fprintf(&all, "---\n{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: host-%d, namespace: default}, spec: {hosts: [host-%[1]d.example.com], ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}}\n", from+i)
	}
	cmd := server.Kubectl(b.Context(), "create", "-f", "-")
	cmd.Stdin = strings.NewReader(all.String())
	if out, err := cmd.CombinedOutput(); err != nil && !strings.Contains(string(out), "AlreadyExists") {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// podTokens are the tokens of pods, which the API server issues.
func podTokens(b *testing.B, server *kube.Server, n int) []string {
	b.Helper()
	config := rest.CopyConfig(server.Config)
	config.QPS = -1
	client, err := kubernetes.NewForConfig(config)
	kit.Must(b, err)
	ns := server.Namespace(b, nil)
	tokens := make([]string, n)
	var workers sync.WaitGroup
	const each = 16
	for w := range each {
		workers.Go(func() {
			for i := w; i < n && !b.Failed(); i += each {
				pod, err := client.CoreV1().Pods(ns).Create(b.Context(), &corev1.Pod{
					ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprint("pod-", i)}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "a"}}},
				}, metav1.CreateOptions{})
				if err != nil {
					b.Error(err)
					return
				}
				r, err := client.CoreV1().ServiceAccounts(ns).CreateToken(b.Context(), "default", &authenticationv1.TokenRequest{
					Spec: authenticationv1.TokenRequestSpec{Audiences: []string{xds.Audience}, BoundObjectRef: &authenticationv1.BoundObjectReference{
						APIVersion: "v1", Kind: "Pod", Name: pod.Name, UID: pod.UID,
					}},
				}, metav1.CreateOptions{})
				if err != nil {
					b.Error(err)
					return
				}
				tokens[i] = r.Status.Token
			}
		})
	}
	workers.Wait()
	if b.Failed() {
		b.FailNow()
	}
	return tokens
}

// sidecars are the clients of one control plane.
type sidecars struct {
	b       *testing.B
	address string
	tokens  []string // of those that are not connected yet
	n       int
	running sync.WaitGroup

	hosts        atomic.Int64 // responses with hosts in use
	acknowledged atomic.Int64 // routes since the last edit
}

// connect connects more until there are n.
func (f *sidecars) connect(ctx context.Context, n int) {
	for ; f.n < n; f.n++ {
		token, source := f.tokens[f.n], &net.TCPAddr{IP: net.IPv4(127, 10, byte(f.n>>8), byte(f.n))}
		f.running.Go(func() {
			if err := f.sidecar(ctx, token, source); err != nil && ctx.Err() == nil {
				f.b.Error(err)
			}
		})
	}
}

// missing is an error while one of them lacks its hosts, or one of so many route updates.
func (f *sidecars) missing(updates int) error {
	if f.b.Failed() {
		return nil
	}
	if have := f.hosts.Load(); have < int64(f.n) {
		return fmt.Errorf("%d of %d have their hosts", have, f.n)
	}
	if have := f.acknowledged.Load(); have < int64(f.n*updates) {
		return fmt.Errorf("%d of %d have the routes", have, f.n)
	}
	return nil
}

func (f *sidecars) sidecar(ctx context.Context, token string, source net.Addr) error {
	conn, err := grpc.NewClient(f.address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return (&net.Dialer{LocalAddr: source}).DialContext(ctx, "tcp", address)
		}))
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	s, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token))
	if err != nil {
		return err
	}
	for _, r := range subscriptions("host") {
		if err := s.Send(r); err != nil {
			return errors.Join(err, s.RecvMsg(&discoveryv3.DeltaDiscoveryResponse{}))
		}
	}
	for first := true; ; {
		r, err := s.Recv()
		if err != nil {
			return err
		}
		switch {
		case r.TypeUrl == envoy.TypeCluster && first && len(r.Resources) > hostsInUse:
			first = false
			f.hosts.Add(1)
		case r.TypeUrl == envoy.TypeRoute:
			f.acknowledged.Add(1)
		}
		if err := s.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.TypeUrl, ResponseNonce: r.Nonce}); err != nil {
			return err
		}
	}
}

// hostsInUse are those of a simulated sidecar.
const hostsInUse = 5

// subscriptions are the requests of a sidecar for hosts in use whose names begin alike.
func subscriptions(host string) []*discoveryv3.DeltaDiscoveryRequest {
	used := []string{"*"}
	for i := range hostsInUse {
		used = append(used, fmt.Sprintf("outbound|80||%s-%d.example.com", host, i))
	}
	return []*discoveryv3.DeltaDiscoveryRequest{
		{TypeUrl: envoy.TypeCluster, ResourceNamesSubscribe: used}, {TypeUrl: envoy.TypeListener},
		{TypeUrl: envoy.TypeRoute, ResourceNamesSubscribe: []string{"80", "443", "catchall"}},
	}
}
