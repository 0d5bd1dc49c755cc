package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/outrider-mesh/outrider/test/cluster/image"
	"github.com/outrider-mesh/outrider/test/cluster/node"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/world"
)

// readyTimeout bounds each wait for a part of the cluster. On an idle machine
// the longest takes a few seconds.
const readyTimeout = 3 * time.Minute

// up is a cluster on its way up.
type up struct {
	*Cluster
	assets   assets
	settings settings
	lock     *os.File
	api      *net.TCPListener // the API server in the host's network
}

// Up brings a cluster up and returns once its node and its DNS are ready. What
// an earlier one of the same name left behind is removed first; one that runs
// is an error. An Up that fails leaves nothing behind but the cached programs;
// its error carries the last lines of the cluster's logs.
func Up(ctx context.Context, o Options) (*Cluster, error) {
	c, err := newCluster(o)
	if err != nil {
		return nil, err
	}
	u := &up{Cluster: c}
	defer u.close()
	if err := u.prepare(ctx); err != nil {
		return nil, fmt.Errorf("bring cluster %s up: %w", c.Name, err)
	}
	start := time.Now()
	if err := u.run(ctx, o.Detach); err != nil {
		err = fmt.Errorf("bring cluster %s up: %w%s", c.Name, err, c.logTails())
		return nil, errors.Join(err, c.Down(context.WithoutCancel(ctx)))
	}
	c.progress.say("%s is ready after %s; export KUBECONFIG=%s", c.Name, time.Since(start).Round(100*time.Millisecond), c.Kubeconfig)
	return c, nil
}

// Build installs and builds what a cluster needs and this machine lacks,
// without bringing one up. It fails where a cluster cannot be had at all.
func Build(ctx context.Context, progress io.Writer) error {
	_, err := Programs(ctx, progress)
	return err
}

// Programs does what Build does, and returns the paths of the programs by their
// names: "containerd", "ctr", "kubectl" and so on.
func Programs(ctx context.Context, progress io.Writer) (map[string]string, error) {
	p := &printer{w: progress}
	if err := provide(ctx, p.say); err != nil {
		return nil, err
	}
	a, err := build(ctx, p)
	return a.program, err
}

// close closes what the node has got, too.
func (u *up) close() {
	if u.lock != nil {
		_ = u.lock.Close()
	}
	if u.api != nil {
		_ = u.api.Close()
	}
}

// prepare gets the programs and a clean directory.
func (u *up) prepare(ctx context.Context) error {
	if err := provide(ctx, u.progress.say); err != nil {
		return err
	}
	root, err := kit.Checkout()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(Home, 0o755); err != nil {
		return err
	}
	u.lock, err = lock(ctx, u.Dir+".lock", false)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("it runs, or is being brought up or down, already; `go run ./test/cluster/cmd/cluster -name %s down` ends it", u.Name)
	} else if err != nil {
		return err
	}
	if u.assets, err = build(ctx, u.progress); err != nil {
		return err
	}
	if err := u.remove(ctx); err != nil {
		return err
	}
	for _, dir := range []string{"bin", "config/cni", "pki", "logs"} {
		if err := os.MkdirAll(filepath.Join(u.Dir, dir), 0o755); err != nil {
			return err
		}
	}
	for name, path := range u.assets.program {
		if err := os.Symlink(path, u.bin(name)); err != nil {
			return err
		}
	}
	for _, name := range []string{"test/cluster/node/cmd/node", "test/world/cmd/world", "test/cluster/image/cmd/pause"} {
		if err := compile(ctx, root, "-s -w", "./"+name, u.bin(filepath.Base(name)), u.progress); err != nil {
			return err
		}
	}
	u.settings = u.Cluster.settings(u.assets)
	return nil
}

// run starts the parts in the order in which they need each other.
func (u *up) run(ctx context.Context, detach bool) error {
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"start the node", func(context.Context) error { return u.startNode(detach) }},
		{"make the cgroups", func(context.Context) error { return u.makeCgroups() }},
		{"start the internet", u.startWorld},
		{"start etcd and containerd", func(context.Context) error { return u.start(u.storage()...) }},
		{"start the API server", func(context.Context) error { return u.start(u.apiServer(u.settings)) }},
		{"load the images", u.loadImages},
		{"wait for the API server", u.waitForAPI},
		{"start the controllers", func(context.Context) error { return u.start(u.controllers(u.settings)...) }},
		{"start kubelet and kube-proxy", func(context.Context) error { return u.start(u.nodeDaemons(u.settings)...) }},
		{"create the cluster's objects", u.createObjects},
		{"wait for the node", u.waitForNode},
	} {
		stop := u.progress.tick(step.what)
		err := step.do(ctx)
		stop()
		if err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

func (u *up) start(daemons ...node.Daemon) error {
	for _, d := range daemons {
		if _, err := u.Node.StartDaemon(d); err != nil {
			return err
		}
	}
	return nil
}

// startNode makes the namespaces, and the listener in the host's network that
// leads into them.
func (u *up) startNode(detach bool) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	u.api = l.(*net.TCPListener)
	if err := u.configure(&u.settings, u.api.Addr()); err != nil {
		return err
	}
	o := node.Options{
		Dir: u.Dir, Program: u.bin("node"), Name: nodeName, Forward: "127.0.0.1:" + apiPort,
		API: u.api, Lock: u.lock,
	}
	if !detach {
		if o.Alive, u.alive, err = os.Pipe(); err != nil {
			return err
		}
		defer func() { _ = o.Alive.Close() }()
	}
	_, err = node.Start(o)
	return err
}

