package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/check"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube"
)

// programEnv makes the test binary the program, for what signals do.
const programEnv = "OUTRIDER_TEST_PROGRAM"

// trial is a process of check --traffic on a real API server, where no pod ever starts.
type trial struct {
	t      *testing.T
	server *kube.Server
	cmd    *exec.Cmd
	out    bytes.Buffer
	err    bytes.Buffer
	before map[string]bool // namespaces
}

func startTrial(t *testing.T, server *kube.Server, args ...string) *trial {
	t.Helper()
	self, err := os.Executable()
	kit.Must(t, err)
	r := &trial{t: t, server: server, before: map[string]bool{}}
	for _, n := range r.namespaces() {
		r.before[n.Name] = true
	}
	r.cmd = exec.Command(self, append([]string{"check", "--traffic", "--kubeconfig", writeKubeconfig(t, server), "--context", "there"}, args...)...)
	r.cmd.Env, r.cmd.Stdout, r.cmd.Stderr = append(os.Environ(), programEnv+"=1"), &r.out, &r.err
	kit.Must(t, r.cmd.Start())
	return r
}

func (r *trial) namespaces() []corev1.Namespace {
	r.t.Helper()
	found, err := r.server.Client.CoreV1().Namespaces().List(r.t.Context(), metav1.ListOptions{LabelSelector: annotation.CheckRun})
	kit.Must(r.t, err)
	return found.Items
}

// namespace is the one that the process has created, once it has a pod.
func (r *trial) namespace() (name string) {
	r.t.Helper()
	kit.Eventually(r.t, "a namespace with a pod", func() error {
		for _, n := range r.namespaces() {
			if !r.before[n.Name] {
				name = n.Name
			}
		}
		if name != "" {
			account(r.t, r.server, name)
		}
		pods, err := r.server.Client.CoreV1().Pods(name).List(r.t.Context(), metav1.ListOptions{LabelSelector: annotation.CheckRun})
		if err == nil && (name == "" || len(pods.Items) == 0) {
			err = fmt.Errorf("namespace %q has no pod: %s", name, &r.err)
		}
		return err
	})
	return name
}

// account creates the default service account of a namespace, as a cluster's controller does.
func account(t *testing.T, server *kube.Server, namespace string) {
	t.Helper()
	_, err := server.Client.CoreV1().ServiceAccounts(namespace).Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Error(err)
	}
}

func (r *trial) deleted(namespace string) bool {
	r.t.Helper()
	n, err := r.server.Client.CoreV1().Namespaces().Get(r.t.Context(), namespace, metav1.GetOptions{})
	kit.Must(r.t, err) // no controller of namespaces runs, so that it stays
	return n.DeletionTimestamp != nil
}

// end ends the process by a signal, and returns its exit code.
func (r *trial) end(s syscall.Signal) int {
	r.t.Helper()
	kit.Must(r.t, r.cmd.Process.Signal(s))
	_ = r.cmd.Wait()
	return r.cmd.ProcessState.ExitCode()
}

