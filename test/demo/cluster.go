package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/outrider-mesh/outrider/test/mesh"
)

// bringUp brings up a cluster for the demo, with the internet of the tests
// around it.
func (d *demo) bringUp(ctx context.Context) error {
	progress := d.output(faint)
	defer progress.flush()
	m, err := mesh.Up(ctx, mesh.Options{Name: d.name, Progress: progress})
	if err != nil {
		return err
	}
	d.mesh, d.root, d.work = m, m.Dir, m.Work
	d.env = append(m.Env(), "TMPDIR="+d.work)
	return d.connect()
}

// connect makes the client of the mesh's cluster.
func (d *demo) connect() error {
	config, err := clientcmd.BuildConfigFromFlags("", d.mesh.Kubeconfig)
	if err != nil {
		return fmt.Errorf("create Kubernetes client: %w", err)
	}
	d.client, err = kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("create Kubernetes client: %w", err)
	}
	return nil
}

// install installs the product as a user does.
func (d *demo) install(ctx context.Context) error {
	version, err := d.client.Discovery().ServerVersion()
	if err != nil {
		return fmt.Errorf("get server version: %w", err)
	}
	d.say("Kubernetes %s in network namespaces of its own, with servers for www.google.com and httpbin.org in another.", version.GitVersion)
	d.aside("$WORK below is %s; it is removed when the demo ends", d.work)
	if err := d.must(ctx, "kubectl get nodes -o wide"); err != nil {
		return err
	}
	return d.installProduct(ctx)
}

func (d *demo) installProduct(ctx context.Context) error {
	err := d.all(ctx,
		"kubectl apply -f deploy/",
		"kubectl -n istio-system rollout status deployment/outrider --timeout=2m",
		"kubectl -n istio-system rollout status deployment/outrider-xds --timeout=2m")
	if err != nil {
		return err
	}
	if err := d.untilInjected(ctx, byItself); err != nil {
		return err
	}
	d.check("the API server calls the webhook over HTTPS for pods to be injected")
	return nil
}

