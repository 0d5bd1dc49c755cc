package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/outrider-mesh/outrider/inject/stream"
)

const kubeInjectLong = `Inject the sidecar into the pods and pod templates of manifests, without a
cluster. The result is the one the webhook gives with the same configuration.

Documents that are not injected come out byte for byte; in the others only the
injected parts change. Pod, Deployment, ReplicaSet, StatefulSet, DaemonSet,
ReplicationController, Job, CronJob, DeploymentConfig and Lists of them are
injected, everything else passes. What is skipped, and why, is said on standard
error. On any error nothing is written.`

const kubeInjectExample = `  # Inject a manifest and apply it
  outrider kube-inject -f deployment.yaml | kubectl apply -f -

  # With the configuration of a cluster
  kubectl -n istio-system get configmap istio-sidecar-injector -o=jsonpath='{.data.config}' > config.yaml
  kubectl -n istio-system get configmap istio-sidecar-injector -o=jsonpath='{.data.values}' > values.json
  kubectl -n istio-system get configmap istio -o=jsonpath='{.data.mesh}' > mesh.yaml
  outrider kube-inject -f deployment.yaml \
    --injectConfigFile config.yaml --valuesFile values.json --meshConfigFile mesh.yaml`

// injectOptions are the flags of kube-inject.
type injectOptions struct {
	files                 []string
	output, namespace     string
	config, values, mesh  string
	revision, kubeVersion string
}

func kubeInjectCommand(stdio stdio) *cobra.Command {
	var o injectOptions
	cmd := &cobra.Command{
		Use:     "kube-inject -f FILE",
		Short:   "Inject the sidecar into manifests",
		Long:    kubeInjectLong,
		Example: kubeInjectExample,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(o.files) == 0 {
				return usagef("no input: give -f FILE, or -f - for standard input")
			}
			frugal()
			return interruptible(cmd.Context(), func(ctx context.Context) error { return kubeInject(ctx, o, stdio) })
		},
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.files, "filename", "f", nil, "manifest to inject, YAML or JSON; - is standard input; may be repeated")
	f.StringVarP(&o.output, "output", "o", "", "file for the result, replaced only when all is well; default standard output")
	f.StringVar(&o.config, "injectConfigFile", "", "injection configuration: the value of key config of ConfigMap istio-sidecar-injector; default built in")
	f.StringVar(&o.values, "valuesFile", "", "injection values: the value of key values of ConfigMap istio-sidecar-injector; default built in")
	f.StringVar(&o.mesh, "meshConfigFile", "", "mesh configuration: the value of key mesh of ConfigMap istio; default built in")
	f.StringVar(&o.kubeVersion, "kubernetes-version", "", "version of the cluster that the manifests are for, such as 1.37; default one with native sidecars")
	f.StringVarP(&o.namespace, "namespace", "n", "", "namespace of objects that name none")
	f.StringVarP(&o.revision, "revision", "r", "", "revision that the pods belong to; default the one in the values")
	return cmd
}

// interruptible runs work, but returns when the context ends first: a read from
// a terminal or pipe cannot be cut short.
func interruptible(ctx context.Context, work func(context.Context) error) error {
	done := make(chan error, 1)
	go func() { done <- work(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return errors.New("interrupted; nothing was written")
	}
}

// kubeInject injects the files one after the other into one output.
func kubeInject(ctx context.Context, o injectOptions, stdio stdio) error {
	injector, err := compile(o, stdio.err)
	if err != nil {
		return err
	}
	out, err := newSpool(o.output, stdio.out)
	if err != nil {
		return err
	}
	defer out.discard()
	var failed []error
	for _, file := range o.files {
		r, name, err := openInput(file, stdio.in)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		report, err := stream.Transform(r, &joiner{w: out}, stream.Options{
			Injector: injector, File: name, Namespace: o.namespace, Workers: workers(),
			Each: func(object stream.Object) { tell(stdio.err, name, object) },
		})
		_ = r.Close()
		if report.Injected+report.Skipped == 0 && err == nil {
			fmt.Fprintf(stdio.err, "%s: nothing to inject: no document holds a pod or a pod template of a known kind\n", name)
		}
		if err != nil {
			failed = append(failed, inFile(name, err))
		}
	}
	if len(failed) > 0 {
		return fmt.Errorf("%w\nnothing was written", errors.Join(failed...))
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return out.commit()
}

// maxWorkers bounds the documents in work at a time: each worker keeps the
// memory of one document, and writing in order is one thread's work.
const maxWorkers = 4

func workers() int { return min(runtime.GOMAXPROCS(0), maxWorkers) }

// frugal trades a tenth of the speed for memory: what is alive is some 8 MB
// however long the stream is, so collecting at half as much again instead of
// twice as much keeps 1,000 Deployments in about 50 MB, most of it the program
// itself. Whoever sets GOGC decides otherwise.
func frugal() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
}

// inFile names the file in errors that do not name it themselves.
func inFile(name string, err error) error {
	var problems *stream.Error
	if errors.As(err, &problems) {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}

// openInput opens a file, or standard input for "-", and says what to call it.
func openInput(file string, in io.Reader) (io.ReadCloser, string, error) {
	if file == "-" {
		return io.NopCloser(in), "standard input", nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, "", fmt.Errorf("-f %s: %w", file, cause(err))
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		_ = f.Close()
		return nil, "", fmt.Errorf("-f %s: is a directory; name its files, each with -f", file)
	}
	return f, file, nil
}

// cause is an error of the file system without the path, which the message has.
func cause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// tell says why an object is skipped or stays, and its warnings.
func tell(w io.Writer, file string, object stream.Object) {
	at := fmt.Sprintf("%s: document %d (%s)", file, object.Document, object)
	switch {
	case !object.Decision.Inject:
		fmt.Fprintf(w, "%s: skipped: %s\n", at, object.Decision.Sentence)
	case !object.Changed:
		fmt.Fprintf(w, "%s: unchanged: injected already, with this configuration\n", at)
	}
	for _, warning := range object.Warnings {
		fmt.Fprintf(w, "%s: warning: %s\n", at, warning)
	}
}

// joiner puts a separator before a stream that follows another one.
type joiner struct {
	w       *spool
	started bool
}

func (j *joiner) Write(p []byte) (int, error) {
	if !j.started && len(p) > 0 {
		j.started = true
		if j.w.size > 0 {
			separator := ""
			if j.w.last != '\n' {
				separator = "\n"
			}
			if !bytes.HasPrefix(p, []byte("---")) {
				separator += "---\n"
			}
			if _, err := j.w.Write([]byte(separator)); err != nil {
				return 0, err
			}
		}
	}
	return j.w.Write(p)
}
