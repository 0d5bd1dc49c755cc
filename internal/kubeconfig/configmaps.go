package kubeconfig

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/outrider-mesh/outrider/config"
)

// Names are the ConfigMaps with the configuration. Those listed in Optional may be
// missing; the built-in defaults then apply, as in the webhook.
type Names struct {
	Namespace      string
	Injector, Mesh string
	Optional       []string
}

// Texts reads the configuration from the ConfigMaps, with the labels of the texts
// in messages. missing are the optional ConfigMaps that do not exist.
func Texts(ctx context.Context, client kubernetes.Interface, n Names) (t config.Texts, l config.Labels, missing []string, err error) {
	injector, err := n.get(ctx, client, n.Injector)
	if err != nil {
		return t, l, nil, err
	}
	mesh, err := n.get(ctx, client, n.Mesh)
	if err != nil {
		return t, l, nil, err
	}
	for _, c := range []struct {
		name string
		read *corev1.ConfigMap
	}{{n.Injector, injector}, {n.Mesh, mesh}} {
		if c.read == nil {
			missing = append(missing, c.name)
		}
	}
	labels := config.Location{Namespace: n.Namespace, Injector: n.Injector, Mesh: n.Mesh}.Labels()
	if injector != nil {
		t.Config, t.Values = injector.Data["config"], injector.Data["values"]
		l.Config, l.Values = labels.Config, labels.Values
	}
	if mesh != nil {
		t.Mesh, l.Mesh = mesh.Data["mesh"], labels.Mesh
	}
	return t, l, missing, nil
}

// get reads one ConfigMap; nil if an optional one does not exist.
func (n Names) get(ctx context.Context, client kubernetes.Interface, name string) (*corev1.ConfigMap, error) {
	found, err := client.CoreV1().ConfigMaps(n.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err == nil {
		return found, nil
	}
	if !apierrors.IsNotFound(err) {
		return nil, fmt.Errorf("get ConfigMap %s/%s: %w", n.Namespace, name, err)
	}
	for _, optional := range n.Optional {
		if optional == name {
			return nil, nil
		}
	}
	return nil, fmt.Errorf("get ConfigMap %s/%s: not found", n.Namespace, name)
}

// Version is the API server's version, such as "v1.37.2".
func Version(ctx context.Context, client kubernetes.Interface) (string, error) {
	v, err := client.Discovery().ServerVersion()
	if err != nil {
		return "", fmt.Errorf("get API server version: %w", err)
	}
	return v.GitVersion, ctx.Err()
}