// rolledOut waits for the sample's Deployment and returns the one pod of it that
// is new.
func (d *demo) rolledOut(ctx context.Context) (*corev1.Pod, error) {
	if err := d.all(ctx, "kubectl rollout status deployment/sleep --timeout=2m", "kubectl get pods -l app=sleep"); err != nil {
		return nil, err
	}
	pods, err := d.client.CoreV1().Pods(d.namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=sleep"})
	if err != nil {
		return nil, fmt.Errorf("list the pods: %w", err)
	}
	var made *corev1.Pod
	for i := range pods.Items {
		p := &pods.Items[i]
		if d.seen[p.Name] || p.DeletionTimestamp != nil {
			continue
		}
		if d.seen[p.Name] = true; made != nil {
			return nil, fmt.Errorf("pods %s and %s are both new", made.Name, p.Name)
		}
		made = p
	}
	if made == nil {
		return nil, errors.New("no pod of the Deployment is new")
	}
	return made, nil
}

// inside is a command line that runs another in the sample's container of a pod.
func inside(pod *corev1.Pod, command string) string {
	return "kubectl exec " + pod.Name + " -c sleep -- " + command
}

const codeOnly = `curl -s -o /dev/null -w "%{http_code}\n" `

// shows waits until a command prints the wanted texts, then runs it visibly:
// logs are written and edits are applied with a short delay.
func (d *demo) shows(ctx context.Context, line string, wanted ...string) error {
	if _, err := eventually(ctx, func() error { return d.silently(ctx, line, wanted...) }); err != nil {
		return err
	}
	out, err := d.prints(ctx, line)
	if err != nil {
		return err
	}
	return lacks(out, wanted...)
}

func logOf(pod *corev1.Pod) string { return "kubectl logs " + pod.Name + " -c istio-proxy | tail -n 1" }

func (d *demo) passThrough(ctx context.Context) error {
	if err := d.shows(ctx, inside(d.injected, `curl -sSI https://www.google.com | grep "HTTP/"`), "HTTP/2 200"); err != nil {
		return err
	}
	if err := d.shows(ctx, logOf(d.injected), "PassthroughCluster", " www.google.com "); err != nil {
		return err
	}
	d.check("the request succeeds, and is in the sidecar's access log")
	return nil
}

// policy is the command line that changes outboundTrafficPolicy.mode.
func policy(from, to string) string {
	return fmt.Sprintf("kubectl -n istio-system get configmap istio -o yaml |\n    sed 's|mode: %s|mode: %s|' | kubectl replace -f -", from, to)
}

const serviceEntry = `kubectl apply -f - <<EOF
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata:
  name: httpbin-ext
spec:
  hosts: [httpbin.org]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: DNS
  location: MESH_EXTERNAL
EOF`

const virtualService = `kubectl apply -f - <<EOF
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: httpbin-ext
spec:
  hosts: [httpbin.org]
  http: [{timeout: 3s, route: [{destination: {host: httpbin.org}}]}]
EOF`

func (d *demo) controlled(ctx context.Context) error {
	if err := d.must(ctx, policy("ALLOW_ANY", "REGISTRY_ONLY")); err != nil {
		return err
	}
	if err := d.shows(ctx, inside(d.injected, codeOnly+"http://httpbin.org/headers"), "502"); err != nil {
		return err
	}
	d.check("an undeclared host is blocked, in a pod that was running before the edit")

	if err := d.must(ctx, serviceEntry); err != nil {
		return err
	}
	if err := d.shows(ctx, inside(d.injected, "curl -s http://httpbin.org/headers"), `"Host": "httpbin.org"`, `"X-Envoy-`); err != nil {
		return err
	}
	if err := d.shows(ctx, logOf(d.injected), "outbound|80||httpbin.org"); err != nil {
		return err
	}
	d.check("the declared host is reachable; its name is in the access log, the sidecar's headers in the request")

	if err := d.must(ctx, virtualService); err != nil {
		return err
	}
	began := time.Now()
	if err := d.shows(ctx, inside(d.injected, codeOnly+"http://httpbin.org/delay/5"), "504"); err != nil {
		return err
	}
	d.check("a request of 5 s times out after 3 s (two requests took %s)", time.Since(began).Round(100*time.Millisecond))

	if err := d.all(ctx, "kubectl delete serviceentry,virtualservice httpbin-ext", policy("REGISTRY_ONLY", "ALLOW_ANY")); err != nil {
		return err
	}
	_, err := eventually(ctx, func() error {
		return d.silently(ctx, inside(d.injected, codeOnly+"http://httpbin.org/get"), "200")
	})
	return err
}

// bypass sends the same request from the pod that was made before the range was
// excluded and from the one made after, and compares headers, logs and kernel.
func (d *demo) bypass(ctx context.Context) error {
	oldBefore, nextBefore, err := d.connections()
	if err != nil {
		return err
	}
	d.say("httpbin.org has an address in 203.0.113.0/24. A request from the old pod, and one from the new pod:")
	for _, c := range []struct {
		pod      *corev1.Pod
		captured bool
	}{{d.injected, true}, {d.next, false}} {
		out, err := d.prints(ctx, inside(c.pod, "curl -s -4 http://httpbin.org/headers"))
		if err != nil {
			return err
		}
		if has := strings.Contains(out, `"X-Request-Id"`); has != c.captured {
			return fmt.Errorf("pod %s: request has the sidecar's headers: %v; want %v", c.pod.Name, has, c.captured)
		}
	}
	d.say("Requests of the new pod inside the cluster are captured as before, and are all that its access log has:")
	if err := d.must(ctx, inside(d.next, "curl -sk -o /dev/null https://kubernetes.default/version")); err != nil {
		return err
	}
	if err := d.shows(ctx, logOf(d.next), " kubernetes.default "); err != nil {
		return err
	}
	if out, err := d.prints(ctx, "kubectl logs "+d.next.Name+" -c istio-proxy | grep -c httpbin.org; true"); err != nil || out != "0\n" {
		return errors.Join(fmt.Errorf("the log of the new pod's sidecar has %s lines about httpbin.org; want none", strings.TrimSpace(out)), err)
	}
	return d.showKernel(oldBefore, nextBefore)
}

// The rules of the kernel that the demo counts by, as the init container names
// them.
const captured, excluded = "everything", "excluded-range"

// connections are what the kernel's rules have decided in the two pods so far.
// The init container's own proof has added a few.
func (d *demo) connections() (old, next map[string]int, err error) {
	if old, err = d.mesh.Rules(string(d.injected.UID)); err == nil {
		next, err = d.mesh.Rules(string(d.next.UID))
	}
	return old, next, err
}

// showKernel shows which rules of the kernel have decided since an earlier look,
// in the old and in the new pod.
func (d *demo) showKernel(oldBefore, nextBefore map[string]int) error {
	old, next, err := d.connections()
	if err != nil {
		return err
	}
	row := func(pod *corev1.Pod, before, after map[string]int) []string {
		return []string{pod.Name, fmt.Sprint(after[captured] - before[captured]), fmt.Sprint(after[excluded] - before[excluded])}
	}
	rows := [][]string{{"pod", "captured", "bypassed (excluded range)"}, row(d.injected, oldBefore, old), row(d.next, nextBefore, next)}
	d.say("Connections by nftables rule:")
	d.table(rows)
	if got := fmt.Sprint(rows[1][1:], rows[2][1:]); got != "[1 0] [1 1]" {
		return fmt.Errorf("the nftables counters are %s; want one captured connection in each pod, and one bypassed in the new pod", got)
	}
	d.check("the new pod's request bypassed the sidecar (verified by server, access log and nft counters)")
	return nil
}
