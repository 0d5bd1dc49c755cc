package crds

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/outrider-mesh/outrider/deploy/crds/internal/gen"
	"github.com/outrider-mesh/outrider/test/kube"
)

func TestMain(m *testing.M) { os.Exit(kube.Main(m)) }

var versions = []string{"v1", "v1beta1", "v1alpha3"}

var created sync.Once

// defined returns a server with the CRDs, created by the command in the files.
func defined(t *testing.T) *kube.Server {
	t.Helper()
	s := kube.Require(t)
	created.Do(func() {
		for _, args := range [][]string{
			{"create", "--warnings-as-errors", "-f", "."},
			{"wait", "--for=condition=Established", "--timeout=30s", "-f", "."},
		} {
			if out, err := s.Kubectl(t.Context(), args...).CombinedOutput(); err != nil {
				t.Fatalf("kubectl %v: %v\n%s", args, err, out)
			}
		}
	})
	return s
}

// try passes a text to kubectl on stdin and returns its output.
func try(t *testing.T, s *kube.Server, text string, args ...string) (string, error) {
	t.Helper()
	cmd := s.Kubectl(t.Context(), args...)
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// samples are objects as users write them.
const samples = `
apiVersion: networking.istio.io/VERSION
kind: ServiceEntry
metadata: {name: httpbin-ext}
spec:
  hosts:
  - httpbin.org
  ports:
  - number: 80
    name: http
    protocol: HTTP
  resolution: DNS
  location: MESH_EXTERNAL
---
apiVersion: networking.istio.io/VERSION
kind: ServiceEntry
metadata: {name: google}
spec:
  hosts: [www.google.com, "*.googleapis.com"]
  ports: [{number: 443, name: https, protocol: HTTPS}]
---
apiVersion: networking.istio.io/VERSION
kind: ServiceEntry
metadata: {name: database}
spec:
  hosts: [db.example.com]
  addresses: [192.0.2.0/24]
  ports: [{number: 3306, name: tcp, protocol: TCP, targetPort: 13306}]
  resolution: STATIC
  endpoints: [{address: 192.0.2.7, ports: {tcp: 3307}, weight: 3, labels: {a: b}}]
  exportTo: [".", shop]
---
apiVersion: networking.istio.io/VERSION
kind: VirtualService
metadata: {name: httpbin-ext}
spec:
  hosts:
    - httpbin.org
  http:
  - timeout: 3s
    route:
      - destination:
          host: httpbin.org
        weight: 100
---
apiVersion: networking.istio.io/VERSION
kind: VirtualService
metadata: {name: much}
spec:
  hosts: [httpbin.org]
  gateways: [mesh]
  http:
  - match: [{uri: {prefix: /a}, headers: {x: {exact: b}, there: {}}, method: {regex: "GET|PUT"}, port: 80}]
    rewrite: {uri: /b}
    retries: {attempts: 3, perTryTimeout: 1m30s, retryOn: "5xx", retryRemoteLocalities: true}
    fault: {delay: {fixedDelay: 5s, percentage: {value: 0.1}}, abort: {httpStatus: 503, percentage: {value: 100}}}
    mirror: {host: other.example.com, port: {number: 8080}}
    mirrorPercent: 5
    headers: {request: {set: {a: b}, remove: [c]}}
    route:
    - {destination: {host: httpbin.org}, weight: 75}
    - {destination: {host: other.example.com}, weight: 25}
  - match: [{queryParams: {q: {exact: x}}, ignoreUriCase: true}]
    redirect: {uri: /c, redirectCode: 302, derivePort: FROM_REQUEST_PORT}
  - directResponse: {status: 503, body: {string: "no"}}
  tls:
  - match: [{port: 443, sniHosts: [httpbin.org]}]
    route: [{destination: {host: httpbin.org}}]
  tcp:
  - route: [{destination: {host: httpbin.org}}]
`

func TestSamplesApplyInAllVersions(t *testing.T) {
	s := defined(t)
	for _, version := range versions {
		ns := s.Namespace(t, nil)
		text := strings.ReplaceAll(samples, "VERSION", version)
		for range 2 {
			if out, err := try(t, s, text, "apply", "-n", ns, "--warnings-as-errors", "-f", "-"); err != nil || strings.Count(out, "\n") != 5 {
				t.Fatalf("%s: %v\n%s", version, err, out)
			}
		}
		for _, other := range versions {
			out, err := try(t, s, "", "get", "-n", ns, "serviceentries."+other+".networking.istio.io", "database", "-o", "jsonpath={.apiVersion} {.spec.endpoints[0].ports.tcp}")
			if want := "networking.istio.io/" + other + " 3307"; err != nil || out != want {
				t.Errorf("written as %s, read as %s: %q, %v, want %q", version, other, out, err, want)
			}
		}
	}
}

// What users type and what kubectl prints.
func TestShortNamesAndColumns(t *testing.T) {
	s := defined(t)
	ns := s.Namespace(t, nil)
	if out, err := try(t, s, strings.ReplaceAll(samples, "VERSION", "v1"), "apply", "-n", ns, "-f", "-"); err != nil {
		t.Fatal(err, out)
	}
	for _, tt := range []struct{ args, want string }{
		{"get se httpbin-ext", "NAME HOSTS LOCATION RESOLUTION AGE\nhttpbin-ext [\"httpbin.org\"] MESH_EXTERNAL DNS "},
		{"get vs much", "NAME GATEWAYS HOSTS AGE\nmuch [\"mesh\"] [\"httpbin.org\"] "},
		{"get istio-io -o name", "serviceentry.networking.istio.io/database\n"},
		{"explain vs.spec.http.timeout", "Timeout of the whole request, such as 3s; 0s disables it."},
		{"explain se.spec", "hosts <[]string> -required-"},
	} {
		out, err := try(t, s, "", append(strings.Fields(tt.args), "-n", ns)...)
		var lines []string
		for _, line := range strings.Split(out, "\n") {
			lines = append(lines, strings.Join(strings.Fields(line), " "))
		}
		if got := strings.Join(lines, "\n"); err != nil || !strings.Contains(got, tt.want) {
			t.Errorf("kubectl %s: %v\n%s\nwant %q", tt.args, err, got, tt.want)
		}
	}
}

func TestSchemaRejectsWrongTypes(t *testing.T) {
	s := defined(t)
	ns := s.Namespace(t, nil)
	entry := func(spec string) string {
		return "apiVersion: networking.istio.io/VERSION\nkind: ServiceEntry\nmetadata: {name: a}\n" + spec
	}
	routes := func(http string) string {
		return "apiVersion: networking.istio.io/VERSION\nkind: VirtualService\nmetadata: {name: a}\nspec: {hosts: [a.example], http: [" + http + "]}"
	}
	for _, tt := range []struct{ name, text, want string }{
		{"no spec", entry(""), "spec: Required value"},
		{"no hosts", entry("spec: {resolution: DNS}"), "spec.hosts: Required value"},
		{"hosts a text", entry("spec: {hosts: a.example}"), `spec.hosts: Invalid value: "string"`},
		{"port a text", entry(`spec: {hosts: [a.example], ports: [{number: "80", name: a}]}`), `spec.ports[0].number: Invalid value: "string"`},
		{"port negative", entry(`spec: {hosts: [a.example], ports: [{number: -1, name: a}]}`), "spec.ports[0].number: Invalid value: -1"},
		{"port without a name", entry(`spec: {hosts: [a.example], ports: [{number: 80}]}`), "spec.ports[0].name: Required value"},
		{"resolution", entry("spec: {hosts: [a.example], resolution: SOMEHOW}"), `spec.resolution: Unsupported value: "SOMEHOW": supported values: "NONE", "STATIC", "DNS"`},
		{"unknown field", entry("spec: {hosts: [a.example], hostz: [b]}"), `unknown field "spec.hostz"`},
		{"timeout", routes(`{timeout: soon}`), `spec.http[0].timeout: Invalid value: "soon"`},
		{"timeout a number", routes(`{timeout: 3}`), `spec.http[0].timeout: Invalid value: "integer"`},
		{"two of one choice", routes(`{match: [{uri: {exact: /a, prefix: /a}}]}`), `"spec.http[0].match[0].uri" must validate one and only one schema (oneOf). Found 2 valid alternatives`},
		{"destination without a host", routes(`{route: [{destination: {subset: a}}]}`), "spec.http[0].route[0].destination.host: Required value"},
	} {
		for _, version := range versions {
			out, err := try(t, s, strings.ReplaceAll(tt.text, "VERSION", version), "apply", "-n", ns, "-f", "-")
			if err == nil || !strings.Contains(out, tt.want) {
				t.Errorf("%s, %s: %v\n%s\nwant %s", tt.name, version, err, out, tt.want)
			}
		}
	}
}

// filled sets every field of a message. In a oneof it sets field number turn; it
// reports whether there are further turns.
func filled(m protoreflect.Message, turn int) (more bool) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if one := f.ContainingOneof(); one != nil && !one.IsSynthetic() {
			more = more || turn+1 < one.Fields().Len()
			if one.Fields().Get(min(turn, one.Fields().Len()-1)) != f {
				continue
			}
		}
		single := func(v protoreflect.Value, f protoreflect.FieldDescriptor) protoreflect.Value {
			if f.Message() == nil {
				return scalar(f)
			}
			if filled(v.Message(), turn) {
				more = true
			}
			return v
		}
		switch {
		case f.IsMap():
			entries := m.Mutable(f).Map()
			entries.Set(protoreflect.ValueOfString("key").MapKey(), single(entries.NewValue(), f.MapValue()))
		case f.IsList():
			list := m.Mutable(f).List()
			list.Append(single(list.NewElement(), f))
		default:
			m.Set(f, single(m.NewField(f), f))
		}
	}
	return more
}

