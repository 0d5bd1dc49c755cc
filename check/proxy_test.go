package check_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/outrider-mesh/outrider/check"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/redirect"
	"github.com/outrider-mesh/outrider/status"
	"github.com/outrider-mesh/outrider/test/kit"
)

// healthySidecar is a sidecar without a fault, of a pod that was injected by the injector.
func healthySidecar(t *testing.T, annotations ...string) *check.Facts {
	t.Helper()
	f := healthy(t)
	pod := &corev1.Pod{}
	pod.APIVersion, pod.Kind, pod.Namespace, pod.Name = "v1", "Pod", "shop", "web"
	pod.Labels, pod.Annotations = map[string]string{"sidecar.istio.io/inject": "true"}, map[string]string{}
	for i := 0; i < len(annotations); i += 2 {
		pod.Annotations[annotations[i]] = annotations[i+1]
	}
	pod.Spec.Containers = []corev1.Container{{Name: "web", Image: "web"}}
	text, err := json.Marshal(pod)
	kit.Must(t, err)
	r, err := f.Injector.Inject(inject.Request{Pod: text, Namespace: "shop"})
	kit.Must(t, err)
	kit.Must(t, json.Unmarshal(r.Tree().AppendTo(nil), pod))
	pod.Spec.NodeName = "one"
	pod.Status.InitContainerStatuses = []corev1.ContainerStatus{
		{Name: check.ProxyContainer, Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}},
		{Name: check.InitContainer, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}},
	}
	bundle, serial := authority(t)
	f.Sidecar = &check.Sidecar{
		Pod: pod, Trusted: bundle, InitLog: "outrider-init: " + summary(t, pod) + "; 9 rules verified, 4/4 test connections passed\n",
		Admin: &check.Admin{
			Time: now, Now: now, State: "LIVE", Version: "1.40.0", Stats: map[string]uint64{"control_plane.connected_state": 1, "cluster.xds-grpc.membership_total": 1},
			Certificates: []check.Certificate{{Serial: "0" + serial, Expires: now.Add(time.Hour)}},
		},
		Compared: &status.Report{Replicas: []status.Replica{{Connected: new(3)}}},
	}
	return f
}

// summary is what istio-init logs.
func summary(t *testing.T, pod *corev1.Pod) string {
	t.Helper()
	for _, c := range pod.Spec.InitContainers {
		if c.Name == check.InitContainer {
			config, _, err := redirect.ParseArgs(c.Args, func(string) string { return "" })
			kit.Must(t, err)
			return redirect.Summary(config, redirect.Inet)
		}
	}
	return ""
}

