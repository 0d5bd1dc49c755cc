package attack

import (
	"context"
	"flag"
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/outrider-mesh/outrider/test/cluster"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/mesh"
)

// attack is one of the battery. Its function has a comment with what the attacker
// does.
type attack struct {
	name string
	run  func(*testing.T, *battery)
}

var attacks = []attack{
	{"slow", slowRequests},
	{"reviews", largeReviews},
	{"tokens", junkTokens},
	{"connections", idleConnections},
	{"frames", frameFloods},
	{"streams", manyStreams},
	{"reports", reportFloods},
	{"counts", countFloods},
	{"objects", largeObjects},
	{"expressions", expressions},
	{"hosts", othersHosts},
	{"headers", headerCommands},
	{"endpoints", writtenEndpoints},
	{"account", stolenAccount},
	{"bypass", waysAround},
	{"together", together},
	{"burst", burst},
}

var enabled = flag.Bool("attack", false, "run the attacks, which take some minutes")

// ended ends with an interrupt of the test binary.
var ended context.Context

func TestMain(m *testing.M) {
	var stop func()
	ended, stop = signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	signal.Ignore(syscall.SIGPIPE)
	code := m.Run()
	stop()
	os.Exit(code)
}

// battery is the cluster with the product, and the neighbor.
type battery struct {
	*mesh.Mesh
	config   *rest.Config
	kube     *kubernetes.Clientset
	objects  *dynamic.DynamicClient
	neighbor *neighbor
}

func TestAttack(t *testing.T) {
	if !*enabled {
		t.Skip("takes some minutes; -attack, or make attack, runs it")
	}
	b := bringUp(t)
	b.neighbor = newNeighbor(t, b)
	for _, a := range attacks {
		if ended.Err() != nil {
			t.Fatal("interrupted")
		}
		t.Run(a.name, func(t *testing.T) {
			b.recovered(t)
			start, before := time.Now(), b.state(t)
			a.run(t, b)
			b.untouched(t, before)
			t.Logf("took %s", time.Since(start).Round(100*time.Millisecond))
		})
	}
}

// tenantRef is the image of cmd/tenant.
const tenantRef = "localhost/tenant:1"

func bringUp(t *testing.T) *battery {
	t.Helper()
	cluster.Require(t, "attack")
	m, err := mesh.Up(ended, mesh.Options{Name: "attack", Progress: os.Stderr})
	kit.Must(t, err)
	t.Cleanup(func() {
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	kit.Must(t, m.LoadProgram(ended, "./test/attack/cmd/tenant", tenantRef))
	kit.Must(t, m.Install(ended))
	b := &battery{Mesh: m}
	b.config, err = clientcmd.BuildConfigFromFlags("", m.Kubeconfig)
	kit.Must(t, err)
	b.config.QPS = -1
	b.config.WarningHandler = rest.NoWarnings{}
	b.kube, err = kubernetes.NewForConfig(b.config)
	kit.Must(t, err)
	b.objects, err = dynamic.NewForConfig(b.config)
	kit.Must(t, err)
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(b.logs())
		}
	})
	b.mode(t, "REGISTRY_ONLY")
	return b
}

// mode sets the outbound policy of the mesh.
func (b *battery) mode(t *testing.T, mode string) {
	t.Helper()
	patch := `{"data":{"mesh":"accessLogFile: /dev/stdout\noutboundTrafficPolicy: {mode: ` + mode + `}\n"}}`
	_, err := b.kube.CoreV1().ConfigMaps(system).Patch(ended, "istio", types.MergePatchType, []byte(patch), metav1.PatchOptions{})
	kit.Must(t, err)
}

// logs are what the replicas have logged last.
func (b *battery) logs() string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, _ := b.Bash(ctx, "kubectl -n istio-system get pods -o wide; kubectl -n istio-system describe pods | grep -A8 'Last State'; for p in $(kubectl -n istio-system get pods -o name); do echo \"== $p\"; kubectl -n istio-system logs $p --tail=40; done; kubectl get pods -A -o wide").CombinedOutput()
	return string(out)
}

// within is how soon an edit of the neighbor has its effect.
const within = time.Second

// eventually tries until there is no error.
func eventually(t *testing.T, what string, try func() error) time.Duration {
	t.Helper()
	return kit.Wait{For: 90 * time.Second, Every: 100 * time.Millisecond, Ended: ended.Done()}.Eventually(t, what, try)
}
