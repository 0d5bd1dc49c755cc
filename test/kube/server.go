package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

// Options configure a server. The zero value is a good default.
type Options struct {
	// Progress receives the lines of a build of the binaries; nil discards them.
	Progress io.Writer
	// APIServerFlags are added to kube-apiserver's command line, by flag name
	// without the dashes. A flag named here replaces a default of envtest.
	APIServerFlags map[string][]string
	// Audit logs the requests, without their bodies, in the file AuditLog.
	Audit bool
}

// Server is a running API server. Its methods may be called from several
// goroutines at once.
type Server struct {
	// Config reaches the server as a member of system:masters.
	Config *rest.Config
	// Client is a client made from Config.
	Client kubernetes.Interface
	// Kubeconfig is the path of a file with the same content as Config. It lives
	// until Stop.
	Kubeconfig string
	// Dir holds all that the server writes: data, certificates, and the logs
	// kube-apiserver.log and etcd.log. Stop removes it.
	Dir string

	assets string
	env    *envtest.Environment
	guard  *guard
	logs   []*os.File
	stop   sync.Once
	result error
}

// Start builds what is missing, starts etcd and kube-apiserver on free ports of
// the loopback interface, and returns once the server is ready, after about
// five seconds. A start that fails or whose context ends leaves nothing behind;
// its error carries the last lines of the servers' logs. The caller must Stop
// the server.
func Start(ctx context.Context, o Options) (*Server, error) {
	assets, err := Assets(ctx, o.Progress)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "outrider-kube-")
	if err != nil {
		return nil, fmt.Errorf("start the API server: %w", err)
	}
	s := &Server{Dir: dir, assets: assets}
	if err := s.start(ctx, o); err != nil {
		logs := s.logTails()
		return nil, errors.Join(fmt.Errorf("start the API server: %w%s", err, logs), s.Stop())
	}
	return s, nil
}

// quiet sets the logger once: a caller may set its own afterwards.
var quiet sync.Once

func (s *Server) start(ctx context.Context, o Options) error {
	var err error
	if s.guard, err = startGuard(s.Dir); err != nil {
		return err
	}
	if s.env, err = s.environment(o); err != nil {
		return err
	}
	// Without a logger, controller-runtime prints a stack trace after 30 s.
	quiet.Do(func() { log.SetLogger(logr.Discard()) })
	if s.Config, err = s.env.Start(); err != nil {
		return err
	}
	// envtest cannot be interrupted; the wait for it is bounded by its timeout.
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.Client, err = kubernetes.NewForConfig(s.Config); err != nil {
		return err
	}
	s.Kubeconfig = filepath.Join(s.Dir, "kubeconfig")
	if err := os.WriteFile(s.Kubeconfig, s.env.KubeConfig, 0o600); err != nil {
		return err
	}
	// The default namespace is there already; it lacks what a controller makes.
	return s.addServiceAccount(ctx, metav1.NamespaceDefault)
}

// environment describes the servers to envtest.
func (s *Server) environment(o Options) (*envtest.Environment, error) {
	no := false // USE_EXISTING_CLUSTER must not send tests to another cluster
	env := &envtest.Environment{
		UseExistingCluster:       &no,
		ControlPlaneStartTimeout: time.Minute, // a start takes 5 s on an idle machine
		ControlPlaneStopTimeout:  time.Minute,
	}
	env.ControlPlane.KubectlPath = filepath.Join(s.assets, "kubectl")

	etcd := &envtest.Etcd{DataDir: filepath.Join(s.Dir, "etcd")}
	api := env.ControlPlane.GetAPIServer()
	api.CertDir = filepath.Join(s.Dir, "kube-apiserver")
	env.ControlPlane.Etcd = etcd
	for _, p := range []struct {
		name, dir string
		path      *string
		out, err  *io.Writer
	}{
		{"etcd", etcd.DataDir, &etcd.Path, &etcd.Out, &etcd.Err},
		{"kube-apiserver", api.CertDir, &api.Path, &api.Out, &api.Err},
	} {
		if err := os.Mkdir(p.dir, 0o700); err != nil {
			return nil, err
		}
		log, err := os.Create(filepath.Join(s.Dir, p.name+".log"))
		if err != nil {
			return nil, err
		}
		s.logs = append(s.logs, log)
		*p.out, *p.err = log, log
		if *p.path, err = wrap(s.Dir, filepath.Join(s.assets, p.name)); err != nil {
			return nil, err
		}
	}
	// envtest turns the ServiceAccount plugin off; with it on, an admitted pod
	// has the token volume that a pod has in a cluster.
	api.Configure().Disable("disable-admission-plugins")
	if o.Audit {
		policy := filepath.Join(s.Dir, "audit-policy.yaml")
		if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
			return nil, err
		}
		api.Configure().Set("audit-policy-file", policy).Set("audit-log-path", s.AuditLog())
	}
	for name, values := range o.APIServerFlags {
		api.Configure().Set(name, values...)
	}
	return env, nil
}

