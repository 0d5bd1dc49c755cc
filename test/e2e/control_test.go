package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// source is how the walk-through calls the pod that sends requests.
const source = `export SOURCE_POD=$(kubectl get pod -l app=sleep -o 'jsonpath={.items[0].metadata.name}')
`

// Edits of the mesh, as the walk-through makes them.
const (
	toRegistryOnly = `kubectl get configmap istio -n istio-system -o yaml | sed 's/mode: ALLOW_ANY/mode: REGISTRY_ONLY/g' | kubectl replace -n istio-system -f -`
	toAllowAny     = `kubectl get configmap istio -n istio-system -o yaml | sed 's/mode: REGISTRY_ONLY/mode: ALLOW_ANY/g' | kubectl replace -n istio-system -f -`
)

// The objects of the walk-through.
const (
	httpbinEntry = `kubectl apply -f - <<EOF
apiVersion: networking.istio.io/v1alpha3
kind: ServiceEntry
metadata:
  name: httpbin-ext
spec:
  hosts:
  - httpbin.org
  ports:
  - number: 80
    name: http
    protocol: HTTP
  resolution: DNS
  location: MESH_EXTERNAL
EOF`
	googleEntry = `kubectl apply -f - <<EOF
apiVersion: networking.istio.io/v1alpha3
kind: ServiceEntry
metadata:
  name: google
spec:
  hosts:
  - www.google.com
  ports:
  - number: 443
    name: https
    protocol: HTTPS
  resolution: DNS
  location: MESH_EXTERNAL
EOF`
	httpbinTimeout = `kubectl apply -f - <<EOF
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata:
  name: httpbin-ext
spec:
  hosts:
    - httpbin.org
  http:
  - timeout: 3s
    route:
      - destination:
          host: httpbin.org
        weight: 100
EOF`
)

// What the walk-through's requests are.
const (
	google   = `kubectl exec "$SOURCE_POD" -c sleep -- curl -sSI https://www.google.com | grep  "HTTP/"`
	cnn      = `kubectl exec "$SOURCE_POD" -c sleep -- curl -sI https://edition.cnn.com | grep "HTTP/"`
	headers  = `kubectl exec "$SOURCE_POD" -c sleep -- curl -sS http://httpbin.org/headers`
	code     = `kubectl exec "$SOURCE_POD" -c sleep -- curl -o /dev/null -sS -w "%{http_code}\n" http://httpbin.org/headers`
	body     = `kubectl exec "$SOURCE_POD" -c sleep -- curl -sS http://httpbin.org/headers`
	delay    = `time kubectl exec "$SOURCE_POD" -c sleep -- curl -o /dev/null -sS -w "%{http_code}\n" http://httpbin.org/delay/5`
	logs     = `kubectl logs "$SOURCE_POD" -c istio-proxy | tail`
	blocked  = "command terminated with exit code 35" // curl's, for TLS that is closed
	ok2      = "HTTP/2 200"
	showMode = `kubectl get configmap istio -n istio-system -o yaml | grep -o "mode: ALLOW_ANY"`
)

// typed runs a line of the walk-through and returns what the user saw, whatever
// became of it.
func (n *Namespace) typed(line string) string {
	n.t.Helper()
	out, _ := n.Bash(ended, source+line).CombinedOutput()
	return string(out)
}

// sees repeats a line until the user sees every text: an edit takes a moment
// to reach the sidecar.
func (n *Namespace) sees(line string, texts ...string) string {
	n.t.Helper()
	var out string
	eventually(n.t, "$ "+line, func() error {
		out = n.typed(line)
		for _, text := range texts {
			if !strings.Contains(out, text) {
				return fmt.Errorf("%q is not in %s", text, out)
			}
		}
		return nil
	})
	return out
}