// authority is a CA certificate, and its serial number.
func authority(t *testing.T) (pemText, serial string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	kit.Must(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(0xabc123), NotBefore: now, NotAfter: now.Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	kit.Must(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), "ABC123"
}

// sidecarFaults are faults of one sidecar. Some of them make other checks fail, too.
var sidecarFaults = []struct {
	name      string
	plant     func(*check.Facts)
	id        string
	status    check.Status
	text, fix string
}{
	{"no sidecar", func(f *check.Facts) {
		f.Sidecar.Pod.Annotations, f.Sidecar.Pod.Spec.InitContainers = nil, nil
		f.Sidecar.Compared.Missing = []status.Missing{{Cause: status.Cause{Text: "the label was written later"}, Command: "kubectl -n shop rollout restart deployment/web"}}
	}, "proxy-injected", check.Failed, "the label was written later", "kubectl -n shop rollout restart deployment/web"},
	{"another mesh's", func(f *check.Facts) { f.Sidecar.Pod.Annotations = nil }, "proxy-injected", check.Failed, "not injected by Outrider", "outrider explain -n shop web"},
	{"copied annotation", func(f *check.Facts) { f.Sidecar.Pod.Spec.InitContainers = nil }, "proxy-injected", check.Failed, "copied", "sidecar.istio.io/status"},
	{"image", func(f *check.Facts) {
		f.Sidecar.Pod.Status.InitContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "not found"}}
		f.Sidecar.Admin = nil
	}, "proxy-running", check.Failed, "ImagePullBackOff: not found", "describe pod web"},
	{"memory", func(f *check.Facts) {
		c := &f.Sidecar.Pod.Status.InitContainerStatuses[0]
		c.RestartCount, c.LastTerminationState.Terminated = 3, &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled"}
	}, "proxy-running", check.Warning, "3 times", "proxyMemoryLimit"},
	{"no configuration", func(f *check.Facts) { f.Sidecar.Admin.State = "PRE_INITIALIZING" }, "proxy-ready", check.Failed, "PRE_INITIALIZING", "proxy-xds"},
	{"draining", func(f *check.Facts) { f.Sidecar.Admin.State = "DRAINING" }, "proxy-ready", check.Warning, "drains", "nothing"},
	{"probe", func(f *check.Facts) { f.Sidecar.Pod.Status.InitContainerStatuses[0].Ready = false }, "proxy-ready", check.Failed, "readiness probe", "describe pod"},
	{"init failed", func(f *check.Facts) {
		f.Sidecar.Pod.Status.InitContainerStatuses[1].State.Terminated.ExitCode = 1
		f.Sidecar.InitLog = "outrider-init: the kernel has no nf_tables\n"
	}, "proxy-redirect", check.Failed, "no nf_tables", "logs web -c istio-init"},
	{"init waits", func(f *check.Facts) {
		f.Sidecar.Pod.Status.InitContainerStatuses[1].State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	}, "proxy-redirect", check.Warning, "waits", "proxy-xds"},
	{"init not begun", func(f *check.Facts) {
		f.Sidecar.Pod.Status.InitContainerStatuses = f.Sidecar.Pod.Status.InitContainerStatuses[:1]
	}, "proxy-redirect", check.Failed, "not been created", "describe"},
	{"other rules", func(f *check.Facts) {
		f.Sidecar.InitLog = "outrider-init: captures to port 15001: IPv4 no range, IPv6 no range; 3 rules verified\n"
	}, "proxy-redirect", check.Warning, "IPv4 no range", "again"},
	{"invalid arguments", func(f *check.Facts) {
		f.Sidecar.Pod.Spec.InitContainers[1].Args = []string{"-i", "10.0.0.0/40"}
		f.Sidecar.Pod.Spec.InitContainers[1].Name = check.InitContainer
	}, "proxy-redirect", check.Failed, "10.0.0.0/40", "template"},
	{"stale", func(f *check.Facts) {
		f.Sidecar.Compared.Workloads = []status.Workload{{Command: "kubectl -n shop rollout restart deployment/web", Differences: []status.Difference{{Name: "includeOutboundIPRanges", Was: "*", Is: ""}}}}
	}, "proxy-settings", check.Warning, `includeOutboundIPRanges: *, now ""`, "rollout restart deployment/web"},
	{"stale pod", func(f *check.Facts) { f.Sidecar.Compared.Workloads = []status.Workload{{Note: "create it again"}} }, "proxy-settings", check.Warning, "other settings", "create it again"},
	{"DNS", func(f *check.Facts) {
		f.Sidecar.Admin.Stats = map[string]uint64{"cluster.xds-grpc.update_failure": 7}
	}, "proxy-dns", check.Failed, "7 queries", "port 53"},
	{"unreachable", ended("closed since 25s ago: 14, upstream connect error or disconnect/reset before headers. reset reason: remote connection failure{delayed_connect_error:_Connection_refused}"),
		"proxy-xds", check.Failed, "Connection_refused", "port 15012"},
	{"not trusted", ended("closed since 5s ago: 14, upstream connect error: TLS_error:|268435581:SSL_routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:TLS_error_end"),
		"proxy-xds", check.Failed, "does not accept its certificate", "proxy-certificate"},
	{"token", ended("closed: 16, token is expired"), "proxy-xds", check.Failed, "token is expired", "audience outrider"},
	{"no name", ended("closed since 5s ago: 14, no healthy upstream"), "proxy-xds", check.Failed, "name is not resolved", "proxy-dns"},
	{"other end", ended("closed since 5s ago: 13, "), "proxy-xds", check.Failed, "stream has ended", "logs web -c istio-proxy"},
	{"no first configuration", func(f *check.Facts) {
		ended("closed since 5s ago: 14, no healthy upstream")(f)
		f.Sidecar.Admin, f.Sidecar.Silent = nil, "port 15000 of the pod: no response"
	}, "proxy-xds", check.Failed, "name is not resolved", "proxy-dns"},
	{"silent", func(f *check.Facts) { f.Sidecar.Admin, f.Sidecar.Silent = nil, "port 15000 of the pod: no response" }, "proxy-ready", check.Failed, "no response", "proxy-xds"},
	{"behind", func(f *check.Facts) {
		f.Sidecar.Compared.Sidecars = []status.Sidecar{{Namespace: "shop", Pod: "web", ID: status.Behind, Text: "since 10:00"}, {Namespace: "shop", Pod: "other", ID: status.Behind}}
	}, "proxy-configuration", check.Failed, "since 10:00", "proxyCPULimit"},
	{"rejects", func(f *check.Facts) {
		f.Sidecar.Admin.Rejected = []check.RejectedResource{{Name: "0.0.0.0_80", Details: "regex too large"}}
	}, "proxy-rejected", check.Failed, `"0.0.0.0_80", and keeps the version that it has: regex too large`, "outrider status"},
	{"has rejected", func(f *check.Facts) {
		f.Sidecar.Compared.Sidecars = []status.Sidecar{{Namespace: "shop", Pod: "web", ID: status.Rejecting, Text: "regex too large", Time: now}}
	}, "proxy-rejected", check.Warning, "observed at 2027-01-02T03:04:05Z", "outrider status"},
	{"no certificate", func(f *check.Facts) { f.Sidecar.Admin.Certificates = nil }, "proxy-certificate", check.Failed, "no CA certificate", "configmap outrider-ca"},
	{"expired", func(f *check.Facts) { f.Sidecar.Admin.Certificates[0].Expires = now.Add(-time.Hour) }, "proxy-certificate", check.Failed, "expired", "two minutes"},
	{"older", func(f *check.Facts) { f.Sidecar.Admin.Certificates[0].Serial = "77" }, "proxy-certificate", check.Warning, "abc123", "two minutes"},
	{"clock", func(f *check.Facts) { f.Sidecar.Admin.Time = now.Add(2 * time.Minute) }, "proxy-clock", check.Failed, "node one differs from the API server's by 2m0s", "chrony"},
}

