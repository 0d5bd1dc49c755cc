package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	clusters "github.com/outrider-mesh/outrider/test/cluster"
	"github.com/outrider-mesh/outrider/test/mesh"
)

// The namespaces of the demo in a cluster of the user's: the second is that of a pod which
// the webhook must not inject.
const demoNamespace, demoByHand = "outrider-demo", "outrider-demo-by-hand"

// errDeclined is the answer no.
var errDeclined = errors.New("declined")

// onContext are the steps on a cluster of the user's: those on a cluster of our own but
// for the ones that send requests to the simulated internet.
var onContext = []step{
	{"Install Outrider on the cluster of the context", (*demo).installOnContext},
	before, after, ranges, edits, badEdit, override, badPod, misplaced, fromAsFile,
}

// useContext takes the cluster of a context, once it has been made sure that nothing there
// is in the way, and that the user agrees.
func (d *demo) useContext(ctx context.Context) error {
	config, err := clientcmd.NewDefaultClientConfigLoadingRules().Load()
	if err != nil {
		return fmt.Errorf("read the kubeconfig: %w", err)
	}
	name := d.context
	if name == "" {
		name = config.CurrentContext
	}
	if name == "" {
		return errors.New("the kubeconfig has no current context; set KUBECONFIG, or name a context: make demo ON=context CONTEXT=NAME")
	}
	progress := d.output(faint)
	defer progress.flush()
	m, err := mesh.BorrowPlain(ctx, name, progress)
	if err != nil {
		return err
	}
	d.mesh, d.root, d.work, d.namespace, d.byHand = m, m.Dir, m.Work, demoNamespace, demoByHand
	in, err := m.In(d.namespace)
	if err != nil {
		return err
	}
	d.env = append(in.Env(), "TMPDIR="+d.work)
	if err := d.connect(); err != nil {
		return err
	}
	if err := d.free(ctx); err != nil {
		return fmt.Errorf("use context %q: %w", name, err)
	}
	note, err := d.imageNote(ctx, name)
	if err != nil {
		return fmt.Errorf("use context %q: %w", name, err)
	}
	d.say("%s%s", announcement(name, config.Clusters[config.Contexts[name].Cluster].Server), note)
	if !d.yes {
		if err := ask(ctx, d.screen, d.in); err != nil {
			return err
		}
	}
	m.Installing()
	d.visiting = true
	return nil
}

// free fails where a namespace of the demo exists, or the user may not create what it needs.
func (d *demo) free(ctx context.Context) error {
	for _, name := range []string{d.namespace, d.byHand} {
		list, err := d.client.CoreV1().Namespaces().List(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
		if err != nil {
			return fmt.Errorf("list namespaces: %w", err)
		}
		if len(list.Items) > 0 {
			return fmt.Errorf("the cluster has namespace %s already, of a demo that runs or was killed; if it was killed, remove it: %s", name, undo)
		}
	}
	if err := d.silently(ctx, "kubectl auth can-i '*' '*' --all-namespaces", "yes"); err != nil {
		return fmt.Errorf("installing Outrider needs a cluster administrator: %w", err)
	}
	return nil
}

const undo = "outrider uninstall --yes; kubectl delete --ignore-not-found -f deploy/; kubectl delete --ignore-not-found namespace " + demoNamespace + " " + demoByHand

// own are the images that no registry has.
var own = []string{clusters.OutriderRef, clusters.OutriderInitRef}

// mostImages is how many images of a node the kubelet reports, the largest ones.
const mostImages = 50

// imageNote describes the images of the product that a node does not report, and how they
// get there. A node reports a new image up to a minute later, so that it is no error.
func (d *demo) imageNote(ctx context.Context, name string) (string, error) {
	nodes, err := d.client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", fmt.Errorf("list nodes: %w", err)
	}
	for i := range nodes.Items {
		n := &nodes.Items[i]
		if n.Spec.Unschedulable || len(n.Status.Images) >= mostImages {
			continue
		}
		if lacking := lackingImages(n, own); len(lacking) > 0 {
			arch := n.Status.NodeInfo.Architecture
			return fmt.Sprintf(`
Node %[1]s does not report the images %[2]s. No registry has them. Unless you
loaded them within the last minute, build them and load them:
  make image HUB=docker.io/outrider TAG=dev ARCHES=%[3]s
  for i in outrider outrider-init; do docker tag docker.io/outrider/$i:dev-%[3]s docker.io/outrider/$i:dev; done
  %[4]s
`, n.Name, strings.Join(lacking, " and "), arch, loading(name)), nil
		}
	}
	return "", nil
}

func lackingImages(n *corev1.Node, images []string) []string {
	return slices.DeleteFunc(slices.Clone(images), func(ref string) bool {
		return slices.ContainsFunc(n.Status.Images, func(i corev1.ContainerImage) bool { return slices.Contains(i.Names, ref) })
	})
}

// loading is how images get onto the nodes of the cluster that a tool has made, by which the
// name of its context begins.
func loading(name string) string {
	images := strings.Join(own, " ")
	for _, tool := range []struct{ prefix, command string }{
		{"kind-", "kind load docker-image " + images + " --name "},
		{"k3d-", "k3d image import " + images + " --cluster "},
	} {
		if cluster, ok := strings.CutPrefix(name, tool.prefix); ok {
			return tool.command + cluster
		}
	}
	if name == "minikube" {
		return "minikube image load " + images
	}
	return "(load them into the container runtime of each node, or see \"For another cluster\" in docs/getting-started.md)"
}

func announcement(name, server string) string {
	return fmt.Sprintf(`The demo will use the cluster of context %q, %s.

It creates, and removes when it ends, also on Ctrl-C:
  - namespace istio-system with Outrider, its cluster roles, webhook configurations, policy and definitions: deploy/
  - namespaces %s and %s, where the sample runs

Meanwhile only pods in %s are injected. The nodes pull curlimages/curl and %s from docker.io,
unless they have them. If the demo is killed, this removes what is left:
  %s
`, name, server, demoNamespace, demoByHand, demoNamespace, clusters.EnvoyRef, undo)
}

// ask asks whether to go on.
func ask(ctx context.Context, s *screen, in io.Reader) error {
	s.mu.Lock()
	_, _ = fmt.Fprint(s.w, "Continue? [y/N] ")
	s.mu.Unlock()
	answer := make(chan string, 1)
	go func() {
		text, _ := bufio.NewReader(in).ReadString('\n')
		answer <- text
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case text := <-answer:
		switch {
		case text == "":
			return errors.New("a cluster of yours is changed only if you agree, and there is no terminal to ask on; agree with YES=1: make demo ON=context YES=1")
		case !agrees(text):
			return errDeclined
		}
		return nil
	}
}

func agrees(text string) bool {
	return slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(text)))
}

// installOnContext installs the product as a user does.
func (d *demo) installOnContext(ctx context.Context) error {
	d.aside("$WORK below is %s; it is removed when the demo ends", d.work)
	if err := d.all(ctx, "kubectl get nodes -o wide", "kubectl create namespace "+d.namespace); err != nil {
		return err
	}
	return d.installProduct(ctx)
}

// leave removes the demo's namespaces from a cluster of the user's. What else there is of
// the demo, the mesh removes.
func (d *demo) leave() error {
	if !d.visiting {
		return nil
	}
	d.say("Removing what the demo has created from the cluster...")
	// A pod whose program ignores SIGTERM would take half a minute.
	return d.silently(context.Background(), "kubectl delete pods --all --grace-period=1 --wait=false && "+
		"kubectl delete --ignore-not-found --timeout=2m namespace "+d.namespace+" "+d.byHand)
}
