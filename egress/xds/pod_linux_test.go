package xds

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/test/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kit/netns"
)

// World addresses are outside of the pod, where every address but the pod's own is.
// The control plane and the name server are at world4.
const (
	pod4, pod6     = netns.Pod4, netns.Pod6
	world4, world6 = netns.Neighbor4, netns.Neighbor6
	sidecarUser    = 1337
)

// rules redirect traffic as the init container does, for both families.
const rules = `table inet sidecar_egress {
	chain output {
		type nat hook output priority -100
		meta skuid 1337 return
		oifname "lo" return
		meta l4proto tcp redirect to :15001
	}
}`

// pod is a pod's network with a sidecar in it, and the network outside of it.
type pod struct {
	*netns.NS
	world *netns.NS
	log   kit.Buffer
	pid   int    // of the sidecar
	dir   string // projected into the sidecar
	// edit changes the bootstrap; nil: it does not.
	edit func(string) string

	connections atomic.Int32 // opened by dialFrom

	naming sync.Mutex // guards the name server's names and ttl
	ttl    uint32     // of DNS answers, in seconds
}

// firstPort is the source port of the first connection of dialFrom, below those that the
// kernel selects.
const firstPort = 20000

// dialFrom opens a connection from a source port of its own, and returns its address in
// the pod, as the sidecar's log has it: of two connections with one source port, which the
// kernel selects for different destinations, the redirection changes that of the second.
func (p *pod) dialFrom(to netip.AddrPort) (conn net.Conn, from string, err error) {
	local := &net.TCPAddr{IP: net.ParseIP(pod4), Port: firstPort + int(p.connections.Add(1))}
	if to.Addr().Is6() {
		local.IP = net.ParseIP(pod6)
	}
	p.Do(func() {
		conn, err = (&net.Dialer{LocalAddr: local, Timeout: 5 * time.Second}).Dial("tcp", to.String())
	})
	return conn, local.String(), err
}

func newPod(t testing.TB) *pod {
	t.Helper()
	netns.Need(t, "ip", "nft")
	p := &pod{}
	p.NS, p.world = netns.Pair(t)
	netns.RouteAll(t, p.NS, p.world)
	p.Must(t, rules, "nft", "-f", "-")
	return p
}

// bootstrap is the sidecar's --config-yaml as the injector renders it, with other
// paths of the control plane and the projected files.
func bootstrap(t testing.TB, dir string) string {
	t.Helper()
	cfg, problems := config.Parse(config.Texts{}, config.Labels{})
	kit.Must(t, problems.Err())
	injector, problems := inject.Compile(cfg, inject.Environment{})
	kit.Must(t, problems.Err())
	app := corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "app"}}}}
	app.Name, app.Namespace = "sleep-7d4b-x2x", "shop"
	app.Annotations = map[string]string{"proxy.istio.io/config": "discoveryAddress: " + world4 + ":15012\n"}
	data, err := json.Marshal(app)
	kit.Must(t, err)
	result, err := injector.Inject(inject.Request{Pod: data, Namespace: app.Namespace})
	kit.Must(t, err)
	kit.Must(t, json.Unmarshal(result.Tree().AppendTo(nil), &app))
	for _, c := range append(app.Spec.InitContainers, app.Spec.Containers...) {
		if i := slices.Index(c.Args, "--config-yaml"); i >= 0 {
			return strings.NewReplacer(
				"/var/run/secrets/outrider", dir, "/var/run/outrider", "/mnt", "$(POD_IP)", pod4, "$(POD_NAME)", app.Name, "$(POD_NAMESPACE)", app.Namespace, "$(APP)", "sleep",
			).Replace(c.Args[i+1])
		}
	}
	t.Fatal("no --config-yaml in the rendered pod")
	return ""
}

// run starts the sidecar as its own user, with the name server outside of the pod.
func (p *pod) run(t testing.TB, ca string, args ...string) {
	t.Helper()
	dir := t.TempDir()
	p.dir = dir
	kit.Must(t, os.Chmod(filepath.Dir(dir), 0o755))
	program := filepath.Join(dir, "envoy")
	copyProgram(t, envoy.Require(t), program)
	for name, content := range map[string]string{
		"token": "shop-token", "ca.pem": ca, "resolv.conf": "nameserver " + world4 + "\nsearch svc.cluster.local\noptions ndots:5\n",
		"sds-token.yaml": `resources:
- "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
  name: xds-token
  generic_secret: {secret: {filename: ` + dir + `/token}}
`,
		"sds-ca.yaml": `resources:
- "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
  name: xds-ca
  validation_context: {trusted_ca: {filename: ` + dir + `/ca.pem}}
`,
	} {
		kit.Must(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644))
	}
	container := p.Join(t)
	var err error
	container.Do(func() {
		err = unix.Unshare(unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			err = unix.Mount(filepath.Join(dir, "resolv.conf"), "/etc/resolv.conf", "", unix.MS_BIND, "")
		}
		if err == nil { // the volume of the administration socket
			err = unix.Mount("tmpfs", "/mnt", "tmpfs", 0, "mode=0777")
		}
	})
	kit.Must(t, err)
	config := bootstrap(t, dir)
	if p.edit != nil {
		config = p.edit(config)
	}
	cmd := exec.Command(program, append([]string{"--config-yaml", config, "--disable-hot-restart", "--concurrency", "2",
		"--log-level", "warning", "--file-flush-interval-msec", "50"}, args...)...)
	cmd.Env = append(os.Environ(), "POD_NAMESPACE=shop")
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: sidecarUser, Gid: sidecarUser}, Pdeathsig: syscall.SIGKILL}
	kit.Must(t, container.Start(cmd))
	p.pid = cmd.Process.Pid
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			text := p.log.String()
			t.Logf("the end of the sidecar's log:\n%s", text[max(0, len(text)-6000):])
		}
	})
}

func copyProgram(t testing.TB, from, to string) {
	t.Helper()
	if os.Link(from, to) == nil {
		return
	}
	in, err := os.Open(from)
	kit.Must(t, err)
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755)
	kit.Must(t, err)
	_, err = io.Copy(out, in)
	kit.Must(t, err)
	kit.Must(t, out.Close())
}

// serveNames answers DNS outside of the pod; an unknown name is NXDOMAIN.
func (p *pod) serveNames(t testing.TB, names map[string]string) *kit.Buffer {
	t.Helper()
	var conn net.PacketConn
	var err error
	p.world.Do(func() { conn, err = net.ListenPacket("udp", world4+":53") })
	kit.Must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	p.ttl = 30
	queries := &kit.Buffer{}
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(b[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			name := strings.TrimSuffix(strings.ToLower(q.Name.String()), ".")
			fmt.Fprintln(queries, name)
			m.Response, m.Additionals = true, nil
			p.naming.Lock()
			text, known := names[name]
			ttl := p.ttl
			p.naming.Unlock()
			a, _ := netip.ParseAddr(text)
			header := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: ttl}
			switch {
			case !known:
				m.RCode = dnsmessage.RCodeNameError
			case q.Type == dnsmessage.TypeA && a.Is4():
				m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{A: a.As4()}}}
			case q.Type == dnsmessage.TypeAAAA && a.Is6():
				m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}}}
			}
			if reply, err := m.Pack(); err == nil {
				_, _ = conn.WriteTo(reply, from)
			}
		}
	}()
	return queries
}