// control: the walk-through of controlled access, by the commands that users run.
func control(t *testing.T, s *Suite) {
	n := s.Namespace(t, "control", injected)
	t.Cleanup(func() { s.undo(t, "kubectl apply -f deploy/settings.yaml") })
	n.run("kubectl apply -f samples/sleep/sleep.yaml")
	n.rolledOut("deployment/sleep")

	// Passthrough.
	if out := n.typed(showMode); !strings.HasPrefix(out, "mode: ALLOW_ANY\n") {
		t.Errorf("$ %s\n%s", showMode, out)
	}
	for _, request := range []string{google, cnn} {
		if out := n.typed(request); !strings.Contains(out, ok2) {
			t.Errorf("$ %s\n%s", request, out)
		}
	}
	n.sees(logs, "PassthroughCluster", "edition.cnn.com", "www.google.com")

	// Blocked by default.
	n.run(toRegistryOnly)
	n.sees(google, blocked)
	n.sees(cnn, blocked)
	n.sees(code, "502\n")
	n.sees(logs, "BlackHoleCluster", " 502 ", "block_all")
	n.sees(body, "blocked (block_all): host httpbin.org, port 80, namespace "+n.name+": no ServiceEntry visible to this namespace declares it for HTTP")

	// An HTTP host.
	n.run(httpbinEntry)
	n.sees(code, "200\n")
	if out := n.typed(headers); !strings.Contains(out, `"X-Envoy-Decorator-Operation": "httpbin.org:80/*"`) || !strings.Contains(out, `"Host": "httpbin.org"`) {
		t.Errorf("$ %s\n%s", headers, out)
	}
	n.sees(logs, `"GET /headers HTTP/1.1" 200`, "outbound|80||httpbin.org", `"httpbin.org"`)

	// An HTTPS host, and still no other.
	n.run(googleEntry)
	n.sees(google, ok2)
	n.sees(logs, "outbound|443||www.google.com", "www.google.com")
	if out := n.typed(cnn); !strings.Contains(out, blocked) {
		t.Errorf("a host that is not declared: $ %s\n%s", cnn, out)
	}
	spoofed(t, s, n)

	// A timeout.
	took, out := n.timed(delay)
	if !strings.HasPrefix(out, "200\n") || took < 5*time.Second || took > 7*time.Second {
		t.Errorf("without a timeout, after %s: $ %s\n%s", took, delay, out)
	}
	n.run(httpbinTimeout)
	eventually(t, "the timeout is applied", func() error {
		took, out = n.timed(delay)
		if !strings.HasPrefix(out, "504\n") {
			return fmt.Errorf("after %s: %s", took, out)
		}
		return nil
	})
	if took < 3*time.Second || took > 4500*time.Millisecond {
		t.Errorf("504 after %s, want 3s: %s", took, out)
	}

	// Cleanup.
	n.run("kubectl delete serviceentry httpbin-ext google; kubectl delete virtualservice httpbin-ext --ignore-not-found=true")
	n.sees(google, blocked)
	n.sees(code, "502\n")
	n.run(toAllowAny)
	n.sees(google, ok2)
	n.sees(cnn, ok2)
	n.sees(delay, "200\n")
}

// timed runs a line of the walk-through, and returns how long it took as the user
// sees it.
func (n *Namespace) timed(line string) (time.Duration, string) {
	n.t.Helper()
	start := time.Now()
	out := n.typed(line)
	return time.Since(start), out
}

// spoofed: an allowed name does not open another address.
func spoofed(t *testing.T, s *Suite, n *Namespace) {
	elsewhere, bin := s.Host("edition.cnn.com").IPv4, s.Host(httpbin).IPv4
	out := n.typed(fmt.Sprintf(`kubectl exec "$SOURCE_POD" -c sleep -- curl -sS -H "Host: httpbin.org" http://%s/anything/spoofed`, elsewhere))
	if !strings.Contains(out, `"url": "http://httpbin.org/anything/spoofed"`) {
		t.Errorf("an allowed Host at another address: %s", out)
	}
	log, err := n.WorldLog(ended)
	if err != nil {
		t.Fatal(err)
	}
	if to := fmt.Sprintf("to=%s:80 host=httpbin.org method=GET path=/anything/spoofed", bin); !strings.Contains(log, to) {
		t.Errorf("the internet has no %q", to)
	}
	// The name of one host, the certificate's and Host of another.
	out = n.typed(`kubectl exec "$SOURCE_POD" -c sleep -- curl -sSIk --connect-to edition.cnn.com:443:www.google.com:443 -H "Host: www.google.com" https://edition.cnn.com`)
	if !strings.Contains(out, blocked) {
		t.Errorf("a name that is not declared, at the address of one that is: %s", out)
	}
}
