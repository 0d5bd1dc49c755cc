package attack

import (
	"maps"
	"slices"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/outrider-mesh/outrider/test/kit"
)

// warned collects the warnings of the API server.
type warned struct {
	mu   sync.Mutex
	text []string
}

func (w *warned) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text = append(w.text, text)
}

func (w *warned) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	defer func() { w.text = nil }()
	return w.text
}

// around are edits of a pod by which its requests may bypass the sidecar.
var around = map[string]func(*corev1.Pod){
	"supplementalGroups": func(p *corev1.Pod) { group(p); security(p).SupplementalGroups = []int64{1337} },
	"fsGroup":            func(p *corev1.Pod) { group(p); security(p).FSGroup = number(1337) },
	"runAsUser":          func(p *corev1.Pod) { security(p).RunAsUser = number(1337) },
	"runAsUser of the container": func(p *corev1.Pod) {
		p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{RunAsUser: number(1337)}
	},
	"NET_ADMIN": func(p *corev1.Pod) { capability(p, "NET_ADMIN") },
	"root with SETUID": func(p *corev1.Pod) {
		capability(p, "SETUID")
		p.Spec.Containers[0].SecurityContext.RunAsUser = number(0)
	},
	"ALL": func(p *corev1.Pod) { capability(p, "ALL") },
	"privileged": func(p *corev1.Pod) {
		p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: new(true)}
	},
	"own istio-init":   func(p *corev1.Pod) { p.Spec.InitContainers = own("istio-init") },
	"own istio-proxy":  func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, own("istio-proxy")...) },
	"excludeInterface": func(p *corev1.Pod) { p.Annotations["traffic.sidecar.istio.io/excludeInterfaces"] = "eth0" },
	"hostNetwork":      func(p *corev1.Pod) { p.Spec.HostNetwork = true },
	"inject: false":    func(p *corev1.Pod) { p.Labels["sidecar.istio.io/inject"] = "false" },
	"init container as 1337": func(p *corev1.Pod) {
		p.Spec.InitContainers = own("first")
		p.Spec.InitContainers[0].SecurityContext = &corev1.SecurityContext{RunAsUser: number(1337)}
	},
	"exclude all ranges": func(p *corev1.Pod) { p.Annotations["traffic.sidecar.istio.io/excludeOutboundIPRanges"] = "0.0.0.0/0" },
	"exclude halves of it": func(p *corev1.Pod) {
		p.Annotations["traffic.sidecar.istio.io/excludeOutboundIPRanges"] = "0.0.0.0/1,128.0.0.0/1"
	},
	"exclude ports":            func(p *corev1.Pod) { p.Annotations["traffic.sidecar.istio.io/excludeOutboundPorts"] = "80,443" },
	"include nothing":          func(p *corev1.Pod) { p.Annotations["traffic.sidecar.istio.io/includeOutboundIPRanges"] = "" },
	"interception mode":        func(p *corev1.Pod) { p.Annotations["sidecar.istio.io/interceptionMode"] = "NONE" },
	"share of process ids":     func(p *corev1.Pod) { p.Spec.ShareProcessNamespace = new(true) },
	"allowed to become others": func(p *corev1.Pod) { capability(p, "SYS_ADMIN") },
}

func security(p *corev1.Pod) *corev1.PodSecurityContext {
	if p.Spec.SecurityContext == nil {
		p.Spec.SecurityContext = &corev1.PodSecurityContext{}
	}
	return p.Spec.SecurityContext
}

// group asks for the exemption of the sidecar's group, which is not exempt otherwise.
func group(p *corev1.Pod) {
	proxy := corev1.Container{Name: "istio-proxy", Image: "auto", SecurityContext: &corev1.SecurityContext{RunAsGroup: number(1337)}}
	p.Spec.Containers = append(p.Spec.Containers, proxy)
}

func number(n int64) *int64 { return &n }

func capability(p *corev1.Pod, name corev1.Capability) {
	p.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Capabilities: &corev1.Capabilities{Add: []corev1.Capability{name}}}
}

func own(name string) []corev1.Container {
	return []corev1.Container{{Name: name, Image: tenantRef, Args: []string{"sink"}}}
}

// waysAround: pods by which requests may bypass the sidecar are denied, or their author
// gets a warning. An ordinary pod gets none.
func waysAround(t *testing.T, b *battery) {
	warnings := &warned{}
	config := rest.CopyConfig(b.config)
	config.WarningHandler = warnings
	kube, err := kubernetes.NewForConfig(config)
	kit.Must(t, err)
	create := func(edit func(*corev1.Pod)) ([]string, error) {
		p := pod("around", "sink")
		p.Annotations = map[string]string{}
		edit(p)
		_, err := kube.CoreV1().Pods(bank).Create(ended, p, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return warnings.take(), err
	}
	if w, err := create(func(*corev1.Pod) {}); err != nil || len(w) > 0 {
		t.Errorf("an ordinary pod: %q, %v", w, err)
	}
	for _, name := range slices.Sorted(maps.Keys(around)) {
		w, err := create(around[name])
		if err == nil && len(w) == 0 {
			t.Errorf("%s: no warning", name)
		}
		t.Logf("%s: %q %v", name, w, err)
	}
	p := b.pod(t, bank, "ordinary")
	p.Spec.EphemeralContainers = []corev1.EphemeralContainer{{EphemeralContainerCommon: corev1.EphemeralContainerCommon{
		Name: "debug", Image: tenantRef, Args: []string{"sink"}, SecurityContext: &corev1.SecurityContext{RunAsUser: number(1337)},
	}}}
	_, err = kube.CoreV1().Pods(bank).UpdateEphemeralContainers(ended, p.Name, p, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
	if w := warnings.take(); err == nil && len(w) == 0 {
		t.Error("an ephemeral container as 1337: no warning")
	} else {
		t.Logf("an ephemeral container as 1337: %q %v", w, err)
	}
}
