package annotation

import (
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// maxDocument bounds a document in an annotation: all annotations of an
// object together may have 256 KiB.
const maxDocument = 256 << 10

// ParseVolumes reads sidecar.istio.io/userVolume: a JSON mapping from volume
// name to the volume without its name, or a list of volumes. The result is
// sorted by name. The error holds every problem with its line and column.
func ParseVolumes(text string) ([]corev1.Volume, error) {
	const fix = `write {"NAME": {"emptyDir": {}}} with one volume source for each name`
	var out []corev1.Volume
	found := named(text, fix, func(n *document.Node, name, at string) problem.List {
		v := corev1.Volume{}
		bad := document.Object(n, at, &v)
		if len(bad) > 0 {
			return bad
		}
		if v.Name != "" && v.Name != name {
			return problem.List{n.Problem(at, "the volume's own name "+problem.Quote(v.Name)+" differs from its key", "keep one of the two")}
		}
		v.Name = name
		if k := sources(v.VolumeSource); k != 1 {
			return problem.List{n.Problem(at, fmt.Sprintf("%d volume sources where there must be exactly one", k), fix)}
		}
		out = append(out, v)
		return nil
	})
	if len(found) > 0 {
		return nil, found
	}
	slices.SortFunc(out, func(a, b corev1.Volume) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// sources counts the volume sources that are set.
func sources(s corev1.VolumeSource) int {
	v, n := reflect.ValueOf(s), 0
	for i := range v.NumField() {
		if !v.Field(i).IsZero() {
			n++
		}
	}
	return n
}

// ParseVolumeMounts reads sidecar.istio.io/userVolumeMount: a JSON mapping
// from volume name to the mount without its name, or a list of mounts. The
// result is sorted by name, then path.
func ParseVolumeMounts(text string) ([]corev1.VolumeMount, error) {
	const fix = `write {"NAME": {"mountPath": "/absolute/path"}}`
	var out []corev1.VolumeMount
	found := named(text, fix, func(n *document.Node, name, at string) problem.List {
		m := corev1.VolumeMount{}
		bad := document.Object(n, at, &m)
		if len(bad) > 0 {
			return bad
		}
		switch {
		case m.Name != "" && m.Name != name:
			return problem.List{n.Problem(at, "the mount's own name "+problem.Quote(m.Name)+" differs from its key", "keep one of the two")}
		case m.MountPath == "":
			return problem.List{n.Problem(at, "no mountPath", fix)}
		case !path.IsAbs(m.MountPath) || strings.Contains(m.MountPath, ":"):
			return problem.List{n.Problem(document.Join(at, "mountPath"), "must be an absolute path without a colon", fix)}
		case m.SubPath != "" && m.SubPathExpr != "":
			return problem.List{n.Problem(at, "both subPath and subPathExpr", "keep one of the two")}
		}
		m.Name = name
		out = append(out, m)
		return nil
	})
	if len(found) > 0 {
		return nil, found
	}
	slices.SortFunc(out, func(a, b corev1.VolumeMount) int {
		return strings.Compare(a.Name+"\x00"+a.MountPath, b.Name+"\x00"+b.MountPath)
	})
	return out, nil
}

// named walks a mapping from name to object, or a list of objects with names.
func named(text, fix string, each func(n *document.Node, name, at string) problem.List) problem.List {
	root, found := document.Load(text, maxDocument)
	if len(found) > 0 {
		return found
	}
	if root == nil {
		return problem.List{problem.Invalid("", "", "empty", fix+", or remove it")}
	}
	one := func(n *document.Node, name, at string) {
		switch bad := notLabel(name); {
		case n.Kind != document.Map:
			found = append(found, n.Problem(at, "must be a mapping", fix))
		case bad != "":
			found = append(found, invalid(name, "not a volume's name: "+bad, "").At(at).On(n.Line, n.Column))
		default:
			found = append(found, each(n, name, at)...)
		}
	}
	switch root.Kind {
	case document.Map:
		for _, f := range root.Fields {
			one(f.Value, f.Name, document.Join("", f.Name))
		}
	case document.List:
		for i, n := range root.Items {
			name, _ := n.Get("name").Any().(string)
			one(n, name, document.Index("", i))
		}
	default:
		found = append(found, root.Problem("", "must be a mapping", fix))
	}
	return found
}