// TestTrafficIsRemoved: after an interrupt nothing is left, and what a killed run has left is
// removed by a later one, unless its time has not passed.
func TestTrafficIsRemoved(t *testing.T) {
	server := kube.Require(t)
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		r := startTrial(t, server)
		namespace := r.namespace()
		if code := r.end(s); code != exitError || !r.deleted(namespace) || !strings.Contains(r.err.String(), "error: interrupted") {
			t.Errorf("%s: exit code %d, deleted: %v: %s", s, code, r.deleted(namespace), &r.err)
		}
	}
	older := startTrial(t, server)
	left := older.namespace()
	older.end(syscall.SIGKILL)
	newer := startTrial(t, server)
	active := newer.namespace()
	newer.end(syscall.SIGKILL)
	if older.deleted(left) || newer.deleted(active) {
		t.Fatal("a killed process has removed its namespace")
	}
	_, err := server.Client.CoreV1().Namespaces().Patch(t.Context(), left, "application/merge-patch+json",
		fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"2026-01-02T03:04:05Z"}}}`, annotation.CheckUntil), metav1.PatchOptions{})
	kit.Must(t, err)
	last := startTrial(t, server, "--timeout", "5s", "-o", "json")
	last.namespace()
	_ = last.cmd.Wait()
	var report check.Report
	if err := json.Unmarshal(last.out.Bytes(), &report); err != nil {
		t.Fatalf("%v: %s%s", err, &last.out, &last.err)
	}
	removed := map[string]bool{}
	for _, l := range report.Traffic.Leftovers {
		removed[l.Name] = l.Removed
	}
	if !removed["namespace/"+left] || removed["namespace/"+active] || len(removed) != 2 || !older.deleted(left) || newer.deleted(active) {
		t.Errorf("%+v", report.Traffic.Leftovers)
	}
	if i := slices.IndexFunc(report.Results, func(r check.Result) bool { return r.Check == "traffic-pods" }); last.cmd.ProcessState.ExitCode() != exitError || !strings.Contains(report.Results[i].What, "/server is not ready after ") {
		t.Errorf("exit code %d: %s", last.cmd.ProcessState.ExitCode(), report.Text(false))
	}
	if !newer.deleted(report.Traffic.Namespace) {
		t.Errorf("namespace %s is left", report.Traffic.Namespace)
	}
}

// TestTrafficRights: a tenant learns all permissions that are missing, and nothing is created;
// with the Role of the printed command it works in a namespace of the tenant's, where nothing
// else is touched and nothing is left.
func TestTrafficRights(t *testing.T) {
	server := kube.Require(t)
	namespace := server.Namespace(t, nil)
	pods := server.Client.CoreV1().Pods(namespace)
	_, err := pods.Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "other"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "a"}}}}, metav1.CreateOptions{})
	kit.Must(t, err)
	path := tenantKubeconfig(t, server)
	try := func(more ...string) check.Result {
		t.Helper()
		got := runWith(t, "", append([]string{"check", "--traffic", "--timeout", "5s", "-o", "json", "--kubeconfig", path, "--context", "there"}, more...)...)
		var report check.Report
		if err := json.Unmarshal([]byte(got.out), &report); err != nil || got.code != exitError {
			t.Fatalf("%v: %+v", err, got)
		}
		i := slices.IndexFunc(report.Results, func(r check.Result) bool { return r.Check == "traffic-pods" })
		return report.Results[i]
	}
	r := try()
	if want := []string{"create namespaces", "delete namespaces", "create pods", "get pods", "delete pods", "get pods/log"}; !slices.Equal(r.Details, want) || !strings.Contains(r.Fix, "-n") {
		t.Errorf("%+v", r)
	}
	r = try("-n", namespace)
	if want := []string{"create pods", "get pods", "delete pods", "get pods/log"}; !slices.Equal(r.Details, want) || len(r.Commands) != 1 {
		t.Fatalf("%+v", r)
	}
	var role rbacv1.Role
	_, manifest, _ := strings.Cut(r.Commands[0], "<<EOF\n")
	manifest, _, _ = strings.Cut(manifest, "\nEOF")
	kit.Must(t, yaml.Unmarshal([]byte(manifest), &role))
	_, err = server.Client.RbacV1().Roles(namespace).Create(t.Context(), &role, metav1.CreateOptions{})
	kit.Must(t, err)
	_, err = server.Client.RbacV1().RoleBindings(namespace).Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: role.Name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: role.Name},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "tenant"}},
	}, metav1.CreateOptions{})
	kit.Must(t, err)
	kit.Eventually(t, "the rights are in effect", func() error {
		if r = try("-n", namespace); !strings.Contains(r.What, "-server is not ready") {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	left, err := pods.List(context.WithoutCancel(t.Context()), metav1.ListOptions{})
	kit.Must(t, err)
	if len(left.Items) != 1 || left.Items[0].Name != "other" {
		t.Errorf("left: %+v", left.Items)
	}
}

// TestTrafficUsage: flags that exclude each other.
func TestTrafficUsage(t *testing.T) {
	for args, want := range map[string]string{
		"--traffic --pre": "mutually exclusive", "--traffic --proxy a": "mutually exclusive", "--external a": "requires --traffic",
		"-n a": "requires --proxy or --traffic", "--traffic --timeout 1s": "too short", "--proxy a --pre": "mutually exclusive", "--proxy deployment/a": "not a pod",
	} {
		if got := runWith(t, "", append([]string{"check"}, strings.Fields(args)...)...); got.code != exitUsage || !strings.Contains(got.err, want) {
			t.Errorf("%s: %+v", args, got)
		}
	}
}