// startWorld starts the internet and puts a link between it and the node.
func (u *up) startWorld(ctx context.Context) error {
	d, err := u.Node.StartDaemon(u.world())
	if err != nil {
		return err
	}
	// The file is written once the servers listen, in the internet's namespace.
	if err := until(ctx, func(context.Context) error { _, err := os.Stat(u.WorldCA()); return err }); err != nil {
		return err
	}
	pid := strconv.Itoa(d.PID)
	out := []string{"link add eth0 type veth peer name eth0 netns " + pid, "link set lo up", "link set eth0 up",
		"addr add " + nodeIPv4 + "/24 dev eth0", "route add default via " + worldIPv4}
	in := []string{"link set lo up", "link set eth0 up",
		"addr add " + worldIPv4 + "/24 dev eth0", "route add " + podsIPv4 + " via " + nodeIPv4,
		"route add local " + world.Prefixes[0].String() + " dev lo"}
	if ipv6() {
		out = append(out, "addr add "+nodeIPv6+"/64 dev eth0 nodad", "-6 route add default via "+worldIPv6)
		in = append(in, "addr add "+worldIPv6+"/64 dev eth0 nodad", "-6 route add "+podsIPv6+" via "+nodeIPv6,
			"-6 route add local "+world.Prefixes[1].String()+" dev lo")
	}
	for _, side := range []struct{ prefix, commands []string }{{nil, out}, {[]string{"nsenter", "--net=/proc/" + pid + "/ns/net"}, in}} {
		for _, command := range side.commands {
			if _, err := u.Node.Run("", append(append(side.prefix, "ip"), strings.Fields(command)...)...); err != nil {
				return err
			}
		}
	}
	return nil
}

// loadImages waits for containerd and gives it what the cluster itself runs and
// the image that sends requests.
func (u *up) loadImages(ctx context.Context) error {
	ca, err := os.ReadFile(u.WorldCA())
	if err != nil {
		return err
	}
	sleep, err := image.Sleep(ctx, ca)
	if err != nil {
		return err
	}
	err = until(ctx, func(context.Context) error {
		c, err := net.Dial("unix", filepath.Join(u.Dir, "containerd.sock"))
		if err == nil {
			_ = c.Close()
		}
		return err
	})
	if err != nil {
		return err
	}
	return u.load(ctx, image.Pause(u.bin("pause")), sleep,
		image.Static(u.settings.CoreDNSRef, u.bin("coredns"), ""), image.Static(image.WorldRef, u.bin("world"), "65532:65532"))
}

// waitForAPI waits for the API server as the host reaches it.
func (u *up) waitForAPI(ctx context.Context) error {
	pem, err := os.ReadFile(filepath.Join(u.Dir, "pki/ca.crt"))
	if err != nil {
		return err
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(u.Dir, "pki/admin.crt"), filepath.Join(u.Dir, "pki/admin.key"))
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}}}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, Timeout: 5 * time.Second}
	return until(ctx, func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+u.api.Addr().String()+"/readyz", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", resp.Status, body)
		}
		return nil
	})
}

func (u *up) createObjects(ctx context.Context) error {
	_, err := u.kubectl(ctx, "apply", "-f", filepath.Join(u.Dir, "config/cluster.yaml"))
	return err
}

// waitForNode waits for all that a pod needs: the node, DNS, and the default
// service account.
func (u *up) waitForNode(ctx context.Context) error {
	err := until(ctx, func(ctx context.Context) error {
		_, err := u.kubectl(ctx, "get", "node/"+nodeName, "serviceaccount/default")
		return err
	})
	if err != nil {
		return err
	}
	timeout := "--timeout=" + readyTimeout.String()
	if _, err := u.kubectl(ctx, "wait", "--for=condition=Ready", "node/"+nodeName, timeout); err != nil {
		return err
	}
	_, err = u.kubectl(ctx, "rollout", "status", "--namespace=kube-system", "deployment/coredns", timeout)
	return err
}

// until calls f until it succeeds; after readyTimeout its last error is
// returned.
func until(ctx context.Context, f func(context.Context) error) error {
	_, err := kit.Wait{For: readyTimeout, Every: 100 * time.Millisecond}.Until(ctx, func() error { return f(ctx) })
	return err
}
