//go:build unix

package kube

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// childEnv makes the test binary start a server and hang, for the test that
// kills it.
const childEnv = "OUTRIDER_KUBE_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		startAndHang()
		return
	}
	os.Exit(Main(m))
}

func pod(name string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "example.test/app"}}},
	}
}

// Two rounds on one server: leftovers of the first must not disturb the second.
func TestPods(t *testing.T) {
	s := Require(t)
	for _, round := range []string{"first", "second"} {
		t.Run(round, func(t *testing.T) {
			pods := s.Client.CoreV1().Pods(s.Namespace(t, map[string]string{"istio-injection": "enabled"}))

			dry, err := pods.Create(t.Context(), pod("dry"), metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
			if err != nil {
				t.Fatal(err)
			}
			if dry.UID == "" || dry.Spec.RestartPolicy != corev1.RestartPolicyAlways {
				t.Errorf("dry run answered a pod without the server's defaults: %+v", dry)
			}
			if _, err := pods.Create(t.Context(), pod("real"), metav1.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
			list, err := pods.List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if len(list.Items) != 1 || list.Items[0].Name != "real" {
				t.Errorf("stored pods: %v, want the one named real", list.Items)
			}
			got := list.Items[0].Spec
			if got.ServiceAccountName != "default" || len(got.Volumes) != 1 || got.Volumes[0].Projected == nil {
				t.Errorf("the ServiceAccount plugin did not run: account %q, volumes %v", got.ServiceAccountName, got.Volumes)
			}
		})
	}
}

func TestKubectl(t *testing.T) {
	s := Require(t)
	ns := s.Namespace(t, nil)
	manifest, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"metadata": map[string]any{"name": "app"},
		"spec":     map[string]any{"containers": []any{map[string]any{"name": "app", "image": "example.test/app"}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	kubectl := func(args ...string) string {
		t.Helper()
		cmd := s.Kubectl(t.Context(), args...)
		cmd.Stdin = bytes.NewReader(manifest)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
	for _, step := range []struct {
		want string
		args []string
	}{
		{"pod/app created (server dry run)", []string{"apply", "-n", ns, "-f", "-", "--dry-run=server"}},
		{"", []string{"get", "pods", "-n", ns, "-o", "name", "--ignore-not-found"}},
		{"pod/app created", []string{"apply", "-n", ns, "-f", "-"}},
		{"pod/app unchanged", []string{"apply", "-n", ns, "-f", "-"}},
		{"pod/app", []string{"get", "pods", "-n", ns, "-o", "name"}},
	} {
		if got := kubectl(step.args...); got != step.want {
			t.Errorf("kubectl %s: %q, want %q", strings.Join(step.args, " "), got, step.want)
		}
	}
	var v struct {
		ClientVersion, ServerVersion struct{ Major, Minor, GitVersion string }
	}
	if err := json.Unmarshal([]byte(kubectl("version", "-o", "json")), &v); err != nil {
		t.Fatal(err)
	}
	if v.ServerVersion.Major != "1" || v.ServerVersion.Minor == "" || v.ServerVersion.Minor == "0" {
		t.Errorf("the server reports %+v; the version was not linked in", v.ServerVersion)
	}
}

func TestStopLeavesNothing(t *testing.T) {
	Require(t) // for its skip
	s, err := Start(t.Context(), Options{APIServerFlags: map[string][]string{"max-requests-inflight": {"50"}}})
	if err != nil {
		t.Fatal(err)
	}
	pids := serverPIDs(t, s.Dir)
	cmdline, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pids["kube-apiserver"]), "cmdline"))
	if err == nil && !bytes.Contains(cmdline, []byte("--max-requests-inflight=50")) {
		t.Errorf("flag not passed: %q", cmdline)
	}
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(); err != nil {
		t.Errorf("second Stop: %v", err)
	}
	wantGone(t, s.Dir, pids)
}

func TestStart_ReportsServerOutput(t *testing.T) {
	Require(t)
	_, err := Start(t.Context(), Options{APIServerFlags: map[string][]string{"authorization-mode": {"Sorcery"}}})
	if err == nil || !strings.Contains(err.Error(), "kube-apiserver.log") || !strings.Contains(err.Error(), "Sorcery") {
		t.Errorf("error %v, want the server's own complaint in it", err)
	}
}

func TestStart_StopsWithContext(t *testing.T) {
	Require(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s, err := Start(ctx, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Start: %v, %v; want context.Canceled", s, err)
	}
}

// A killed process cannot stop its servers; the guard does.
func TestKilledProcessLeavesNothing(t *testing.T) {
	Require(t)
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childEnv+"=1")
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 4096)
	n, err := out.Read(line)
	dir := strings.TrimSpace(string(line[:n]))
	if err != nil || dir == "" {
		_ = child.Process.Kill()
		t.Fatalf("the child started no server: %v", err)
	}
	pids := serverPIDs(t, dir)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // the error is "killed", as expected
	wantGone(t, dir, pids)
}

func startAndHang() {
	s, err := Start(context.Background(), Options{})
	if err != nil {
		panic(err)
	}
	_, _ = os.Stdout.WriteString(s.Dir + "\n")
	select {}
}

func serverPIDs(t *testing.T, dir string) map[string]int {
	t.Helper()
	pids := map[string]int{}
	for _, name := range []string{"etcd", "kube-apiserver"} {
		data, err := os.ReadFile(filepath.Join(dir, name+".pid"))
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
		if err != nil {
			t.Fatal(err)
		}
		if !alive(pid) {
			t.Fatalf("%s (%d) is not running", name, pid)
		}
		pids[name] = pid
	}
	return pids
}

// wantGone waits a little: after a kill the guard needs a moment.
func wantGone(t *testing.T, dir string, pids map[string]int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		_, err := os.Stat(dir)
		gone := errors.Is(err, fs.ErrNotExist)
		for _, pid := range pids {
			gone = gone && !alive(pid)
		}
		if gone {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still there: %s (%v) or one of %v", dir, err, pids)
		}
	}
}

// alive reports whether a process runs. A zombie does not: where process 1 reaps
// no orphans, a killed one stays in the table for ever.
func alive(pid int) bool {
	if stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat")); err == nil {
		_, state, _ := strings.Cut(string(stat), ") ")
		return !strings.HasPrefix(state, "Z")
	}
	return syscall.Kill(pid, 0) == nil
}
