//go:build unix

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/test/kube"
	"github.com/outrider-mesh/outrider/test/page"
)

// TestDocs goes through pages from top to bottom: it writes the blocks that name
// a file, runs the commands of the console blocks, and compares what they print.
// A command whose output is "..." is shown for its form only.
func TestDocs(t *testing.T) {
	server := kube.Require(t)
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", bin, "../../cmd/outrider").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	shop := func(t *testing.T) {
		if err := server.CreateNamespace(t.Context(), "shop", nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		page     string
		commands int // at least; a page that lost its blocks must not pass
		prepare  func(*testing.T)
	}{
		{"README.md", 1, nil},
		{"docs/configuration.md", 1, nil},
		{"docs/pod-security.md", 6, shop},
		{"docs/templates.md", 3, nil},
	} {
		t.Run(tt.page, func(t *testing.T) {
			if tt.prepare != nil {
				tt.prepare(t)
			}
			d := &demo{root: t.TempDir(), env: append(server.Kubectl(t.Context()).Env,
				"PATH="+strings.Join([]string{bin, filepath.Dir(server.KubectlPath()), os.Getenv("PATH")}, ":"))}
			linkSamples(t, d.root)
			if n := runPage(t, d, tt.page); n < tt.commands {
				t.Errorf("%d commands were run, want at least %d", n, tt.commands)
			}
		})
	}
}

