package ranges

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"golang.org/x/tools/txtar"

	"github.com/outrider-mesh/outrider/cidr"
)

func controlPlanePod(program, flag string) string {
	return fmt.Sprintf(`{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "namespace": "kube-system"},
		"spec": {"containers": [{"name": "x", "command": [%q, %q]}]}}`, program, flag)
}

func nodeArgs(flag, value string) string {
	return fmt.Sprintf(`{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n", "annotations":
		{"k3s.io/node-args": "[\"server\",\"%s\",\"%s\"]"}}}`, flag, value)
}

// precedence lists documents of each rank, best first, each with a range that
// no other has.
var precedence = map[Kind][]struct{ rng, text string }{
	Service: {
		{"10.1.0.0/16", `{"servicesIpv4Cidr": "10.1.0.0/16"}`},
		{"10.2.0.0/16", `{"apiVersion": "networking.k8s.io/v1", "kind": "ServiceCIDR", "spec": {"cidrs": ["10.2.0.0/16"]}}`},
		{"10.3.0.0/16", `{"apiVersion": "config.openshift.io/v1", "kind": "Network", "status": {"serviceNetwork": ["10.3.0.0/16"]}}`},
		{"10.4.0.0/16", controlPlanePod("kube-apiserver", "--service-cluster-ip-range=10.4.0.0/16")},
		{"10.5.0.0/16", controlPlanePod("kube-controller-manager", "--service-cluster-ip-range=10.5.0.0/16")},
		{"10.6.0.0/16", nodeArgs("--service-cidr", "10.6.0.0/16")},
		{"10.7.0.0/16", `{"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "ClusterConfiguration", "networking": {"serviceSubnet": "10.7.0.0/16"}}`},
		{"10.8.0.0/16", "failed to allocate IP 1.1.1.1: the provided IP (1.1.1.1) is not in the valid range. The range of valid IPs is 10.8.0.0/16"},
	},
	Pod: { // all hold the slice of the node, so that it contradicts none
		{"10.0.0.0/9", `{"clusterIpv4Cidr": "10.0.0.0/9"}`},
		{"10.0.0.0/10", `{"apiVersion": "crd.projectcalico.org/v1", "kind": "IPPool", "spec": {"cidr": "10.0.0.0/10"}}`},
		{"10.0.0.0/11", controlPlanePod("kube-controller-manager", "--cluster-cidr=10.0.0.0/11")},
		{"10.0.0.0/12", nodeArgs("--cluster-cidr", "10.0.0.0/12")},
		{"10.0.0.0/13", `{"apiVersion": "kubeproxy.config.k8s.io/v1alpha1", "kind": "KubeProxyConfiguration", "clusterCIDR": "10.0.0.0/13"}`},
		{"10.0.0.0/14", `{"apiVersion": "kubeadm.k8s.io/v1beta4", "kind": "ClusterConfiguration", "networking": {"podSubnet": "10.0.0.0/14"}}`},
		{"10.0.0.0/24", `{"apiVersion": "v1", "kind": "Node", "spec": {"podCIDR": "10.0.0.0/24"}}`},
	},
}

func TestPrecedence(t *testing.T) {
	for kind, docs := range precedence {
		for from := range docs {
			var in []Document
			for i, d := range slices.Backward(docs[from:]) { // the order of the documents is of no meaning
				in = append(in, Document{Name: fmt.Sprint("doc", i), Text: d.text})
			}
			data, err := Read(in)
			if err != nil {
				t.Fatal(err)
			}
			res := data.Resolve(Options{})
			if got := res.Of(kind).String(); got != docs[from].rng {
				t.Errorf("%s: from rank %d: %s, want %s", kind, from, got, docs[from].rng)
			}
			for _, e := range res.Evidence {
				if e.Kind == kind && (e.Status == Used) != (e.Ranges.String() == docs[from].rng) {
					t.Errorf("%s: from rank %d: %s is %s", kind, from, e.Ranges, e.Status)
				}
			}
		}
	}
}

// A source that addresses in use contradict is skipped; the next one is used.
func TestAddressesInUseContradictRanges(t *testing.T) {
	docs := []Document{
		{Name: "a", Text: precedence[Service][1].text},
		{Name: "b", Text: precedence[Service][6].text},
		{Name: "svc", Text: `{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "dns", "namespace": "kube-system"}, "spec": {"clusterIP": "10.7.0.10"}}`},
	}
	data, err := Read(docs)
	if err != nil {
		t.Fatal(err)
	}
	res := data.Resolve(Options{})
	if res.Service.String() != "10.7.0.0/16" {
		t.Errorf("services %s", res.Service)
	}
	if w := strings.Join(res.Warnings, "\n"); !strings.Contains(w, "a:1: spec.cidrs[0]: 10.2.0.0/16 ignored: 10.7.0.10 of Service kube-system/dns is outside") {
		t.Errorf("warnings %q", w)
	}
}

