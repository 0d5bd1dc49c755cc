package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/test/kit"
	replica "github.com/outrider-mesh/outrider/test/kit/instance"
	"github.com/outrider-mesh/outrider/test/kit/testca"
	"github.com/outrider-mesh/outrider/test/kube"
)

// BenchmarkServe runs the program as the two Deployments do, on a real API server. It prints
// the anonymous memory of both when idle, the processor time of the webhook at 50 pods a
// second, and then sends -benchtime admissions over 4 TLS connections: how many a second,
// their p50 and p99 beside those of the same injections in this process, and the memory
// afterwards. Requests and limits of the Deployments are chosen by it.
//
//	go test ./cmd/outrider -run ^$ -bench Serve -benchtime 200000x
func BenchmarkServe(b *testing.B) {
	server := kube.Require(b)
	program := buildProgram(b)
	controlPlane := startServer(b, program, server, "xds")
	webhook := startServer(b, program, server, "webhook")
	time.Sleep(10 * time.Second) // the lists are read, and what that took is released
	b.Logf("idle: webhook %d MiB anonymous, %.0fm CPU; control plane %d MiB anonymous, %.0fm CPU",
		webhook.anonymous(b), webhook.cpuFor(b, 5*time.Second), controlPlane.anonymous(b), controlPlane.cpuFor(b, 5*time.Second))
	bodies := reviews(b)
	began, before := time.Now(), webhook.cpu(b)
	paced := webhook.send(b, bodies, 500, 50)
	b.Logf("50 pods a second: %.0fm CPU, p50 %s, p99 %s, %d MiB anonymous",
		(webhook.cpu(b)-before)*1000/time.Since(began).Seconds(), percentileOf(paced, 50), percentileOf(paced, 99), webhook.anonymous(b))
	for b.Loop() { // what is measured is below
	}
	n := max(b.N, 1000)
	began, before = time.Now(), webhook.cpu(b)
	took := webhook.send(b, bodies, n, 0)
	seconds := time.Since(began).Seconds()
	b.ReportMetric(float64(n)/seconds, "admissions/s")
	b.ReportMetric((webhook.cpu(b)-before)*1e6/float64(n), "cpu-µs/admission")
	b.ReportMetric(percentileOf(took, 50).Seconds()*1e6, "p50-µs")
	b.ReportMetric(percentileOf(took, 99).Seconds()*1e6, "p99-µs")
	b.ReportMetric(float64(webhook.anonymous(b)), "MiB-anonymous")
	own := inProcess(b, min(n, 20_000))
	b.ReportMetric(percentileOf(own, 50).Seconds()*1e6, "in-process-p50-µs")
	b.ReportMetric(percentileOf(own, 99).Seconds()*1e6, "in-process-p99-µs")
	b.ReportMetric(0, "ns/op")
}

// buildProgram builds the program as "make build" does.
func buildProgram(b *testing.B) string {
	b.Helper()
	program := filepath.Join(b.TempDir(), "outrider")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	return program
}

// served is a process of the program.
type served struct {
	address, xds string
	pid          int
	stop         func()
}

func startServer(b testing.TB, program string, server *kube.Server, component string) *served {
	b.Helper()
	return startProgram(b, loadBinary{path: program}, server, component, "--metrics-address", "0")
}

// loadBinary is the program; env is what makes the test binary it.
type loadBinary struct {
	path string
	env  []string
}

func startProgram(b testing.TB, program loadBinary, server *kube.Server, component string, args ...string) *served {
	b.Helper()
	dir := b.TempDir()
	_, cert, key, err := testca.Files(time.Now().Add(-time.Hour), 24*time.Hour, "127.0.0.1")
	kit.Must(b, err)
	kit.Must(b, os.WriteFile(filepath.Join(dir, "tls.crt"), cert, 0o600))
	kit.Must(b, os.WriteFile(filepath.Join(dir, "tls.key"), key, 0o600))
	health := kit.FreeAddress(b)
	s := &served{address: kit.FreeAddress(b), xds: kit.FreeAddress(b)}
	cmd := exec.Command(program.path, append([]string{"serve", "--components", component, "--kubeconfig", server.Kubeconfig, "--namespace", "default", "--cert-dir", dir,
		"--port", s.address, "--xds-address", s.xds, "--health-address", health}, args...)...)
	cmd.Env = append(os.Environ(), program.env...)
	var log kit.Buffer
	cmd.Stdout, cmd.Stderr = io.Discard, &log // the log has a line for each admission
	kit.Must(b, cmd.Start())
	s.pid = cmd.Process.Pid
	s.stop = sync.OnceFunc(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	b.Cleanup(func() {
		s.stop()
		if text := log.String(); b.Failed() {
			b.Logf("the log of %s:\n%s", component, text[max(0, len(text)-4000):])
		}
	})
	kit.Eventually(b, component+" is ready", func() error { return replica.Readyz(health) })
	return s
}

// anonymous is the process's anonymous memory in MiB.
func (s *served) anonymous(b testing.TB) int {
	b.Helper()
	mib, err := s.readAnonymous()
	kit.Must(b, err)
	return mib
}

func (s *served) readAnonymous() (mib int, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); f[0] == "RssAnon:" {
			kb, err := strconv.Atoi(f[1])
			return kb >> 10, err
		}
	}
	return 0, errors.New("no RssAnon")
}