// ended is a stream that has ended with a message in the log of the sidecar.
func ended(message string) func(*check.Facts) {
	return func(f *check.Facts) {
		f.Sidecar.Admin.Stats["control_plane.connected_state"] = 0
		f.Sidecar.ProxyLog = "[...][warning][config] DeltaAggregatedResources gRPC config stream to xds-grpc " + message + "\n[...] GET / 200\n"
	}
}

// TestSidecarFaults: each fault is found by its check, with a fix.
func TestSidecarFaults(t *testing.T) {
	for _, c := range sidecarFaults {
		t.Run(strings.ReplaceAll(c.name, " ", "_"), func(t *testing.T) {
			f := healthySidecar(t)
			c.plant(f)
			report := check.Run(f)
			for _, r := range report.Results {
				text, fix := r.What+strings.Join(r.Details, "\n"), r.Fix+strings.Join(r.Commands, "\n")
				if r.Check == c.id && r.Status == c.status && strings.Contains(text, c.text) && strings.Contains(fix, c.fix) {
					return
				}
			}
			t.Errorf("not found; %s", report.Text(false))
		})
	}
}

// TestNoRedirect: a pod without a redirect, or with one that captures nothing.
func TestNoRedirect(t *testing.T) {
	for annotation, value := range map[string]string{"sidecar.istio.io/interceptionMode": "NONE", "traffic.sidecar.istio.io/includeOutboundIPRanges": ""} {
		f := healthySidecar(t, annotation, value)
		i := slices.IndexFunc(check.Run(f).Results, func(r check.Result) bool { return r.Check == "proxy-redirect" && r.Status == check.Warning })
		if i < 0 {
			t.Errorf("%s: %s", annotation, check.Run(f).Text(false))
		}
	}
}