func scalar(f protoreflect.FieldDescriptor) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("text")
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte("bytes"))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(0.5)
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(7)
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(7)
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(7)
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(f.Enum().Values().Get(f.Enum().Values().Len() - 1).Number())
	}
	return f.Default()
}

// Every field of the types is stored and returned, in spec and in status.
func TestSchemaKeepsEveryField(t *testing.T) {
	s := defined(t)
	for _, d := range gen.CRDs {
		for turn, more := 0, true; more; turn++ {
			spec, status := d.Spec.ProtoReflect().New(), d.Status.ProtoReflect().New()
			more = filled(spec, turn)
			filled(status, turn)
			for _, version := range versions {
				ns := s.Namespace(t, nil)
				written := map[string]any{
					"apiVersion": "networking.istio.io/" + version, "kind": d.Kind, "metadata": map[string]any{"name": "a"},
					"spec": asJSON(t, spec.Interface()), "status": asJSON(t, status.Interface()),
				}
				text, err := json.Marshal(written)
				if err != nil {
					t.Fatal(err)
				}
				if out, err := try(t, s, string(text), "create", "-n", ns, "-f", "-"); err != nil {
					t.Fatalf("%s %s, turn %d: %v\n%s\n%s", d.Kind, version, turn, err, out, text)
				}
				if out, err := try(t, s, "", "get", "-n", ns, d.Plural, "a", "-o", "jsonpath={.status}"); err != nil || out != "" {
					t.Errorf("the status was stored with the object: %q, %v", out, err)
				}
				patch, err := json.Marshal(map[string]any{"status": written["status"]})
				if err != nil {
					t.Fatal(err)
				}
				if out, err := try(t, s, "", "patch", "-n", ns, d.Plural, "a", "--subresource=status", "--type=merge", "-p", string(patch)); err != nil {
					t.Fatalf("%s %s, turn %d: %v\n%s", d.Kind, version, turn, err, out)
				}
				out, err := try(t, s, "", "get", "-n", ns, d.Plural, "a", "-o", "json")
				var read map[string]any
				if err == nil {
					err = json.Unmarshal([]byte(out), &read)
				}
				if err != nil {
					t.Fatal(err, out)
				}
				for _, part := range []string{"spec", "status"} {
					if diff := cmp.Diff(written[part], read[part]); diff != "" {
						t.Errorf("%s %s, turn %d: %s differs after a round trip:\n%s", d.Kind, version, turn, part, diff)
					}
				}
			}
		}
	}
}

// asJSON returns a message in the JSON form that clients send.
func asJSON(t *testing.T, m proto.Message) (out any) {
	t.Helper()
	text, err := protojson.Marshal(m)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		t.Fatal(fmt.Errorf("encode message: %w", err))
	}
	return out
}
