package annotation

import (
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// The API server's rules for the volumes and mounts that sidecars are given in practice.
// What it rejects in others, it rejects with the injected pod.

// sourceProblems are those of a volume's source. at is the volume's path.
func sourceProblems(at string, s *corev1.VolumeSource) problem.List {
	r := &rules{at: at + "."}
	switch {
	case s.Secret != nil:
		r.required("secret.secretName", s.Secret.SecretName)
		r.mode("secret.defaultMode", s.Secret.DefaultMode)
		r.items("secret.items", s.Secret.Items)
	case s.ConfigMap != nil:
		r.required("configMap.name", s.ConfigMap.Name)
		r.mode("configMap.defaultMode", s.ConfigMap.DefaultMode)
		r.items("configMap.items", s.ConfigMap.Items)
	case s.PersistentVolumeClaim != nil:
		r.required("persistentVolumeClaim.claimName", s.PersistentVolumeClaim.ClaimName)
	case s.HostPath != nil:
		r.hostPath(s.HostPath)
	case s.NFS != nil:
		r.required("nfs.server", s.NFS.Server)
		r.required("nfs.path", s.NFS.Path)
		if s.NFS.Path != "" && !path.IsAbs(s.NFS.Path) {
			r.Add(problem.Invalid(r.at+"nfs.path", s.NFS.Path, "must be an absolute path", ""))
		}
	case s.CSI != nil:
		r.required("csi.driver", s.CSI.Driver)
	case s.Image != nil:
		r.required("image.reference", s.Image.Reference)
	case s.Projected != nil:
		r.mode("projected.defaultMode", s.Projected.DefaultMode)
		for i := range s.Projected.Sources {
			r.projected(document.Index("projected.sources", i), &s.Projected.Sources[i])
		}
	case s.EmptyDir != nil && s.EmptyDir.SizeLimit != nil && s.EmptyDir.SizeLimit.Sign() < 0:
		r.Add(problem.Negative(r.at+"emptyDir.sizeLimit", s.EmptyDir.SizeLimit.String()))
	}
	return r.List
}

// rules collects the problems of the fields below a path.
type rules struct {
	at string // with the dot at its end
	problem.List
}

func (r *rules) required(field, value string) {
	if value == "" {
		r.Add(problem.Required(r.at+field, ""))
	}
}

func (r *rules) mode(field string, value *int32) {
	if value != nil && (*value < 0 || *value > 0o777) {
		r.Add(problem.Invalid(r.at+field, "", "must be a file mode from 0 to 511 (octal 777)", ""))
	}
}

func (r *rules) items(field string, list []corev1.KeyToPath) {
	for i := range list {
		item := document.Index(field, i)
		r.required(item+".key", list[i].Key)
		r.mode(item+".mode", list[i].Mode)
		r.Add(descending(r.at+item+".path", list[i].Path, true)...)
	}
}

var hostPathTypes = []string{"DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"}

func (r *rules) hostPath(s *corev1.HostPathVolumeSource) {
	r.required("hostPath.path", s.Path)
	if slices.Contains(strings.Split(s.Path, "/"), "..") {
		r.Add(problem.Invalid(r.at+"hostPath.path", s.Path, "must not contain \"..\"", ""))
	}
	if s.Type != nil && *s.Type != "" && !slices.Contains(hostPathTypes, string(*s.Type)) {
		r.Add(problem.NotSupported(r.at+"hostPath.type", string(*s.Type), hostPathTypes...))
	}
}

func (r *rules) projected(at string, s *corev1.VolumeProjection) {
	if set(*s) > 1 {
		r.Add(problem.Invalid(r.at+at, "", "must have one source only", "use one item for each source"))
	}
	if s.Secret != nil {
		r.required(at+".secret.name", s.Secret.Name)
		r.items(at+".secret.items", s.Secret.Items)
	}
	if s.ConfigMap != nil {
		r.required(at+".configMap.name", s.ConfigMap.Name)
		r.items(at+".configMap.items", s.ConfigMap.Items)
	}
	if s.ServiceAccountToken != nil {
		r.Add(descending(r.at+at+".serviceAccountToken.path", s.ServiceAccountToken.Path, true)...)
	}
}

// descending: a path within a volume does not leave it.
func descending(at, value string, required bool) problem.List {
	switch {
	case value == "" && required:
		return problem.List{problem.Required(at, "")}
	case path.IsAbs(value):
		return problem.List{problem.Invalid(at, value, "must be a relative path", "remove the leading /")}
	case slices.Contains(strings.Split(value, "/"), ".."):
		return problem.List{problem.Invalid(at, value, "must not contain \"..\"", "")}
	}
	return nil
}

// mountProblems are those of a mount.
func mountProblems(at string, m *corev1.VolumeMount) (out problem.List) {
	const pathFix = `use {"NAME": {"mountPath": "/absolute/path"}}`
	switch {
	case m.MountPath == "":
		out.Add(problem.Required(at+".mountPath", pathFix))
	case !path.IsAbs(m.MountPath) || strings.Contains(m.MountPath, ":"):
		out.Add(problem.Invalid(at+".mountPath", m.MountPath, "must be an absolute path without a colon", pathFix))
	}
	if m.SubPath != "" && m.SubPathExpr != "" {
		out.Add(problem.Conflict(at+".subPath", "", "subPathExpr", "remove one of the two"))
	}
	out.Add(descending(at+".subPath", m.SubPath, false)...)
	out.Add(descending(at+".subPathExpr", m.SubPathExpr, false)...)
	return append(out, modeProblems(at, m)...)
}

func modeProblems(at string, m *corev1.VolumeMount) (out problem.List) {
	propagation := corev1.MountPropagationNone
	if m.MountPropagation != nil {
		propagation = *m.MountPropagation
	}
	field := at + ".mountPropagation"
	switch propagation {
	case corev1.MountPropagationNone, corev1.MountPropagationHostToContainer, corev1.MountPropagationBidirectional:
	default:
		out.Add(problem.NotSupported(field, string(propagation), "None", "HostToContainer", "Bidirectional"))
	}
	if m.RecursiveReadOnly == nil {
		return out
	}
	field = at + ".recursiveReadOnly"
	switch mode := *m.RecursiveReadOnly; mode {
	case corev1.RecursiveReadOnlyDisabled:
	case corev1.RecursiveReadOnlyIfPossible, corev1.RecursiveReadOnlyEnabled:
		if !m.ReadOnly {
			out.Add(problem.Conflict(field, string(mode), "readOnly: false", "set readOnly: true"))
		}
		if propagation != corev1.MountPropagationNone {
			out.Add(problem.Conflict(field, string(mode), "mountPropagation "+string(propagation), "remove one of the two"))
		}
	default:
		out.Add(problem.NotSupported(field, string(mode), "Disabled", "IfPossible", "Enabled"))
	}
	return out
}