func linkSamples(t *testing.T, dir string) {
	t.Helper()
	samples, err := filepath.Abs("../../samples")
	if err == nil {
		err = os.Symlink(samples, filepath.Join(dir, "samples"))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// runPage works through one page and returns how many commands it ran.
func runPage(t *testing.T, d *demo, file string) (ran int) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../..", file))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range page.Blocks(string(text)) {
		if b.File != "" {
			if err := os.WriteFile(filepath.Join(d.root, b.File), []byte(b.Body), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if b.Kind != "console" {
			continue
		}
		for _, command := range b.Commands() {
			if command.Output == page.Any {
				continue
			}
			// Exit codes are part of what a command prints here: the error.
			out, _ := d.shell(t.Context(), command.Line).CombinedOutput()
			if got := strings.TrimSuffix(string(out), "\n"); got != command.Output {
				t.Errorf("$ %s\ngot:\n%s\nthe page has:\n%s", command.Line, got, command.Output)
			}
			ran++
		}
	}
	return ran
}

// injectedPod is the pod of the page in a directory as kube-inject injects it, native
// sidecar after init container.
func injectedPod(t *testing.T, dir string) *corev1.Pod {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", "run", "../../cmd/outrider", "kube-inject", "-f", filepath.Join(dir, "pod.yaml")).Output()
	if err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{}
	if err := yaml.UnmarshalStrict(out, pod); err != nil {
		t.Fatal(err)
	}
	return pod
}

// TestPolicy holds the policy of the page on Pod Security to its promises.
func TestPolicy(t *testing.T) {
	server := kube.Require(t)
	dir := t.TempDir()
	text, err := os.ReadFile("../../docs/pod-security.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range page.Blocks(string(text)) {
		if b.File != "" {
			if err := os.WriteFile(filepath.Join(dir, b.File), []byte(b.Body), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	namespace := server.Namespace(t, map[string]string{"istio-injection": "enabled"})
	kubectl := func(input string, args ...string) string {
		cmd := server.Kubectl(t.Context(), append([]string{"-n", namespace}, args...)...)
		cmd.Stdin = strings.NewReader(input)
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	if out := kubectl("", "apply", "-f", filepath.Join(dir, "policy.yaml")); strings.Count(out, " created") != 2 {
		t.Fatal(out)
	}
	valid := injectedPod(t, dir)
	denies := func(pod *corev1.Pod, denial string) {
		t.Helper()
		text, err := json.Marshal(pod)
		if err != nil {
			t.Fatal(err)
		}
		var out string
		// The API server takes a moment to see the policy; the first case waits for it.
		_, err = eventually(t.Context(), func() error {
			out = kubectl(string(text), "create", "--dry-run=server", "-f", "-")
			if denial == "" {
				return lacks(out, "created (server dry run)")
			}
			return lacks(out, "denied request", denial)
		})
		if err != nil {
			t.Errorf("%s, %s: %v", denial, pod.Spec.String(), err)
		}
	}
	for _, tt := range []struct {
		edit   func(*corev1.PodSpec, *corev1.Container, *corev1.Container) // of the init container and the sidecar
		denial string                                                      // "" for a pod that is admitted
	}{
		{func(s *corev1.PodSpec, _, _ *corev1.Container) { s.HostPID = true }, "host namespaces"},
		{func(s *corev1.PodSpec, _, _ *corev1.Container) { s.ShareProcessNamespace = new(true) }, "a shared process namespace"},
		{func(s *corev1.PodSpec, _, _ *corev1.Container) {
			s.Volumes = append(s.Volumes, corev1.Volume{Name: "v", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}})
		}, "host paths"},
		{func(s *corev1.PodSpec, _, _ *corev1.Container) { s.InitContainers = nil }, "must have a sidecar"},
		{func(s *corev1.PodSpec, _, proxy *corev1.Container) { s.InitContainers = []corev1.Container{*proxy} }, "must have a sidecar"},
		{func(s *corev1.PodSpec, init, proxy *corev1.Container) {
			s.Containers = append(s.Containers, *init)
			s.InitContainers = []corev1.Container{*proxy}
		}, "must have a sidecar"},
		{func(_ *corev1.PodSpec, init, _ *corev1.Container) { init.Image = "docker.io/evil/init:1" }, "must run outrider-init"},
		{func(_ *corev1.PodSpec, init, _ *corev1.Container) {
			init.SecurityContext.Capabilities.Add = append(init.SecurityContext.Capabilities.Add, "SYS_ADMIN")
		}, "may add NET_ADMIN only"},
		{func(_ *corev1.PodSpec, init, _ *corev1.Container) { init.Command = []string{"true"} }, "istio-init must capture everything"},
		{func(_ *corev1.PodSpec, init, _ *corev1.Container) { init.Args = append(init.Args, "-o", "443") }, "istio-init must capture everything"},
		{func(_ *corev1.PodSpec, init, _ *corev1.Container) { init.Args = nil }, "istio-init must capture everything"},
		{func(_ *corev1.PodSpec, init, _ *corev1.Container) {
			init.Env = []corev1.EnvVar{{Name: "DRY_RUN", Value: "true"}}
		}, "istio-init must capture everything"},
		{func(_ *corev1.PodSpec, init, _ *corev1.Container) {
			init.VolumeMounts = append(init.VolumeMounts, corev1.VolumeMount{Name: "outrider-xds", MountPath: "/usr/local/bin"})
		}, "istio-init must capture everything"},
		{func(_ *corev1.PodSpec, _, proxy *corev1.Container) { proxy.Image = "docker.io/evil/envoy:1" }, "istio-proxy must run Envoy"},
		{func(_ *corev1.PodSpec, _, proxy *corev1.Container) { proxy.Command = []string{"/bin/sh"} }, "istio-proxy must run Envoy"},
		{func(_ *corev1.PodSpec, _, proxy *corev1.Container) { proxy.Args = append(proxy.Args, "-c", "/x") }, "istio-proxy must run Envoy"},
		{func(_ *corev1.PodSpec, _, proxy *corev1.Container) { proxy.Args = nil }, "istio-proxy must run Envoy"},
		{func(_ *corev1.PodSpec, _, proxy *corev1.Container) {
			proxy.Env = append(proxy.Env, corev1.EnvVar{Name: "LD_PRELOAD", Value: "/x"})
		}, "istio-proxy must run Envoy"},
		{func(_ *corev1.PodSpec, _, proxy *corev1.Container) {
			proxy.Lifecycle = &corev1.Lifecycle{PostStart: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"x"}}}}
		}, "istio-proxy must run no other program"},
		{func(_ *corev1.PodSpec, _, proxy *corev1.Container) {
			proxy.LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"x"}}}}
		}, "istio-proxy must run no other program"},
		{func(s *corev1.PodSpec, _, _ *corev1.Container) {
			s.Containers[0].SecurityContext.Privileged, s.Containers[0].SecurityContext.AllowPrivilegeEscalation = new(true), nil
		}, "other containers must drop ALL"},
		{func(s *corev1.PodSpec, _, _ *corev1.Container) {
			s.Containers[0].SecurityContext.Capabilities.Add = []corev1.Capability{"NET_ADMIN"}
		}, "other containers must drop ALL"},
		{func(s *corev1.PodSpec, _, _ *corev1.Container) { s.Containers[0].SecurityContext.Capabilities = nil }, "other containers must drop ALL"},
		{func(s *corev1.PodSpec, _, _ *corev1.Container) {
			s.Containers[0].SecurityContext.AllowPrivilegeEscalation = nil
		}, "other containers must drop ALL"},
		{func(s *corev1.PodSpec, _, _ *corev1.Container) {
			s.Containers[0].SecurityContext.RunAsUser = new(int64(1337))
		}, "a runAsUser that is not 1337"},
		{func(s *corev1.PodSpec, _, _ *corev1.Container) { s.SecurityContext.RunAsUser = nil }, "a runAsUser that is not 1337"},
		{func(s *corev1.PodSpec, _, _ *corev1.Container) {
			s.SecurityContext.WindowsOptions = &corev1.WindowsSecurityContextOptions{RunAsUserName: new("x")}
		}, "opt out of injection"},
		{func(s *corev1.PodSpec, _, _ *corev1.Container) {
			s.HostAliases = []corev1.HostAlias{{IP: "203.0.113.9", Hostnames: []string{"api.example.com"}}}
		}, "hostAliases and nameservers"},
		{func(s *corev1.PodSpec, _, _ *corev1.Container) {
			s.DNSConfig = &corev1.PodDNSConfig{Nameservers: []string{"203.0.113.9"}}
		}, "hostAliases and nameservers"},
		{func(_ *corev1.PodSpec, _, proxy *corev1.Container) { proxy.Args = append(proxy.Args, "-c /x") }, "istio-proxy must run Envoy"},
		{func(*corev1.PodSpec, *corev1.Container, *corev1.Container) {}, ""},
	} {
		pod := valid.DeepCopy()
		tt.edit(&pod.Spec, &pod.Spec.InitContainers[1], &pod.Spec.InitContainers[0])
		denies(pod, tt.denial)
	}
	pod := valid.DeepCopy()
	pod.Annotations["proxy.istio.io/overrides"] = "{}"
	denies(pod, "of the pod's own are not allowed")
	pod = valid.DeepCopy()
	pod.Annotations["sidecar.istio.io/inject"] = "false"
	denies(pod, "opt out of injection")
	pod = valid.DeepCopy()
	pod.Labels = map[string]string{"sidecar.istio.io/inject": "false"}
	denies(pod, "opt out of injection")
}