// TestHealthySidecar: without a fault every check of a sidecar passes, and what was not read
// makes none pass that depends on it.
func TestHealthySidecar(t *testing.T) {
	f := healthySidecar(t)
	if report := check.Run(f); report.Status != check.Passed || len(report.Results) != 13 {
		t.Error(report.Text(false))
	}
	f.Sidecar.Admin, f.Sidecar.Compared, f.Sidecar.InitLog, f.Sidecar.Trusted = nil, nil, "", ""
	for _, r := range []check.Resource{check.Administration, check.Comparison, check.Logs, check.Trusted} {
		f.Unread[r] = "forbidden"
	}
	var passed []string
	for _, r := range check.Run(f).Results {
		if r.Status == check.Passed {
			passed = append(passed, r.Check)
		}
	}
	if want := []string{"api-reachable", "proxy-injected", "proxy-running", "proxy-ready", "proxy-redirect"}; !slices.Equal(passed, want) {
		t.Errorf("passed: %v, want %v", passed, want)
	}
}

// TestReadAdmin reads responses of Envoy 1.40.
func TestReadAdmin(t *testing.T) {
	var a check.Admin
	for path, body := range map[string]string{
		"/server_info": `{"version": "c5f0/1.40.0/Clean/RELEASE/BoringSSL", "state": "LIVE"}`,
		"/stats":       "control_plane.connected_state: 1\ncontrol_plane.identifier: \"\"\ncluster.x.upstream_cx_length_ms: P0(nan,1.0)\ncluster.a: b.c: 7\n",
		"/certs":       `{"certificates":[{"ca_cert":[{"path":"<inline>","serial_number":"0abc","expiration_time":"2027-01-02T03:04:05Z"}],"cert_chain":[]}]}`,
		"/config_dump?resource=dynamic_listeners":        `{"configs":[{"name":"0.0.0.0_80","error_state":{"details":"no"}},{"name":"virtualOutbound"}]}`,
		"/config_dump?resource=dynamic_warming_clusters": `{"configs":[{"cluster":{"name":"c"},"error_state":{"details":"no"}}]}`,
		"/config_dump?resource=dynamic_route_configs":    `{"configs":[{"route_config":{"name":"80"},"error_state":{"details":"no"}}]}`,
		"/config_dump?resource=dynamic_active_clusters":  `{}`,
	} {
		if !slices.Contains(a.Paths(), path) {
			t.Errorf("%s is not read", path)
		}
		kit.Must(t, a.Read(path, []byte(body)))
	}
	var rejected []string
	for _, r := range a.Rejected {
		rejected = append(rejected, r.Name)
	}
	slices.Sort(rejected)
	if a.State != "LIVE" || a.Version != "1.40.0" || len(a.Stats) != 2 || a.Stats["cluster.a: b.c"] != 7 || len(a.Certificates) != 1 || a.Certificates[0].Serial != "0abc" || !slices.Equal(rejected, []string{"0.0.0.0_80", "80", "c"}) {
		t.Errorf("%+v", a)
	}
	if err := a.Read("/certs", []byte("no")); err == nil {
		t.Error("no error")
	}
}
