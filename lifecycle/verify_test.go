package lifecycle

import (
	"strings"
	"testing"
)

// working is a cluster in which everything is as it should be.
func working() Cluster {
	return Cluster{
		Installation: Installation{Namespace: "istio-system"}, TestNamespace: "outrider-verify", Label: "istio-injection=enabled", Port: 9443,
		Registered: true, Published: true, Current: true, Selected: true, Desired: 2, Ready: 2, Policy: "enabled",
	}
}

func TestExplain(t *testing.T) {
	call := `Internal error occurred: failed calling webhook "namespace.sidecar-injector.istio.io": failed to call webhook: Post "https://outrider.istio-system.svc:443/inject?timeout=5s": `
	for _, tt := range []struct {
		name    string
		attempt Attempt
		change  func(*Cluster)
		want    string // of the text
		ok      bool
	}{
		{"injected", Attempt{Injected: true}, nil, "A pod in a namespace with istio-injection=enabled is injected.", true},
		{"not registered", Attempt{}, func(c *Cluster) { c.Registered = false }, "outrider-sidecar-injector does not exist", false},
		{"not selected", Attempt{}, func(c *Cluster) { c.Selected = false }, "admissions.enforcer/disabled=true", false},
		{"disabled", Attempt{}, func(c *Cluster) { c.Policy = "disabled" }, "has policy: disabled", true},
		{"ignored", Attempt{}, func(c *Cluster) { c.Ignored = true }, "cannot reach the webhook", false},
		{"unknown", Attempt{}, nil, "the webhook's log", false},
		{"unreachable", Attempt{Error: call + "context deadline exceeded"}, nil, "allow TCP port 9443 from the API server", false},
		{"unreachable on GKE", Attempt{Error: call + "dial tcp 10.0.0.1:443: i/o timeout"}, func(c *Cluster) { c.Provider = "gce" }, "--allow tcp:9443", false},
		{"unreachable on EKS", Attempt{Error: call + "context deadline exceeded"}, func(c *Cluster) { c.Provider = "aws"; c.Port = 10250 }, "allow TCP port 10250 from the cluster's security group", false},
		{"unreachable, none ready", Attempt{Error: call + "context deadline exceeded"}, func(c *Cluster) { c.Ready = 0 }, "0 of 2 replicas", false},
		{"no image", Attempt{Error: call + `no endpoints available for service "outrider"`}, func(c *Cluster) {
			c.Ready, c.Pods = 0, []Pod{{"outrider-1", "ImagePullBackOff", "Back-off pulling image"}}
		}, "pod outrider-1: ImagePullBackOff: Back-off pulling image", false},
		{"scaled down", Attempt{Error: call + `no endpoints available for service "outrider"`}, func(c *Cluster) { c.Ready, c.Desired = 0, 0 }, "scale deployment/outrider --replicas=2", false},
		{"refused", Attempt{Error: call + "dial tcp 10.0.0.1:443: connect: connection refused"}, nil, "may not have reached the API server's node yet", false},
		{"no Service", Attempt{Error: `failed to call webhook: Post "https://outrider.istio-system.svc:443/inject": service "outrider" not found`}, nil, "Service istio-system/outrider does not exist", false},
		{"no caBundle", Attempt{Error: call + "tls: failed to verify certificate: x509: certificate signed by unknown authority"}, func(c *Cluster) { c.Published = false }, "has no caBundle", false},
		{"another caBundle", Attempt{Error: call + "tls: failed to verify certificate: x509: certificate signed by unknown authority"}, func(c *Cluster) { c.Current = false }, "something else writes it", false},
		{"a proxy's certificate", Attempt{Error: call + "tls: failed to verify certificate: x509: certificate signed by unknown authority"}, nil, "NO_PROXY", false},
		{"another name", Attempt{Error: call + "tls: failed to verify certificate: x509: certificate is valid for a.b.svc, not outrider.istio-system.svc"}, nil, "valid for a.b.svc, not for outrider.istio-system.svc", false},
		{"a proxy", Attempt{Error: call + "proxyconnect tcp: dial tcp: i/o timeout"}, nil, "HTTP proxy", false},
		{"Pod Security", Attempt{Error: `pods "p" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false`}, nil, "pod-security.kubernetes.io/enforce=privileged", true},
		{"quota", Attempt{Error: `pods "p" is forbidden: exceeded quota: small, requested: pods=1`}, nil, "ResourceQuota small", true},
		{"our denial", Attempt{Error: `admission webhook "namespace.sidecar-injector.istio.io" denied the request: values: bad`}, nil, "cannot inject the pod: values: bad", false},
		{"another's denial", Attempt{Error: `admission webhook "validate.kyverno.svc" denied the request: no label team`}, nil, "Another admission webhook, validate.kyverno.svc, rejects the pod: no label team", false},
		{"a policy", Attempt{Error: `pods "p" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no`}, nil, "ValidatingAdmissionPolicy p rejects", false},
		{"anything else", Attempt{Error: `namespaces "outrider-verify" not found`}, nil, "the API server's message: namespaces", false},
	} {
		c := working()
		if tt.change != nil {
			tt.change(&c)
		}
		got := Explain(tt.attempt, c)
		if !strings.Contains(got.Text(), tt.want) || got.Injected != tt.ok {
			t.Errorf("%s: %v, want %q in:\n%s", tt.name, got.Injected, tt.want, got.Text())
		}
		if tt.attempt.Error != "" && !strings.Contains(got.Text(), tt.attempt.Error) {
			t.Errorf("%s: the API server's message is not in:\n%s", tt.name, got.Text())
		}
	}
}
