package attack

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/outrider-mesh/outrider/test/kit"
)

// namespace creates a namespace, which is deleted with the test.
func (b *battery) namespace(t *testing.T, name string, labelled bool) {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if labelled {
		ns.Labels = map[string]string{"istio-injection": "enabled"}
	}
	_, err := b.kube.CoreV1().Namespaces().Create(ended, ns, metav1.CreateOptions{})
	kit.Must(t, err)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(ended)
		for _, kind := range []string{"virtualservices", "serviceentries"} {
			_ = b.objects.Resource(entries.GroupVersion().WithResource(kind)).Namespace(name).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{})
		}
		if err := b.kube.CoreV1().Namespaces().Delete(ctx, name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	eventually(t, "the default service account exists", func() error {
		_, err := b.kube.CoreV1().ServiceAccounts(name).Get(ended, "default", metav1.GetOptions{})
		return err
	})
}

// pod runs commands of cmd/tenant.
func pod(name string, commands ...string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}}, Spec: corev1.PodSpec{
		TerminationGracePeriodSeconds: new(int64),
		Containers: []corev1.Container{{
			Name: "tenant", Image: tenantRef, ImagePullPolicy: corev1.PullNever, Args: commands,
			VolumeMounts: []corev1.VolumeMount{{Name: "token", MountPath: "/var/run/tenant"}},
		}},
		Volumes: []corev1.Volume{{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{
			ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Audience: "outrider", Path: "token"},
		}}}}}},
	}}
}

func (b *battery) pod(t *testing.T, namespace, name string) *corev1.Pod {
	t.Helper()
	p, err := b.kube.CoreV1().Pods(namespace).Get(ended, name, metav1.GetOptions{})
	kit.Must(t, err)
	return p
}

// ready waits for a pod.
func (b *battery) ready(t *testing.T, namespace, name string) {
	t.Helper()
	eventually(t, "pod "+namespace+"/"+name+" is ready", func() error {
		p, err := b.kube.CoreV1().Pods(namespace).Get(ended, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("phase %s, %+v", p.Status.Phase, p.Status.Conditions)
	})
}

// attackers are pods that run at once. All of them have one core together.
type attackers struct {
	b     *battery
	where [][2]string
}

// core is the processor time of all attackers of an attack.
const core = 1000

// attack starts one pod without a sidecar in each namespace, and returns when they
// run. Each runs all the commands.
func (b *battery) attack(t *testing.T, namespaces []string, commands ...string) *attackers {
	t.Helper()
	all := make([][]string, len(namespaces))
	for i := range all {
		all[i] = commands
	}
	return b.attackAs(t, namespaces, all)
}

// attackAs is attack with the commands of each namespace's pod.
func (b *battery) attackAs(t *testing.T, namespaces []string, commands [][]string) *attackers {
	t.Helper()
	a := &attackers{b: b}
	for i, ns := range namespaces {
		p := pod(fmt.Sprintf("hostile-%d", i), commands[i]...)
		limit := resource.NewMilliQuantity(int64(core/len(namespaces)), resource.DecimalSI)
		p.Spec.Containers[0].Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: *limit, corev1.ResourceMemory: resource.MustParse("1Gi")}
		p.Spec.Containers[0].Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1m"), corev1.ResourceMemory: resource.MustParse("1Mi")}
		_, err := b.kube.CoreV1().Pods(ns).Create(ended, p, metav1.CreateOptions{})
		kit.Must(t, err)
		a.where = append(a.where, [2]string{ns, p.Name})
	}
	for _, at := range a.where {
		b.ready(t, at[0], at[1])
	}
	time.Sleep(2 * time.Second) // the attack is at its height
	return a
}

// stop ends the attack, and prints what each attacker has reported last.
func (a *attackers) stop(t *testing.T) {
	t.Helper()
	for _, at := range a.where {
		t.Logf("%s: %s", at[0], a.b.log(t, at[0], at[1], 12))
		err := a.b.kube.CoreV1().Pods(at[0]).Delete(ended, at[1], metav1.DeleteOptions{GracePeriodSeconds: new(int64)})
		kit.Must(t, err)
	}
}

// log is the end of what a pod has logged; the last line of each command's counts.
func (b *battery) log(t *testing.T, namespace, name string, lines int64) string {
	t.Helper()
	text, err := b.kube.CoreV1().Pods(namespace).GetLogs(name, &corev1.PodLogOptions{Container: "tenant", TailLines: &lines}).DoRaw(ended)
	kit.Must(t, err)
	last := map[string]string{}
	var order []string
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 4 {
			continue
		}
		key := f[2] + " " + f[3]
		if last[key] == "" {
			order = append(order, key)
		}
		last[key] = strings.Join(f[2:], " ")
	}
	var out []string
	for _, key := range order {
		out = append(out, last[key])
	}
	return strings.Join(out, "\n")
}
