package live

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/outrider-mesh/outrider/check"
	"github.com/outrider-mesh/outrider/lifecycle"
)

// sidecar reads what the checks of one sidecar depend on.
func (g *gathering) sidecar(ctx context.Context) error {
	pod, err := g.client.CoreV1().Pods(g.Proxy.Namespace).Get(ctx, g.Proxy.Name, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("get pod %s/%s: %w", g.Proxy.Namespace, g.Proxy.Name, err)
	}
	g.facts.Sidecar = &check.Sidecar{Pod: pod}
	g.all(ctx, g.logs, g.trusted, g.administration, g.compared)
	return nil
}

// maxLog bounds a log. That of istio-init has a line for each 5 s that it waits; of
// istio-proxy the last lines are read, which can be of requests.
const (
	maxLog   = 256 << 10
	maxLines = 500
	logSince = 2 * time.Minute
)

func (g *gathering) logs(ctx context.Context) {
	first, err := g.log(ctx, corev1.PodLogOptions{Container: check.InitContainer})
	last, err2 := g.log(ctx, corev1.PodLogOptions{Container: check.ProxyContainer, TailLines: new(int64(maxLines)), SinceSeconds: new(int64(logSince.Seconds()))})
	if err := cmp.Or(err, err2); err != nil {
		g.unread(check.Logs, err)
	}
	g.set(func(f *check.Facts) { f.Sidecar.InitLog, f.Sidecar.ProxyLog = first, last })
}

func (g *gathering) log(ctx context.Context, o corev1.PodLogOptions) (string, error) {
	pod := g.facts.Sidecar.Pod
	o.LimitBytes = new(int64(maxLog))
	log, err := g.client.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &o).DoRaw(ctx)
	if apierrors.IsBadRequest(err) || apierrors.IsNotFound(err) { // no such container, or it has not begun
		return "", nil
	}
	return string(log), err
}

// trusted reads the ConfigMap from which the kubelet brings the CA certificates into the pod.
func (g *gathering) trusted(ctx context.Context) {
	pod := g.facts.Sidecar.Pod
	found, err := g.client.CoreV1().ConfigMaps(pod.Namespace).Get(ctx, g.Name(lifecycle.CABundle), metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		g.unread(check.Trusted, err)
	default:
		g.set(func(f *check.Facts) { f.Sidecar.Trusted = found.Data["ca.pem"] })
	}
}

// compared compares the pod with the active settings.
func (g *gathering) compared(ctx context.Context) {
	report, err := g.Proxy.Compare(ctx, g.facts.Sidecar.Pod)
	if err != nil {
		g.unread(check.Comparison, err)
		return
	}
	g.set(func(f *check.Facts) { f.Sidecar.Compared = report })
}

const (
	adminPort = 15000 // of the sidecar, on its loopback address; it is read-only
	// adminTimeout bounds the reading of the administration interface, and maxAdmin one of
	// its responses: a sidecar with 1,000 hosts in use has some megabytes.
	adminTimeout = 20 * time.Second
	maxAdmin     = 64 << 20
)

// administration reads the sidecar's administration interface through the API server.
func (g *gathering) administration(ctx context.Context) {
	s := g.facts.Sidecar
	if !s.Runs() {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	address, stop, err := g.forward(ctx, s.Pod, adminPort)
	if err != nil {
		g.unread(check.Administration, err)
		return
	}
	defer stop()
	admin := &check.Admin{}
	for _, path := range admin.Paths() {
		if err := readAdmin(ctx, admin, address, path); err != nil {
			g.set(func(f *check.Facts) { f.Sidecar.Silent = err.Error() })
			return
		}
	}
	g.set(func(f *check.Facts) { f.Sidecar.Admin = admin })
}

func readAdmin(ctx context.Context, admin *check.Admin, address, path string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("port %d of the pod: no response", adminPort)
	}
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if t, err := http.ParseTime(response.Header.Get("Date")); err == nil && admin.Time.IsZero() {
		admin.Time, admin.Now = t, time.Now()
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAdmin))
	switch {
	case err != nil:
		return err
	case response.StatusCode == http.StatusNotFound && strings.Contains(path, "?resource="): // none of the kind
		return nil
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("GET %s: %s", path, response.Status)
	}
	return admin.Read(path, body)
}

var errEnded = errors.New("the forwarding of the port has ended")

// forward forwards a free local port to a port of the pod's loopback address, as "kubectl
// port-forward" does.
func (g *gathering) forward(ctx context.Context, pod *corev1.Pod, port int) (address string, stop func(), err error) {
	at := g.client.CoreV1().RESTClient().Post().Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("portforward").URL()
	dialer, err := dialer(g.access, at)
	if err != nil {
		return "", nil, err
	}
	ctx, stop = context.WithCancel(ctx)
	ready, failed := make(chan struct{}), make(chan error, 1)
	forwarder, err := portforward.NewOnAddressesForStreamingWithContext(ctx, dialer, []string{"127.0.0.1"}, []string{fmt.Sprintf("0:%d", port)}, ready, io.Discard, io.Discard)
	if err != nil {
		stop()
		return "", nil, err
	}
	go func() { failed <- forwarder.ForwardPorts() }()
	select {
	case <-ctx.Done():
		stop()
		return "", nil, ctx.Err()
	case err := <-failed:
		stop()
		return "", nil, cmp.Or(err, errEnded)
	case <-ready:
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		stop()
		return "", nil, err
	}
	return fmt.Sprintf("127.0.0.1:%d", ports[0].Local), stop, nil
}

// dialer connects as kubectl does: by WebSocket, or by SPDY where the API server, or a proxy
// before it, has no WebSocket.
func dialer(access *rest.Config, at *url.URL) (httpstream.Dialer, error) {
	access = rest.CopyConfig(access)
	access.Timeout = 0 // a forwarded port is one long request
	transport, upgrader, err := spdy.RoundTripperFor(access)
	if err != nil {
		return nil, err
	}
	older := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, at)
	newer, err := portforward.NewSPDYOverWebsocketDialerForStreaming(at, access)
	if err != nil {
		return nil, err
	}
	return portforward.NewFallbackDialerForStreaming(newer, older, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	}), nil
}
