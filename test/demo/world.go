package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/certs"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kit/testca"
	"github.com/outrider-mesh/outrider/test/kube"
	"github.com/outrider-mesh/outrider/test/mesh"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

// demo is what the steps share.
type demo struct {
	*screen
	began time.Time

	root   string // the checkout, where commands run
	work   string // everything the demo writes; removed with the server or cluster
	env    []string
	client kubernetes.Interface

	name  string        // of the cluster
	mesh  *mesh.Mesh    // on a real cluster
	first time.Duration // after which the first injected manifest was shown; 0 if it was not

	context  string    // of the kubeconfig, for a cluster of the user's; empty is the current one
	yes      bool      // the user has agreed
	in       io.Reader // for the answer
	visiting bool      // the user's cluster has, or may have, something of the demo's

	namespace string // of the sample
	byHand    string // of a pod that was injected as a file

	server *kube.Server    // on the API server alone
	serve  *program        // and the program beside it
	seen   map[string]bool // the sample's pods that the demo has seen, by name

	before   *corev1.Pod // of the sample, without a sidecar
	injected *corev1.Pod // of the sample, with the first configuration
	next     *corev1.Pod // of the sample, with the second configuration
}

// start brings up what the demo needs on the API server alone.
func (d *demo) start(ctx context.Context) error {
	for _, step := range []func(*demo, context.Context) error{
		(*demo).startServer, (*demo).build, (*demo).applyConfiguration, (*demo).startServe, (*demo).register,
	} {
		if err := step(d, ctx); err != nil {
			return err
		}
	}
	return nil
}

func (d *demo) startServer(ctx context.Context) (err error) {
	if d.root, err = kit.Checkout(); err != nil {
		return err
	}
	progress := d.output(faint)
	defer progress.flush()
	if _, err := kube.Assets(ctx, progress); err != nil { // may take minutes, which are no part of the start
		return err
	}
	began := time.Now()
	if d.server, err = kube.Start(ctx, kube.Options{Progress: progress}); err != nil {
		return err
	}
	d.client, d.work = d.server.Client, filepath.Join(d.server.Dir, "demo")
	bin := filepath.Join(d.work, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return fmt.Errorf("create the demo's directory: %w", err)
	}
	d.env = append(os.Environ(),
		"KUBECONFIG="+d.server.Kubeconfig,
		"KUBECACHEDIR="+filepath.Join(d.work, "kubectl-cache"),
		"KUBERC=off", // a person's own kuberc file must not change what the demo does
		"WORK="+d.work,
		"TMPDIR="+d.work,
		"PATH="+strings.Join([]string{bin, filepath.Dir(d.server.KubectlPath()), os.Getenv("PATH")}, string(os.PathListSeparator)))
	version, err := d.server.Client.Discovery().ServerVersion()
	if err != nil {
		return fmt.Errorf("get server version: %w", err)
	}
	d.say("kube-apiserver %s and etcd, on loopback, ready in %s.", version.GitVersion, time.Since(began).Round(100*time.Millisecond))
	d.aside("$WORK below is %s; it is removed when the demo ends", d.work)
	return nil
}

func (d *demo) build(ctx context.Context) error {
	hint := time.AfterFunc(10*time.Second, func() { d.aside("the first build may take some minutes") })
	defer hint.Stop()
	const line = `CGO_ENABLED=0 go build -trimpath -o "$WORK/bin/outrider" ./cmd/outrider`
	r, err := d.run(ctx, line)
	if err == nil && r.code != 0 { // what it downloads, it reports on standard error
		err = fmt.Errorf("%q: exit code %d: %s", line, r.code, r.err)
	}
	return err
}

func (d *demo) applyConfiguration(ctx context.Context) error {
	return d.all(ctx, "kubectl create namespace istio-system", "kubectl apply -f samples/configuration.yaml")
}

