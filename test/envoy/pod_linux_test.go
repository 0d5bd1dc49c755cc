package envoy

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kit/netns"
)

// The addresses of the pod, and of the node beside it: there the kubelet's
// probes come from, and there the control plane is.
const (
	pod4, pod6   = netns.Pod4, netns.Pod6
	node4, node6 = netns.Neighbor4, netns.Neighbor6
)

// pod is the network of a pod with its node, and the sidecar in it.
type pod struct {
	*netns.NS
	node *netns.NS
	// volume is mounted in the sidecar at secrets.
	volume string
	// runVolume is mounted in the sidecar at runDir: the volume of its administration socket.
	runVolume string

	cmd    *exec.Cmd
	log    kit.Buffer
	exited chan error
}

// newPod makes the network; nothing leaves it.
func newPod(t *testing.T) *pod {
	t.Helper()
	p := &pod{volume: t.TempDir(), runVolume: t.TempDir()}
	if err := os.Chmod(p.runVolume, 0o777); err != nil { // as the kubelet does for an emptyDir
		t.Fatal(err)
	}
	p.NS, p.node = netns.Pair(t)
	return p
}

// run starts the sidecar as a runtime would: its own command, arguments and
// environment, on a read-only root with nothing in it but the program and its
// libraries, as its user, without capabilities or a way to new ones.
func (p *pod) run(t *testing.T, s sidecar, program string) {
	t.Helper()
	root, container := t.TempDir(), p.Join(t)
	var err error
	container.Do(func() {
		if err = buildRoot(root, program, p.volume); err == nil {
			err = bindWritable(p.runVolume, filepath.Join(root, runDir))
		}
		if err == nil {
			err = dropPrivileges()
		}
	})
	if err != nil {
		t.Fatalf("prepare the sidecar's container: %v", err)
	}
	p.cmd = &exec.Cmd{
		Path: s.command[0], Args: append(slices.Clone(s.command), s.args...), Env: s.env, Dir: "/",
		Stdout: &p.log, Stderr: &p.log,
		SysProcAttr: &syscall.SysProcAttr{
			Chroot: root, Credential: &syscall.Credential{Uid: s.uid, Gid: s.gid},
			Pdeathsig: syscall.SIGKILL, // it does not outlive a killed test
		},
	}
	if err := container.Start(p.cmd); err != nil {
		t.Fatalf("start the sidecar: %v", err)
	}
	p.exited = make(chan error, 1)
	go func() { p.exited <- p.cmd.Wait(); close(p.exited) }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		for range p.exited { // closed once it is gone
		}
		if t.Failed() {
			t.Logf("the log of the sidecar:\n%s", p.log.String())
		}
	})
}

