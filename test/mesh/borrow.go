package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/test/cluster/image"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube"
	"github.com/outrider-mesh/outrider/test/kube/programs"
	"github.com/outrider-mesh/outrider/test/world"
)

// ContextEnv names the context of the user's kubeconfig whose cluster the
// end-to-end tests are to use in place of one of their own.
const ContextEnv = "OUTRIDER_E2E_CONTEXT"

// worldNamespace holds the internet of a borrowed cluster.
const worldNamespace = "outrider-e2e-world"

// Borrow takes the cluster of a context of the user's kubeconfig: a cluster to
// try things on, that has no namespace istio-system and whose nodes have the
// images of the product and image.WorldRef. A Borrow that fails leaves nothing
// behind.
func Borrow(ctx context.Context, name string, progress io.Writer) (*Mesh, error) {
	m, err := take(ctx, name, progress)
	if err != nil {
		return nil, err
	}
	m.Dir, m.installing = filepath.Join(m.Work, "dir"), true
	if err = m.linkCheckout(); err == nil {
		if err = m.startWorld(ctx); err == nil {
			err = m.writeSamples(ctx)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("use context %q: %w", name, err), m.giveBack(context.WithoutCancel(ctx)))
	}
	return m, nil
}

// BorrowPlain is Borrow without the internet: commands run in the checkout itself. It
// creates nothing. The caller installs the product, and calls Installing before.
func BorrowPlain(ctx context.Context, name string, progress io.Writer) (*Mesh, error) {
	return take(ctx, name, progress)
}

// Installing makes Close remove the product from a borrowed cluster.
func (m *Mesh) Installing() { m.installing = true }

// take makes the directories for commands and makes sure that the cluster is vacant. It
// touches nothing in it.
func take(ctx context.Context, name string, progress io.Writer) (*Mesh, error) {
	root, err := kit.Checkout()
	if err != nil {
		return nil, err
	}
	config, err := only(name)
	if err != nil {
		return nil, err
	}
	work, err := os.MkdirTemp("", "outrider-e2e-")
	if err != nil {
		return nil, fmt.Errorf("use context %q: %w", name, err)
	}
	m := &Mesh{
		Kubeconfig: filepath.Join(work, "kubeconfig"), Dir: root, Work: work,
		root: root, progress: progress, bin: filepath.Join(work, "path"),
	}
	if err = clientcmd.WriteToFile(*config, m.Kubeconfig); err == nil {
		if err = m.programs(ctx); err == nil {
			err = m.vacant(ctx)
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("use context %q: %w", name, err), os.RemoveAll(work))
	}
	return m, nil
}

// only is the user's kubeconfig with nothing in it but the context of the name.
func only(name string) (*api.Config, error) {
	config, err := clientcmd.NewDefaultClientConfigLoadingRules().Load()
	if err != nil {
		return nil, fmt.Errorf("use context %q: %w", name, err)
	}
	if config.Contexts[name] == nil {
		return nil, fmt.Errorf("use context %q: the kubeconfig has no such context; it has %q", name, slices.Sorted(maps.Keys(config.Contexts)))
	}
	config.CurrentContext = name
	if err := api.MinifyConfig(config); err != nil {
		return nil, fmt.Errorf("use context %q: %w", name, err)
	}
	if err := api.FlattenConfig(config); err != nil {
		return nil, fmt.Errorf("use context %q: %w", name, err)
	}
	config.Contexts[name].Namespace = "" // "default", as in the cluster of our own
	return config, nil
}

// programs puts kubectl and outrider where commands find them.
func (m *Mesh) programs(ctx context.Context) error {
	kubectl, err := exec.LookPath("kubectl")
	if err != nil {
		assets, err := kube.Assets(ctx, m.progress)
		if err != nil {
			return err
		}
		kubectl = filepath.Join(assets, "kubectl")
	}
	if err := m.makeBin(kubectl); err != nil {
		return err
	}
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", m.bin, "./cmd/outrider")
	build.Dir, build.Env = m.root, programs.Environ()
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build outrider: %w\n%s", err, out)
	}
	return nil
}