// startServe starts the program as its Deployment does, with a certificate for
// the address the API server calls.
func (d *demo) startServe(ctx context.Context) error {
	ca, certificate, key, err := testca.Files(time.Now().Add(-time.Minute), time.Hour, "127.0.0.1")
	if err != nil {
		return err
	}
	ports, err := kit.FreeAddresses(2)
	if err != nil {
		return err
	}
	for name, data := range map[string][]byte{"ca.crt": ca, "certs/" + certs.CertificateFile: certificate, "certs/" + certs.KeyFile: key} {
		if err := d.write(name, data); err != nil {
			return err
		}
	}
	webhookAt, healthAt := ports[0], ports[1]
	args := []string{
		"serve", "--kubeconfig", d.server.Kubeconfig, "--cert-dir", filepath.Join(d.work, "certs"),
		"--port", webhookAt, "--health-address", healthAt, "--metrics-address", "0", "--shutdown-delay", "0s",
	}
	shown := strings.NewReplacer(d.server.Kubeconfig, `"$KUBECONFIG"`, d.work+"/certs", `"$WORK/certs"`, "--port", "\\\n    --port")
	d.command("outrider " + shown.Replace(strings.Join(args, " ")) + " &")
	if d.serve, err = startProgram(d, filepath.Join(d.work, "bin", "outrider"), args); err != nil {
		return err
	}
	took, err := eventually(ctx, func() error { return d.serve.ready(ctx, "http://"+healthAt+"/readyz") })
	if err != nil {
		return fmt.Errorf("outrider serve is not ready: %w%s", err, d.serve.logTail())
	}
	d.say("Ready after %s.", took.Round(10*time.Millisecond))

	r := registration.Options{Namespace: "istio-system", URL: "https://" + webhookAt, CABundle: ca}
	var b bytes.Buffer
	for _, object := range []any{r.Mutating(), r.Validating()} {
		text, err := yaml.Marshal(object)
		if err != nil {
			return fmt.Errorf("write the webhook configurations: %w", err)
		}
		b.WriteString("---\n")
		b.Write(text)
	}
	return d.write("webhooks.yaml", b.Bytes())
}

// register registers the webhook, and waits until the API server calls it.
func (d *demo) register(ctx context.Context) error {
	if err := d.must(ctx, `kubectl apply -f "$WORK/webhooks.yaml"`); err != nil {
		return err
	}
	if err := d.untilInjected(ctx, byItself); err != nil {
		return err
	}
	d.check("the API server calls the webhook over HTTPS for pods to be injected")
	return nil
}

func (d *demo) write(name string, data []byte) error {
	path := filepath.Join(d.work, name)
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// close stops what start started, the last first, and removes what it wrote.
func (d *demo) close() error {
	d.line("", "")
	var errs []error
	if d.serve != nil {
		errs = append(errs, d.serve.stop())
	}
	if d.server != nil {
		errs = append(errs, d.server.Stop())
		d.say("Stopped outrider, kube-apiserver and etcd, and removed their files.")
	}
	if d.mesh != nil {
		errs = append(errs, d.leave(), d.mesh.Close(context.Background()))
		d.say("%s", d.closed())
	}
	return errors.Join(errs...)
}

// program is outrider serve as a child process.
type program struct {
	cmd  *exec.Cmd
	log  string // the file with what it logs
	done chan struct{}
}

func startProgram(d *demo, path string, args []string) (*program, error) {
	p := &program{cmd: exec.Command(path, args...), log: filepath.Join(d.work, "outrider.log"), done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, fmt.Errorf("start outrider: %w", err)
	}
	defer func() { _ = log.Close() }()
	p.cmd.Dir, p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr, p.cmd.SysProcAttr = d.root, d.env, log, log, ownGroup()
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start outrider: %w", err)
	}
	go func() { _ = p.cmd.Wait(); close(p.done) }()
	// The server's guard ends what a pid file in its directory names, should the
	// demo be killed.
	note := filepath.Join(d.server.Dir, "outrider.pid")
	if err := os.WriteFile(note, []byte(strconv.Itoa(p.cmd.Process.Pid)), 0o600); err != nil {
		return p, fmt.Errorf("note the process of outrider: %w", err)
	}
	return p, nil
}

func (p *program) ready(ctx context.Context, url string) error {
	select {
	case <-p.done:
		return errors.New("exited: " + p.cmd.ProcessState.String())
	default:
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(response.Body, 1000))
		return fmt.Errorf("%s: %s", response.Status, body)
	}
	return nil
}

// stop asks the program to end, and ends it if it does not.
func (p *program) stop() error {
	select {
	case <-p.done:
		return errors.New("outrider serve exited unexpectedly: " + p.cmd.ProcessState.String())
	default:
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(15 * time.Second): // more than serve gives requests under way
		_ = p.cmd.Process.Kill()
		<-p.done
		return errors.New("outrider serve did not exit on SIGTERM and was killed")
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("outrider serve exited on SIGTERM with %s", p.cmd.ProcessState)
	}
	return nil
}

// logTail is the end of the log, for an error message.
func (p *program) logTail() string {
	const most = 3000
	text, err := os.ReadFile(p.log)
	if err != nil {
		return ""
	}
	return "\nend of its log:\n" + string(text[max(0, len(text)-most):])
}