// mostAnonymous is the most anonymous memory while f runs.
func (s *served) mostAnonymous(b testing.TB, f func()) (most int) {
	b.Helper()
	var running sync.WaitGroup
	done := make(chan struct{})
	running.Go(func() {
		for {
			now, err := s.readAnonymous()
			if err != nil {
				b.Error(err)
				return
			}
			most = max(most, now)
			select {
			case <-done:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	defer running.Wait()
	defer close(done)
	f()
	return
}

// cpu is the process's processor time in seconds.
func (s *served) cpu(b testing.TB) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.pid))
	kit.Must(b, err)
	_, rest, _ := strings.Cut(string(text), ") ")
	ticks := 0
	for _, f := range strings.Fields(rest)[11:13] { // user and system, in hundredths
		n, err := strconv.Atoi(f)
		kit.Must(b, err)
		ticks += n
	}
	return float64(ticks) / 100
}

// cpuFor is the processor time over a while, in thousandths of a processor.
func (s *served) cpuFor(b testing.TB, d time.Duration) float64 {
	before := s.cpu(b)
	time.Sleep(d)
	return (s.cpu(b) - before) * 1000 / d.Seconds()
}

// send sends admissions over 4 connections, as fast as they are answered or at a rate, and
// returns how long each took.
func (s *served) send(b *testing.B, bodies [][]byte, n, rate int) []time.Duration {
	b.Helper()
	const connections = 4
	took := make([]time.Duration, n)
	began := time.Now()
	var wg sync.WaitGroup
	for c := range connections {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		defer client.CloseIdleConnections()
		wg.Go(func() {
			for i := c; i < n; i += connections {
				if rate > 0 {
					time.Sleep(time.Until(began.Add(time.Duration(i) * time.Second / time.Duration(rate))))
				}
				start := time.Now()
				resp, err := client.Post("https://"+s.address+"/inject", "application/json", bytes.NewReader(bodies[i%len(bodies)]))
				if err != nil {
					b.Error(err)
					return
				}
				_, err = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				took[i] = time.Since(start)
				if err != nil || resp.StatusCode != http.StatusOK {
					b.Errorf("status %d, %v", resp.StatusCode, err)
					return
				}
			}
		})
	}
	wg.Wait()
	return took
}

func percentileOf(d []time.Duration, percent int) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[min(len(d)-1, len(d)*percent/100)].Round(time.Microsecond)
}

func benchPod(n int) []byte {
	pod := corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: fmt.Sprintf("sleep-%d-", n), Labels: map[string]string{"app": "sleep", "pod-template-hash": strconv.Itoa(n)},
		},
		Spec: corev1.PodSpec{
			ServiceAccountName: "sleep", RestartPolicy: corev1.RestartPolicyAlways,
			Containers: []corev1.Container{{Name: "sleep", Image: "curlimages/curl", Command: []string{"/bin/sleep", "infinity"}}},
		},
	}
	text, err := json.Marshal(pod)
	if err != nil {
		panic(err) // it always has an encoding
	}
	return text
}

// reviews are reviews of pods that differ.
func reviews(b *testing.B) (out [][]byte) {
	for n := range 256 {
		text, err := json.Marshal(admissionv1.AdmissionReview{
			TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
			Request: &admissionv1.AdmissionRequest{
				UID: types.UID(fmt.Sprintf("uid-%d", n)), Namespace: "shop", Operation: admissionv1.Create,
				Kind: metav1.GroupVersionKind{Version: "v1", Kind: "Pod"}, Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
				Object: runtime.RawExtension{Raw: benchPod(n)},
			},
		})
		kit.Must(b, err)
		out = append(out, text)
	}
	return out
}

// inProcess is how long the injections take without a server.
func inProcess(b *testing.B, n int) []time.Duration {
	cfg, problems := config.Parse(config.Texts{}, config.Labels{})
	kit.Must(b, problems.Err())
	injector, problems := inject.Compile(cfg, inject.Environment{})
	kit.Must(b, problems.Err())
	took := make([]time.Duration, n)
	for i := range n {
		pod := benchPod(i % 256)
		start := time.Now()
		_, err := injector.Inject(inject.Request{Pod: pod, Namespace: "shop"})
		took[i] = time.Since(start)
		kit.Must(b, err)
	}
	return took
}