// linkCheckout makes the directory of commands look like the checkout.
func (m *Mesh) linkCheckout() error {
	if err := os.MkdirAll(filepath.Join(m.Dir, "samples", "sleep"), 0o755); err != nil {
		return err
	}
	for _, name := range []string{"deploy", "docs", "test"} {
		if err := os.Symlink(filepath.Join(m.root, name), filepath.Join(m.Dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// vacant fails where something is installed already, which the end of the tests
// would remove, or where the product would inject pods that are none of the tests'.
func (m *Mesh) vacant(ctx context.Context) error {
	for _, query := range []struct {
		args []string
		fix  string
	}{
		{[]string{"namespace", "istio-system", worldNamespace}, "what is in it is installed and removed here, so remove it first"},
		{[]string{"-f", filepath.Join(m.root, "deploy")}, "it is installed and removed here, so remove it first"},
		{[]string{"mutatingwebhookconfigurations", "-l", "app=sidecar-injector"}, "the pods would be injected twice; remove it first"},
		{[]string{"namespaces", "-l", "istio-injection=enabled"}, "its new pods would be injected meanwhile; remove the label first"},
		{[]string{"namespaces", "-l", "istio.io/rev=default"}, "its new pods would be injected meanwhile; remove the label first"},
	} {
		out, err := m.kubectl(ctx, append([]string{"get", "--ignore-not-found", "-o", "name"}, query.args...)...)
		if err != nil {
			return err
		}
		if out != "" {
			return fmt.Errorf("the cluster has %s already; %s, or use another cluster", strings.Join(strings.Fields(out), " and "), query.fix)
		}
	}
	// The product leaves those alone that are there.
	out, err := m.kubectl(ctx, "get", "--ignore-not-found", "-o", "name", "-f", filepath.Join(m.root, "deploy", "crds"))
	m.hadKinds = out != ""
	return err
}

func (m *Mesh) kubectl(ctx context.Context, args ...string) (string, error) {
	return m.kubectlWith(ctx, "", args...)
}

func (m *Mesh) kubectlWith(ctx context.Context, stdin string, args ...string) (string, error) {
	return m.command(ctx, stdin, "kubectl", args...)
}

func (m *Mesh) outrider(ctx context.Context, args ...string) (string, error) {
	return m.command(ctx, "", "outrider", args...)
}

func (m *Mesh) command(ctx context.Context, stdin, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(m.bin, program), args...)
	cmd.Env, cmd.Stdin = m.Env(), strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// startWorld makes a pod of every name of the internet. They are behind no Service,
// so to the mesh they are addresses like any outside the cluster.
func (m *Mesh) startWorld(ctx context.Context) error {
	list := corev1.PodList{}
	list.APIVersion, list.Kind = "v1", "List"
	hosts := world.Names()
	for i := range hosts {
		p := corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "world", Image: image.WorldRef, ImagePullPolicy: corev1.PullIfNotPresent,
		}}}}
		p.APIVersion, p.Kind, p.Name = "v1", "Pod", podName(i)
		p.Labels = map[string]string{"app": "world"}
		list.Items = append(list.Items, p)
	}
	text, err := json.Marshal(list)
	if err != nil {
		return err
	}
	if _, err := m.kubectl(ctx, "create", "namespace", worldNamespace); err != nil {
		return err
	}
	if _, err := m.kubectlWith(ctx, string(text), "-n", worldNamespace, "apply", "-f", "-"); err != nil {
		return err
	}
	if _, err := m.kubectl(ctx, "-n", worldNamespace, "wait", "pod", "--all", "--for=condition=Ready", "--timeout=2m"); err != nil {
		return fmt.Errorf("start the internet, whose image %s the nodes must have: %w", image.WorldRef, err)
	}
	for i, h := range hosts {
		ips, err := m.kubectl(ctx, "-n", worldNamespace, "get", "pod", podName(i), "-o", "jsonpath={.status.podIPs[*].ip}")
		if err != nil {
			return err
		}
		h.IPv4, h.IPv6 = netip.Addr{}, netip.Addr{}
		for _, ip := range strings.Fields(ips) {
			if a, err := netip.ParseAddr(ip); err != nil {
				return fmt.Errorf("read the address of the internet's %s: %w", h.Name, err)
			} else if a.Is4() {
				h.IPv4 = a
			} else {
				h.IPv6 = a
			}
		}
		m.hosts = append(m.hosts, h)
	}
	return nil
}

func podName(i int) string { return fmt.Sprintf("world-%d", i) }

// concrete are names that the wildcards of the internet resolve to in a borrowed
// cluster: a host alias has no wildcard.
var concrete = map[string]string{"*.wikipedia.org": "en.wikipedia.org", "*.example.com": "httpbin.example.com", "*.cdn.example": "a.cdn.example"}

// aliases are the internet's names and addresses for pods of a borrowed cluster.
func (m *Mesh) aliases() []corev1.HostAlias {
	var list []corev1.HostAlias
	for _, h := range m.hosts {
		name := h.Name
		if c, ok := concrete[name]; ok {
			name = c
		}
		for _, a := range []netip.Addr{h.IPv4, h.IPv6} {
			if a.IsValid() {
				list = append(list, corev1.HostAlias{IP: a.String(), Hostnames: []string{name}})
			}
		}
	}
	return list
}

