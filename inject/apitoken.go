package inject

import (
	"path"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/internal/jsontree"

	corev1 "k8s.io/api/core/v1"
)

// The API server mounts the pod's API token at apiTokenPath into every container that
// mounts nothing at exactly this path, before it calls webhooks and again after them. Its
// volume has a name with this prefix.
const (
	apiTokenPath   = "/var/run/secrets/kubernetes.io/serviceaccount"
	apiTokenVolume = "kube-api-access-"
)

// mountsAPIToken reports whether one of the mounts is at the path of the API token.
func mountsAPIToken(mounts []corev1.VolumeMount) bool {
	return slices.ContainsFunc(mounts, func(m corev1.VolumeMount) bool { return path.Clean(m.MountPath) == apiTokenPath })
}

// withoutAPIToken is the patch of an injected container without the mount that the API
// server has added to it, where the base has another one: that is not a choice of the
// user's, and a manifest does not have it. A volume of the user's own at this path stays.
func withoutAPIToken(base, patch *jsontree.Node) *jsontree.Node {
	at := func(container *jsontree.Node) int {
		return indexBy(container.Get("volumeMounts").Items(), "mountPath", jsontree.NewString(apiTokenPath))
	}
	i := at(patch)
	if i < 0 || at(base) < 0 {
		return patch
	}
	mounts := patch.Get("volumeMounts").Items()
	if !strings.HasPrefix(mounts[i].Get("name").Text(), apiTokenVolume) {
		return patch
	}
	return patch.With("volumeMounts", jsontree.NewArray(slices.Delete(slices.Clone(mounts), i, i+1)...))
}
