package envoy

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// live are the ports that are open once a control plane has answered; none is before. 15001
// would come from the control plane, and 15006, Istio's for inbound traffic, never comes.
var live = []string{"127.0.0.1:15000", "[::]:15021", "[::]:15090"}

// atOnce bounds the end after SIGTERM. It distinguishes an exit from a drain,
// whose least time is 5 s, and has room for a busy machine.
const atOnce = 3 * time.Second

// secretsOf are the files of the sidecar's volume.
func secretsOf(ca *authority, token string) map[string]string {
	return map[string]string{"token": token, "ca.pem": ca.pem(), "sds-token.yaml": sdsToken, "sds-ca.yaml": sdsCA}
}

// serveControlPlane runs a control plane on an address of the node.
func (p *pod) serveControlPlane(t *testing.T, host string, cert tls.Certificate) *controlPlane {
	t.Helper()
	var l net.Listener
	var err error
	p.node.Do(func() { l, err = net.Listen("tcp", net.JoinHostPort(host, "15012")) })
	if err != nil {
		t.Fatal(err)
	}
	c := &controlPlane{}
	c.certificate.Store(&cert)
	c.serve(t, l)
	return c
}

// ready waits until the kubelet's probe succeeds.
func (p *pod) ready(t *testing.T) {
	t.Helper()
	took := p.eventually(t, "the readiness probe succeeds", func() bool {
		status, _, err := get(p.node, "http://"+pod4+":15021/healthz/ready")
		return err == nil && status == 200
	})
	t.Logf("ready after %s", took.Round(time.Millisecond))
}

// wantEnd ends the sidecar as a kubelet does.
func (p *pod) wantEnd(t *testing.T) {
	t.Helper()
	took, err := p.terminate(t)
	t.Logf("ended %s after SIGTERM", took.Round(time.Millisecond))
	if err != nil || took > atOnce {
		t.Errorf("after SIGTERM: %v, in %s; want status 0 at once", err, took)
	}
}

// Until a control plane has answered the sidecar is alive and not ready: the
// probe's port is closed, and what the application sends out has nowhere to go.
func TestWithoutControlPlane(t *testing.T) {
	program := Require(t)
	p := newPod(t)
	fillSecrets(t, p.volume, "..1", secretsOf(newCA(t), "t"))
	p.run(t, render(t, setup{ip: pod4}), program)

	took := p.eventually(t, "the administration socket answers", func() bool {
		_, _, err := p.administer("GET", "/ready")
		return err == nil
	})
	t.Logf("the administration socket answers after %s", took.Round(time.Millisecond))
	// It has tried the control plane by then, which does not exist.
	p.eventually(t, "it tries the control plane", func() bool {
		_, text, err := p.administer("GET", "/stats?filter=xds-grpc.upstream_cx_connect_fail")
		return err == nil && !strings.Contains(text, ": 0")
	})
	if status, text, err := p.administer("GET", "/ready"); err != nil || status != 503 || !strings.Contains(text, "PRE_INITIALIZING") {
		t.Errorf("/ready: %d %q, %v", status, text, err)
	}
	if got := p.listeners(t); len(got) > 0 {
		t.Errorf("listening on %q", got)
	}
	for _, host := range []string{pod4, "[" + pod6 + "]"} {
		wantNotListening(t, p.node, "http://"+host+":15021/healthz/ready")
		wantNotListening(t, p.node, "http://"+host+":15000/ready")
	}
	p.wantEnd(t)
}

func TestWithControlPlane(t *testing.T) {
	program := Require(t)
	p, ca := newPod(t), newCA(t)
	c := p.serveControlPlane(t, node4, ca.serve(t, controlPlaneName))
	fillSecrets(t, p.volume, "..1", secretsOf(ca, "first"))
	p.run(t, render(t, setup{ip: pod4, labels: map[string]string{"app": "sleep"}}), program)
	p.ready(t)

	t.Run("ports", func(t *testing.T) { wantPorts(t, p) })
	t.Run("administration", func(t *testing.T) { wantReadOnly(t, p) })
	t.Run("privileges", func(t *testing.T) { wantUnprivileged(t, p) })
	t.Run("identity", func(t *testing.T) { wantIdentity(t, c) })
	t.Run("rotation", func(t *testing.T) {
		other := newCA(t)
		fillSecrets(t, p.volume, "..2", secretsOf(other, "second"))
		cert := other.serve(t, controlPlaneName)
		c.certificate.Store(&cert)
		took := p.eventually(t, "a connection by the new CA with the new token", func() bool {
			if c.last().authorization == "Bearer second" {
				return true
			}
			c.drop() // what is connected stays as it is
			time.Sleep(100 * time.Millisecond)
			return false
		})
		t.Logf("rotated after %s", took.Round(time.Millisecond))
		wantGet(t, p.node, "http://"+pod4+":15021/healthz/ready", 200, "LIVE")
	})
	p.wantEnd(t)
	for _, complaint := range []string{"deprecated", "[error]", "[critical]"} {
		if strings.Contains(p.log.String(), complaint) {
			t.Errorf("the sidecar's log has %q", complaint)
		}
	}
}