// writeSamples writes the samples as pods of a borrowed cluster need them: the
// sleep sample resolves the internet's names and trusts its CA certificates.
func (m *Mesh) writeSamples(ctx context.Context) error {
	samples, err := filepath.Glob(filepath.Join(m.root, "samples", "*"))
	if err != nil {
		return err
	}
	for _, path := range samples {
		if filepath.Base(path) != "sleep" {
			if err := os.Symlink(path, filepath.Join(m.Dir, "samples", filepath.Base(path))); err != nil {
				return err
			}
		}
	}
	var caCerts strings.Builder
	for i := range m.hosts {
		pem, err := m.kubectl(ctx, "get", "--raw", "/api/v1/namespaces/"+worldNamespace+"/pods/"+podName(i)+":80/proxy"+world.CAPath)
		if err != nil {
			return fmt.Errorf("read the CA certificate of the internet's %s: %w", m.hosts[i].Name, err)
		}
		caCerts.WriteString(pem)
	}
	text, err := os.ReadFile(filepath.Join(m.root, "samples", "sleep", "sleep.yaml"))
	if err != nil {
		return err
	}
	m.caCerts = caCerts.String()
	out, err := m.WithExternalHosts(string(text))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(m.Dir, "samples", "sleep", "sleep.yaml"), []byte(out), 0o600)
}

// WithExternalHosts adds the names of the simulated internet, as host aliases, and
// its CA certificates to the pods in a manifest, where the cluster's DNS and the
// images lack them: in a borrowed cluster. The objects stay the same.
func (m *Mesh) WithExternalHosts(manifest string) (string, error) {
	if m.own != nil {
		return manifest, nil
	}
	return withExternalHosts(manifest, m.aliases(), m.caCerts)
}

// podAt are the places of pods and of their templates, by kind.
var podAt = map[string][]string{
	"Pod": {}, "Deployment": {"spec", "template"}, "StatefulSet": {"spec", "template"}, "Job": {"spec", "template"},
}

func withExternalHosts(manifest string, aliases []corev1.HostAlias, caCerts string) (string, error) {
	documents := strings.Split(manifest, "\n---\n")
	for i, document := range documents {
		var object map[string]any
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			return "", fmt.Errorf("read a manifest: %w", err)
		}
		kind, _ := object["kind"].(string)
		path, has := podAt[kind]
		if !has {
			continue
		}
		pod := object
		for _, name := range path {
			pod, _ = pod[name].(map[string]any)
		}
		var typed corev1.PodTemplateSpec
		if err := convert(pod, &typed); err != nil {
			return "", fmt.Errorf("read the pod of a %s: %w", kind, err)
		}
		equip(&typed, aliases, caCerts)
		var out map[string]any
		if err := convert(typed, &out); err != nil {
			return "", fmt.Errorf("write the pod of a %s: %w", kind, err)
		}
		pod["metadata"], pod["spec"] = out["metadata"], out["spec"]
		text, err := yaml.Marshal(object)
		if err != nil {
			return "", fmt.Errorf("write a %s: %w", kind, err)
		}
		documents[i] = string(text)
	}
	return strings.Join(documents, "\n---\n"), nil
}

// convert brings a value into another Go type by its JSON.
func convert(from, to any) error {
	text, err := json.Marshal(from)
	if err == nil {
		err = json.Unmarshal(text, to)
	}
	return err
}

// equip gives a pod the names, and the CA certificates as a file that is made of an
// annotation.
func equip(pod *corev1.PodTemplateSpec, aliases []corev1.HostAlias, caCerts string) {
	const name, mount = "world-ca", "/etc/world"
	if pod.Annotations == nil {
		pod.Annotations = map[string]string{}
	}
	pod.Annotations[name] = caCerts
	pod.Spec.HostAliases = aliases
	pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
		DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: []corev1.DownwardAPIVolumeFile{{
			Path: "ca.pem", FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.annotations['" + name + "']"},
		}}},
	}})
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			c := &list[i]
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: name, MountPath: mount, ReadOnly: true})
			c.Env = append(c.Env, corev1.EnvVar{Name: "CURL_CA_BUNDLE", Value: mount + "/ca.pem"})
		}
	}
}

// WorldLog is a line for each request that reached the internet; see package world.
func (m *Mesh) WorldLog(ctx context.Context) (string, error) {
	if m.own != nil {
		return m.worldLog()
	}
	return m.kubectl(ctx, "-n", worldNamespace, "logs", "-l", "app=world", "--tail=-1")
}

// giveBack takes Outrider and the internet off a borrowed cluster, if they are on it.
func (m *Mesh) giveBack(ctx context.Context) error {
	if !m.installing {
		return os.RemoveAll(m.Work)
	}
	_, created := m.outrider(ctx, "uninstall", "--yes")
	_, product := m.kubectl(ctx, "delete", "--ignore-not-found", "--timeout=2m", "-f", filepath.Join(m.root, "deploy"))
	_, world := m.kubectl(ctx, "delete", "--ignore-not-found", "--timeout=2m", "namespace", worldNamespace)
	var kinds error
	if !m.hadKinds {
		_, kinds = m.kubectl(ctx, "delete", "--ignore-not-found", "--timeout=2m", "-f", filepath.Join(m.root, "deploy", "crds"))
	}
	return errors.Join(created, product, world, kinds, os.RemoveAll(m.Work))
}
