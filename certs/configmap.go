package certs

import (
	"maps"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The keys of ConfigMap outrider-ca, and where the pod mounts them, beside its
// token: see volume outrider-xds in templates/sidecar.yaml.
const (
	keyBundle   = "ca.pem"
	keySDSCA    = "sds-ca.yaml"
	keySDSToken = "sds-token.yaml"
	mountPath   = "/var/run/secrets/outrider"
)

// The static SDS files configure Envoy to read the CA bundle and the token from
// files, and to reload them when the kubelet swaps the directory. A file has one
// resource: Envoy rejects a file with two.
const (
	sdsCA = `resources:
- "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
  name: xds-ca
  validation_context: {trusted_ca: {filename: ` + mountPath + `/ca.pem}, watched_directory: {path: ` + mountPath + `}}
`
	sdsToken = `resources:
- "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
  name: xds-token
  generic_secret: {secret: {filename: ` + mountPath + `/token}}
`
)

// configMapData is what the sidecars of a namespace need to verify their control
// plane and to authenticate.
func configMapData(bundle []byte) map[string]string {
	return map[string]string{keyBundle: string(bundle), keySDSCA: sdsCA, keySDSToken: sdsToken}
}

// change is one write that brings a ConfigMap to its desired state.
type change struct {
	operation operationKind
	object    *corev1.ConfigMap
}

type operationKind string

const (
	create operationKind = "create"
	update operationKind = "update"
	remove operationKind = "delete"
)

// plan compares the existing ConfigMaps, by namespace, with the selected
// namespaces. conflicts are the namespaces whose ConfigMap of that name is not
// managed by this installation; those are never written or deleted.
func plan(o *Options, wanted map[string]bool, have map[string]*corev1.ConfigMap, bundle []byte) (changes []change, conflicts []string) {
	data := configMapData(bundle)
	for _, namespace := range sorted(wanted) {
		old := have[namespace]
		switch {
		case old == nil:
			changes = append(changes, change{create, &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{Name: o.name(ConfigMapName), Namespace: namespace, Labels: o.ownLabels()}, Data: data,
			}})
		case !o.owns(old.Labels):
			conflicts = append(conflicts, namespace)
		case !maps.Equal(old.Data, data) || len(old.BinaryData) > 0:
			next := old.DeepCopy()
			next.Data, next.BinaryData = data, nil
			changes = append(changes, change{update, next})
		}
	}
	for _, namespace := range sorted(have) {
		if old := have[namespace]; !wanted[namespace] && o.owns(old.Labels) {
			changes = append(changes, change{remove, old})
		}
	}
	return changes, conflicts
}

// mounts reports whether the pod has the ConfigMap in a volume, and may still run.
func mounts(p *corev1.Pod, configMap string) bool {
	if p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed {
		return false
	}
	for _, v := range p.Spec.Volumes {
		if v.ConfigMap != nil && v.ConfigMap.Name == configMap {
			return true
		}
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if s.ConfigMap != nil && s.ConfigMap.Name == configMap {
				return true
			}
		}
	}
	return false
}
