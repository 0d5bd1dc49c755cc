package annotation

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

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
	const fix = `use {"NAME": {"emptyDir": {}}} with one volume source for each name`
	return objects[corev1.Volume]{
		fix:  fix,
		name: func(v *corev1.Volume) *string { return &v.Name },
		check: func(n *document.Node, at string, v *corev1.Volume) problem.List {
			if k := set(v.VolumeSource); k != 1 {
				return problem.List{n.Problem(at, fmt.Sprintf("must have exactly one volume source, has %d", k), fix)}
			}
			return located(n, sourceProblems(at, &v.VolumeSource))
		},
		unique:  true,
		compare: func(a, b corev1.Volume) int { return strings.Compare(a.Name, b.Name) },
	}.parse(text)
}

// set counts the fields of a struct that are set, such as the sources of a volume.
func set(s any) int {
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
	const fix = `use {"NAME": {"mountPath": "/absolute/path"}}`
	return objects[corev1.VolumeMount]{
		fix:  fix,
		name: func(m *corev1.VolumeMount) *string { return &m.Name },
		check: func(n *document.Node, at string, m *corev1.VolumeMount) problem.List {
			return located(n, mountProblems(at, m))
		},
		compare: func(a, b corev1.VolumeMount) int {
			return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.MountPath, b.MountPath))
		},
	}.parse(text)
}

// objects reads a mapping from name to object, or a list of objects with names.
type objects[T any] struct {
	fix     string // shows the form
	name    func(*T) *string
	check   func(n *document.Node, at string, object *T) problem.List
	compare func(a, b T) int
	unique  bool // no two of a name
}

// located puts problems at the line and column of a value.
func located(n *document.Node, problems problem.List) problem.List {
	for i := range problems {
		problems[i] = n.Locate(problems[i])
	}
	return problems
}

func (o objects[T]) parse(text string) ([]T, error) {
	root, found := document.Load(text, maxDocument)
	if len(found) > 0 {
		return nil, found
	}
	if root == nil {
		return nil, problem.Invalid("", "", "empty", o.fix+", or remove it")
	}
	var out []T
	names := map[string]bool{}
	add := func(n *document.Node, name, at string) {
		if o.unique && names[name] {
			found.Add(n.Locate(problem.Duplicate(document.Join(at, "name"), name, "volume name")))
			return
		}
		names[name] = true
		object := new(T)
		if ps := o.object(n, name, at, object); len(ps) > 0 {
			found.Add(ps...)
			return
		}
		*o.name(object) = name
		out = append(out, *object)
	}
	switch root.Kind {
	case document.Map:
		for _, f := range root.Fields {
			add(f.Value, f.Name, document.Join("", f.Name))
		}
	case document.List:
		for i, n := range root.Items {
			name, _ := n.Get("name").Any().(string)
			add(n, name, document.Index("", i))
		}
	default:
		found.Add(root.Problem("", "must be a mapping", o.fix))
	}
	if len(found) > 0 {
		return nil, found
	}
	slices.SortFunc(out, o.compare)
	return out, nil
}

func (o objects[T]) object(n *document.Node, name, at string, object *T) problem.List {
	if n.Kind != document.Map {
		return problem.List{n.Problem(at, "must be a mapping", o.fix)}
	}
	if bad := validation.IsDNS1123Label(name); len(bad) > 0 {
		return problem.List{invalid(name, "invalid volume name: "+bad[0], "").At(at).On(n.Line, n.Column)}
	}
	if ps := document.Object(n, at, object); len(ps) > 0 {
		return ps
	}
	if own := *o.name(object); own != "" && own != name {
		return problem.List{n.Problem(at, "name "+problem.Quote(own)+" differs from its key", "remove one of the two")}
	}
	return o.check(n, at, object)
}