// buildRoot gives the calling thread a mount namespace of its own, in which
// root is a container's file system.
func buildRoot(root, program, volume string) error {
	if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
		return fmt.Errorf("new mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, "mode=0755"); err != nil {
		return fmt.Errorf("mount the root: %w", err)
	}
	for _, m := range []struct{ from, to string }{
		{program, "/usr/local/bin/envoy"}, {volume, secrets}, {volume, runDir},
		{"/lib", "/lib"}, {"/lib64", "/lib64"}, {"/proc", "/proc"}, {"/dev/null", "/dev/null"}, {"/dev/urandom", "/dev/urandom"},
	} {
		if err := bind(m.from, filepath.Join(root, m.to)); os.IsNotExist(err) && m.from == "/lib64" {
			continue // not every architecture has it
		} else if err != nil {
			return fmt.Errorf("mount %s: %w", m.to, err)
		}
	}
	for name, content := range map[string]string{
		"hosts":       "127.0.0.1 localhost\n" + node4 + " " + controlPlaneName + "\n",
		"resolv.conf": "nameserver 127.0.0.1\n", // no name server
	} {
		if err := os.MkdirAll(filepath.Join(root, "etc"), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(root, "etc", name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	err := unix.MountSetattr(unix.AT_FDCWD, root, unix.AT_RECURSIVE, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY})
	if err != nil {
		return fmt.Errorf("make the root read-only: %w", err)
	}
	return nil
}

// bindWritable mounts a volume over a directory of a read-only root.
func bindWritable(from, to string) error {
	if err := unix.Mount(from, to, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s: %w", to, err)
	}
	return nil
}

func bind(from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if info.IsDir() {
		err = os.Mkdir(to, 0o755)
	} else {
		err = os.WriteFile(to, nil, 0o644)
	}
	if err != nil {
		return err
	}
	return unix.Mount(from, to, "", unix.MS_BIND|unix.MS_REC, "")
}

// dropPrivileges leaves what the calling thread starts with no capability to
// gain: capabilities.drop ALL and allowPrivilegeEscalation false.
func dropPrivileges() error {
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil && err != unix.EINVAL {
			return fmt.Errorf("drop capability %d: %w", c, err)
		}
	}
	return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
}

// terminate sends SIGTERM and returns how long the sidecar took to end, and how
// it ended.
func (p *pod) terminate(t *testing.T) (time.Duration, error) {
	t.Helper()
	start := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-p.exited:
		return time.Since(start), err
	case <-time.After(20 * time.Second):
		t.Fatal("the sidecar still runs 20 s after SIGTERM")
		return 0, nil
	}
}

// get does an HTTP request on a namespace's network.
func get(ns *netns.NS, url string) (status int, body string, err error) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
			ns.Do(func() { conn, err = (&net.Dialer{}).DialContext(ctx, network, addr) })
			return conn, err
		},
	}}
	resp, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(data), err
}

// wantGet fails the test where a request is answered otherwise.
func wantGet(t *testing.T, ns *netns.NS, url string, status int, body string) {
	t.Helper()
	got, text, err := get(ns, url)
	if err != nil || got != status || !strings.Contains(text, body) {
		t.Errorf("GET %s: %d %.200q, %v; want %d with %q", url, got, text, err, status, body)
	}
}

// wantNotListening fails the test if the port is open.
func wantNotListening(t *testing.T, ns *netns.NS, url string) {
	t.Helper()
	if status, _, err := get(ns, url); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("GET %s: %d, %v; want connection refused", url, status, err)
	}
}

// eventually waits until what is asked for is true; a sidecar that ended makes
// it false.
func (p *pod) eventually(t *testing.T, what string, ok func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !ok() {
		select {
		case err := <-p.exited:
			t.Fatalf("%s: the sidecar ended: %v", what, err)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Since(start) > 30*time.Second {
			t.Fatalf("%s: not within 30 s", what)
		}
	}
	return time.Since(start)
}

// listeners are the pod's listening TCP sockets, sorted, each once: the workers
// have one each for the same address.
func (p *pod) listeners(t *testing.T) []string {
	t.Helper()
	var found []string
	p.Do(func() {
		for _, family := range []string{"tcp", "tcp6"} {
			data, err := os.ReadFile("/proc/thread-self/net/" + family)
			if os.IsNotExist(err) {
				continue
			}
			if err != nil {
				t.Error(err)
			}
			for line := range strings.Lines(string(data)) {
				const listening = "0A"
				if f := strings.Fields(line); len(f) > 3 && f[3] == listening {
					found = append(found, socketAddress(f[1]))
				}
			}
		}
	})
	slices.Sort(found)
	return slices.Compact(found)
}

// socketAddress reads an address as /proc/net/tcp writes it: 32-bit words in
// the machine's order, which is little-endian wherever Envoy runs.
func socketAddress(text string) string {
	address, port, _ := strings.Cut(text, ":")
	raw, _ := hex.DecodeString(address)
	for word := range slices.Chunk(raw, 4) {
		slices.Reverse(word)
	}
	n, _ := hex.DecodeString(port)
	return net.JoinHostPort(net.IP(raw).String(), fmt.Sprint(int(n[0])<<8|int(n[1])))
}