// auditPolicy logs each request once, and a watch when it starts.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
`

// AuditLog is the file with an event of audit.k8s.io a line, where Options.Audit is set.
func (s *Server) AuditLog() string { return filepath.Join(s.Dir, "audit.log") }

// Stop ends the servers, waits for them and removes Dir. Calls after the first
// return what the first returned.
func (s *Server) Stop() error {
	s.stop.Do(func() {
		var errs []error
		if s.env != nil {
			errs = append(errs, s.env.Stop())
		}
		for _, log := range s.logs {
			errs = append(errs, log.Close())
		}
		// A server that would not stop is left to the guard.
		if s.guard != nil && errors.Join(errs...) == nil {
			errs = append(errs, s.guard.dismiss())
		} else if s.guard != nil {
			errs = append(errs, s.guard.alive.Close(), s.guard.cmd.Wait())
		}
		errs = append(errs, os.RemoveAll(s.Dir))
		if err := errors.Join(errs...); err != nil {
			s.result = fmt.Errorf("stop the API server: %w", err)
		}
	})
	return s.result
}

// Kubectl returns a kubectl command line that talks to the server as Config
// does and keeps its caches in Dir. The caller sets the streams and runs it.
func (s *Server) Kubectl(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, s.KubectlPath(), args...)
	cmd.Env = append(os.Environ(),
		"KUBECONFIG="+s.Kubeconfig,
		"KUBECACHEDIR="+filepath.Join(s.Dir, "kubectl-cache"),
		"KUBERC=off") // a person's own kuberc file must not change what a test does
	return cmd
}

// KubectlPath is the path of the kubectl that came with the server.
func (s *Server) KubectlPath() string { return s.env.ControlPlane.KubectlPath }

// CreateNamespace makes a namespace with the given labels and, in it, the
// service account "default", without which no pod is admitted. In a cluster the
// controller manager makes that account.
func (s *Server) CreateNamespace(ctx context.Context, name string, labels map[string]string) error {
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	if _, err := s.Client.CoreV1().Namespaces().Create(ctx, ns, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create namespace %s: %w", name, err)
	}
	return s.addServiceAccount(ctx, name)
}

func (s *Server) addServiceAccount(ctx context.Context, namespace string) error {
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	if _, err := s.Client.CoreV1().ServiceAccounts(namespace).Create(ctx, sa, metav1.CreateOptions{}); err != nil {
		return fmt.Errorf("create service account %s/default: %w", namespace, err)
	}
	return nil
}

// logTails returns the last lines of each server's log, for an error message.
func (s *Server) logTails() string {
	const lines = 15
	var b strings.Builder
	for _, log := range s.logs {
		data, err := os.ReadFile(log.Name())
		if err != nil || len(data) == 0 {
			continue
		}
		all := bytes.Split(bytes.TrimRight(data, "\n"), []byte("\n"))
		tail := all[max(0, len(all)-lines):]
		fmt.Fprintf(&b, "\nlast lines of %s:\n%s", filepath.Base(log.Name()), bytes.Join(tail, []byte("\n")))
	}
	return b.String()
}