// A platform's default is checked against the Service kubernetes.
func TestDefaultIsChecked(t *testing.T) {
	for ip, want := range map[string]string{"10.43.0.1": "10.43.0.0/16", "10.43.0.2": "", "10.96.0.1": ""} {
		data, err := Read([]Document{{Name: "svc", Text: fmt.Sprintf(
			`{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "kubernetes", "namespace": "default"}, "spec": {"clusterIP": %q}}`, ip)}})
		if err != nil {
			t.Fatal(err)
		}
		if none := data.Resolve(Options{}); !none.Service.IsEmpty() {
			t.Errorf("%s: %s without a request for defaults", ip, none.Service)
		}
		if res := data.Resolve(Options{Platform: "k3s"}); res.Service.String() != want {
			t.Errorf("%s: %q, want %q", ip, res.Service, want)
		}
	}
}

func TestDetect(t *testing.T) {
	node := func(extra string) string {
		return `{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"` + extra + `}`
	}
	labels := func(l string) string { return node(`, "labels": {` + l + `}}`) }
	status := func(provider, kubelet, image string) string {
		return node(`}, "spec": {"providerID": "` + provider + `"}, "status": {"nodeInfo": {"kubeletVersion": "` + kubelet + `", "osImage": "` + image + `"}}`)
	}
	for _, c := range []struct{ text, want string }{
		{labels(`"cloud.google.com/gke-nodepool": "a"`), "gke"},
		{status("gce://p/z/n", "v1.33.1", "Ubuntu"), Unknown},
		{status("gce://p/z/n", "v1.33.1-gke.100", "COS"), "gke"},
		{labels(`"kubernetes.azure.com/role": "agent"`), "aks"},
		{status("azure:///subscriptions/x", "v1.33.1", "Ubuntu"), Unknown},
		{status("aws:///a/i-1", "v1.33.1-eks-abc", "AL"), "eks"},
		{status("aws:///a/i-1", "v1.33.1+rke2r1", "SUSE"), "rke2"},
		{status("aws:///a/i-1", "v1.33.1", "Talos (v1.10)"), "talos"},
		{labels(`"node-role.kubernetes.io/control-plane": ""`) + "\n", Unknown},
		{status("kind://docker/kind/a", "v1.33.1", "Debian"), "kind"},
		{status("k3s://a", "v1.33.1+k3s1", "K3s"), "k3s"},
		{labels(`"minikube.k8s.io/version": "v1"`), "minikube"},
		{status("", "v1.33.1", "Docker Desktop"), "docker-desktop"},
		{labels(`"microk8s.io/cluster": "true"`), "microk8s"},
		{status("ibm://x", "v1.33.1+IKS", "Ubuntu"), "iks"},
		{labels(`"doks.digitalocean.com/node-pool": "a"`), "doks"},
		{labels(`"oci.oraclecloud.com/fault-domain": "F1"`), "oke"},
		{status("x", "v1.30.1-aliyun.1", "Alibaba"), "ack"},
		{status("qcloud:///1/ins-1", "v1.30.1", "T"), "tke"},
		{status("k3s://a", "v1+k3s1", "x") + "\n" + status("kind://a", "v1", "x"), Unknown},
		{status("ibm://x", "v1", "x") + "\n" + `{"apiVersion": "config.openshift.io/v1", "kind": "ClusterVersion"}`, "openshift"},
		{`{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "aws-auth", "namespace": "kube-system"}}`, "eks"},
	} {
		text := c.text
		if n := strings.Count(text, "{") - strings.Count(text, "}"); n > 0 && !strings.Contains(text, "\n") {
			text += strings.Repeat("}", n)
		}
		if n := strings.Count(text, "{") - strings.Count(text, "}"); n != 0 {
			parts := strings.Split(strings.TrimSpace(text), "\n")
			for i, p := range parts {
				parts[i] = p + strings.Repeat("}", max(0, strings.Count(p, "{")-strings.Count(p, "}")))
			}
			text = strings.Join(parts, "\n")
		}
		data, err := Read([]Document{{Name: "d", Text: text}})
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got, _ := data.Detect(); got != c.want {
			t.Errorf("%s: %s, want %s", text, got, c.want)
		}
	}
}

func TestDefaults(t *testing.T) {
	for _, p := range platformDefaults {
		for _, v := range []string{p.service, p.pod} {
			if _, problems := ranges(v); v != "" && len(problems) > 0 {
				t.Errorf("%s: %q: %v", p.name, v, problems)
			}
		}
		if p.service+p.pod == "" && p.note == "" {
			t.Errorf("%s has neither ranges nor a note", p.name)
		}
		if d := p.documented; d != nil {
			all, err := cidr.Parse(d.value, cidr.Options{})
			parts, err2 := cidr.Parse(d.service+","+d.pod, cidr.Options{})
			if err != nil || err2 != nil || !all.Equal(parts) || d.warning == "" {
				t.Errorf("%s: documented %+v", p.name, d)
			}
		}
		for _, name := range append(p.aliases, p.name, strings.ToUpper(p.name)) {
			if r, ok := Default(name); !ok || r.Platform != p.name || len(r.Warnings) == 0 {
				t.Errorf("Default(%q) = %+v, %v", name, r, ok)
			}
		}
	}
}