// wantPorts holds what the pod's neighbours may and may not reach.
func wantPorts(t *testing.T, p *pod) {
	for _, host := range []string{pod4, "[" + pod6 + "]"} {
		wantGet(t, p.node, "http://"+host+":15021/healthz/ready", 200, "LIVE")
		wantGet(t, p.node, "http://"+host+":15090/stats/prometheus", 200, `envoy_server_live{} 1`)
		// Both route to the administration interface, and to nothing else of it.
		for _, path := range []string{
			"/", "/config_dump", "/quitquitquit", "/healthz/ready/../quitquitquit", "/healthz/ready/%2e%2e/quitquitquit",
			"/stats/prometheus/../../quitquitquit", "//quitquitquit", "/ready",
		} {
			wantGet(t, p.node, "http://"+host+":15021"+path, 404, "")
			wantGet(t, p.node, "http://"+host+":15090"+path, 404, "")
		}
		for _, ns := range []string{"15000/ready", "15001/", "15006/"} {
			wantNotListening(t, p.node, "http://"+host+":"+ns)
			wantNotListening(t, p.NS, "http://"+host+":"+ns)
		}
	}
	wantNotListening(t, p.NS, "http://[::1]:15000/ready")
	wantGet(t, p.NS, "http://127.0.0.1:15000/ready", 200, "LIVE")
	wantGet(t, p.NS, "http://127.0.0.1:15000/server_info", 200, `"concurrency": 2,`)
	if got := p.listeners(t); !slices.Equal(got, live) {
		t.Errorf("listening on %q, want %q", got, live)
	}
}

// wantUnprivileged checks that the sidecar ran as the pod specifies, so that what
// else was seen here is worth something.
func wantUnprivileged(t *testing.T, p *pod) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	const none = "0000000000000000"
	for name, want := range map[string]string{
		"Uid": "1337 1337 1337 1337", "Gid": "1337 1337 1337 1337", "Groups": "", "NoNewPrivs": "1",
		"CapEff": none, "CapPrm": none, "CapInh": none, "CapBnd": none, "CapAmb": none,
	} {
		_, rest, found := bytes.Cut(status, []byte("\n"+name+":"))
		line, _, _ := bytes.Cut(rest, []byte("\n"))
		if got := strings.Join(strings.Fields(string(line)), " "); !found || got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.cmd.Process.Pid))
	if err != nil || bytes.Contains(environ, []byte("HOME=")) || !bytes.Contains(environ, []byte("POD_NAME=sleep-7d4b-x2x\x00")) {
		t.Errorf("environment %q, %v", environ, err)
	}
}

// wantIdentity checks what the sidecar sends to its control plane.
func wantIdentity(t *testing.T, c *controlPlane) {
	types := []string{"type.googleapis.com/envoy.config.cluster.v3.Cluster", "type.googleapis.com/envoy.config.listener.v3.Listener", "type.googleapis.com/envoy.service.runtime.v3.Runtime"}
	got := c.last()
	if subscribed := slices.Sorted(maps.Keys(got.types)); !slices.Equal(subscribed, types) {
		t.Errorf("subscribed to %q, want %q", subscribed, types)
	}
	got.types = nil
	want := stream{
		path:       "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
		serverName: controlPlaneName, authorization: "Bearer first", protocol: "HTTP/2.0",
		id: "sidecar~" + pod4 + "~sleep-7d4b-x2x.shop~shop.svc.cluster.local", cluster: "sleep.shop",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the stream is\n%+v, want\n%+v", got, want)
	}
}

// A pod without IPv6 has the same ports.
func TestWithoutIPv6(t *testing.T) {
	program := Require(t)
	p, ca := newPod(t), newCA(t)
	p.Do(func() {
		for _, name := range []string{"all", "default", "lo", "eth0"} {
			if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", []byte("1"), 0); err != nil {
				t.Fatal(err)
			}
		}
	})
	p.serveControlPlane(t, node4, ca.serve(t, controlPlaneName))
	fillSecrets(t, p.volume, "..1", secretsOf(ca, "t"))
	p.run(t, render(t, setup{ip: pod4}), program)
	p.ready(t)
	wantGet(t, p.node, "http://"+pod4+":15090/stats/prometheus", 200, `envoy_server_live{} 1`)
	p.wantEnd(t)
}

// The token is sent only to the server that the CA certificate and the discovery
// address identify.
func TestControlPlaneIsVerified(t *testing.T) {
	program := Require(t)
	ca, stranger := newCA(t), newCA(t)
	for _, c := range []struct {
		name    string
		address string // discoveryAddress without port; the default if empty
		cert    tls.Certificate
		trusted bool
	}{
		{"IPv4 address", node4, ca.serve(t, node4), true},
		{"IPv6 address", "[" + node6 + "]", ca.serve(t, node6), true},
		{"another address", node4, ca.serve(t, pod4), false},
		{"a name in place of the address", node4, ca.serve(t, controlPlaneName), false},
		{"another name", "", ca.serve(t, "other.istio-system.svc"), false},
		{"a longer name", "", ca.serve(t, controlPlaneName+".example"), false},
		{"another CA", "", stranger.serve(t, controlPlaneName), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPod(t)
			s, host := setup{ip: pod4}, node4
			if c.address != "" {
				s.annotations, host = discovery(c.address+":15012"), strings.Trim(c.address, "[]")
			}
			server := p.serveControlPlane(t, host, c.cert)
			fillSecrets(t, p.volume, "..1", secretsOf(ca, "t"))
			p.run(t, render(t, s), program)
			if c.trusted {
				p.ready(t)
				return
			}
			p.eventually(t, "the sidecar rejects the control plane", func() bool { return server.rejected.Count("handshake error") > 1 })
			if n := len(server.opened()); n > 0 {
				t.Errorf("%d streams were opened", n)
			}
		})
	}
}