func TestUnusualTexts(t *testing.T) {
	wide := utf16.Encode([]rune("\uFEFF{\"servicesIpv4Cidr\": \"10.1.0.0/20\"}\r\n"))
	var little strings.Builder
	for _, u := range wide {
		little.WriteByte(byte(u))
		little.WriteByte(byte(u >> 8))
	}
	for _, c := range []struct{ name, text, want, fault string }{
		{"UTF-16 of Windows shells", little.String(), "10.1.0.0/20", ""},
		{"colours", "\x1b[1mservicesIpv4Cidr\x1b[0m: 10.1.0.0/20\n", "10.1.0.0/20", ""},
		{"fences and prompt", "```\nuser@host:~$ gcloud container clusters describe a --x 10.9.0.0/16\nservicesIpv4Cidr: 10.1.0.0/20\n```\n", "10.1.0.0/20", ""},
		{"words before JSON", "Fetching cluster...\n{\"servicesIpv4Cidr\": \"10.1.0.0/20\"}\n", "10.1.0.0/20", ""},
		{"JSON on one line after another", `{"a": 1} {"servicesIpv4Cidr": "10.1.0.0/20"}`, "10.1.0.0/20", ""},
		{"JSON with a comment", "{\n  # why\n  \"servicesIpv4Cidr\": \"10.1.0.0/20\",\n}\n", "10.1.0.0/20", ""},
		{"YAML alias", "x: &r 10.1.0.0/20\nservicesIpv4Cidr: *r\n", "10.1.0.0/20", ""},
		{"duplicate keys", "apiVersion: v1\nkind: Node\nkind: Pod\nspec: {a: 1, a: 2}\n", "", "d:3:1: kind: duplicate key, first on line 2; remove one of the two\nd:4:14: spec.a: duplicate key"},
		{"deep", strings.Repeat(`{"a": `, 300), "", "invalid JSON"},
		{"deep YAML", "apiVersion: v1\nkind: " + strings.Repeat("[", 300) + strings.Repeat("]", 300), "", "not valid YAML or JSON: exceeded max depth"},
		{"no text", "\xff\x00\xfa", "", "invalid UTF-8"},
		{"blank", " \n\n", "", "empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			data, err := Read([]Document{{Name: "d", Text: c.text}})
			if c.fault != "" {
				if err == nil || !strings.Contains(err.Error(), c.fault) {
					t.Errorf("error %v, want %q", err, c.fault)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := data.Resolve(Options{}).Service.String(); got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// FuzzRead holds that no text makes Read panic and that every range is in the
// text, but those graded as a default.
func FuzzRead(f *testing.F) {
	files, err := filepath.Glob("testdata/documents/*")
	if err != nil || len(files) == 0 {
		f.Fatal(files, err)
	}
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	cases, err := filepath.Glob("testdata/cases/*.txtar")
	if err != nil || len(cases) == 0 {
		f.Fatal(cases, err)
	}
	for _, name := range cases {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range archive.Files {
			f.Add(string(file.Data))
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		data, err := Read([]Document{{Name: "d", Text: text}})
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without text")
			}
			return
		}
		res := data.Resolve(Options{})
		res.JSON()
		res.Table()
		whole := plain(text)
		names := data.NamedRanges(Options{Live: true})
		if c := names.Cluster; c.Missing == "" && (c.Ranges.IsEmpty() || c.From == "") {
			t.Errorf("the cluster is %+v", c)
		}
		if names.Omitted(names.Cluster.Ranges) != "" && names.Cluster.Missing == "" {
			t.Errorf("%s omits addresses in use: %q", names.Cluster.Ranges, names.Omitted(names.Cluster.Ranges))
		}
		for _, e := range res.Evidence {
			if e.Grade == Defaulted {
				if !strings.Contains(e.Source, "default of a") {
					t.Errorf("assumed by %s", e.Source)
				}
				continue
			}
			for _, part := range strings.FieldsFunc(e.Value, func(c rune) bool { return strings.ContainsRune(", \t\n", c) }) {
				// An escape may spell a character otherwise.
				if !strings.Contains(whole, part) && !strings.Contains(whole, `\`) {
					t.Errorf("%s of %s is not in the text", part, e.Source)
				}
			}
		}
		for _, k := range []Kind{Service, Pod} {
			if res.Of(k).IsEmpty() != slices.Contains(res.Undetermined, k) {
				t.Errorf("%s: %q, undetermined %v", k, res.Of(k), res.Undetermined)
			}
		}
	})
}
