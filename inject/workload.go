package inject

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/jsontree"
	"github.com/outrider-mesh/outrider/internal/problem"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"
)

// Template is a pod template found in an object: the pod itself, or the
// template of a workload.
type Template struct {
	// Pointer is the JSON pointer of the object that holds "metadata" and "spec"
	// of the pod: "" for a Pod, "/spec/template" for a Deployment,
	// "/spec/jobTemplate/spec/template" for a CronJob.
	Pointer string
	// Owner is the object itself, as templates see it.
	Owner Owner
	// Namespace is the object's metadata.namespace, often empty in files.
	Namespace string
	// Annotations and Labels are those of the object's own metadata. For a workload they
	// have no effect on the pod; a warning reports it.
	Annotations, Labels map[string]string
	// Claims are the names of the workload's volumeClaimTemplates, as of a StatefulSet:
	// its controller adds a volume for each to its pods.
	Claims []string
	// Pod is the JSON to give to Injector.Inject as Request.Pod; nil where the object
	// has no template there, such as a patch that changes something else.
	Pod []byte
}

// Paths are the pod templates of custom kinds: for "Kind" or "group/Kind" the paths to
// them, as keys from the root of the object.
type Paths map[string][][]string

// templatePaths are the kinds that hold a pod template, by kind and API group,
// with the path to it. A CronJob's pods carry the metadata of its pod template,
// not of its job template.
var templatePaths = Paths{
	"Pod":                                {{}},
	"ReplicationController":              {{"spec", "template"}},
	"apps/ReplicaSet":                    {{"spec", "template"}},
	"apps/Deployment":                    {{"spec", "template"}},
	"apps/StatefulSet":                   {{"spec", "template"}},
	"apps/DaemonSet":                     {{"spec", "template"}},
	"extensions/ReplicaSet":              {{"spec", "template"}},
	"extensions/Deployment":              {{"spec", "template"}},
	"extensions/DaemonSet":               {{"spec", "template"}},
	"batch/Job":                          {{"spec", "template"}},
	"batch/CronJob":                      {{"spec", "jobTemplate", "spec", "template"}},
	"apps.openshift.io/DeploymentConfig": {{"spec", "template"}},
	"DeploymentConfig":                   {{"spec", "template"}}, // of OpenShift 3, in the core group
	rollout:                              {{"spec", "template"}},
}

// rollout is Argo's Rollout. It has a pod template, or refers in spec.workloadRef to a
// Deployment that has it.
const rollout = "argoproj.io/Rollout"

// ParsePath reads the pod-template path of a kind, in the form
// "KIND.GROUP=path.to.template", without ".GROUP" for the core group, into p.
func (p Paths) ParsePath(text string) error {
	const fix = "use KIND.GROUP=PATH, such as Service.serving.knative.dev=spec.template"
	name, path, ok := strings.Cut(text, "=")
	kind, group, _ := strings.Cut(name, ".")
	if !ok || !kindName.MatchString(kind) {
		return fmt.Errorf("%s: kind is required; %s", problem.Quote(text), fix)
	}
	keys := strings.Split(strings.TrimPrefix(path, "."), ".")
	if slices.Contains(keys, "") {
		return fmt.Errorf("%s: empty path or key; %s", problem.Quote(text), fix)
	}
	id := kind
	if group != "" {
		id = group + "/" + kind
	}
	if known, ok := templatePaths[id]; ok {
		return fmt.Errorf("%s: the pod-template path of %s is built in (%s); omit it", problem.Quote(text), kind, dotted(known[0]))
	}
	if !slices.ContainsFunc(p[id], func(other []string) bool { return slices.Equal(other, keys) }) {
		p[id] = append(p[id], keys)
	}
	return nil
}

var kindName = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)

// templateIDs are the built-in kinds, sorted.
var templateIDs = slices.Sorted(maps.Keys(templatePaths))

// Spelling corrects the API version and kind of an object that is not of a built-in
// kind, but close to one: "kind: Deployment", "apiVersion: apps/v1". It is empty where
// none is close, and for kinds of other API groups.
func Spelling(apiVersion, kind string) string {
	group, version, versioned := strings.Cut(apiVersion, "/")
	if !versioned {
		group, version = "", apiVersion
	}
	if strings.Contains(group, ".") {
		return ""
	}
	near := ""
	for _, id := range templateIDs {
		knownGroup, known, grouped := strings.Cut(id, "/")
		if !grouped {
			knownGroup, known = "", id
		}
		if !strings.EqualFold(known, kind) && !strings.EqualFold(known+"s", kind) {
			continue
		}
		switch {
		case known == kind && knownGroup == group:
			return ""
		case knownGroup == group && version != "":
			return "kind: " + known
		case near == "" && id != "DeploymentConfig":
			near = "apiVersion: " + firstVersion(knownGroup)
			if known != kind {
				near += ", kind: " + known
			}
		}
	}
	return near
}

// NearestKind corrects a kind that is close to a built-in one of its API group.
func NearestKind(apiVersion, kind string) string {
	group, _, versioned := strings.Cut(apiVersion, "/")
	var known []string
	for _, id := range templateIDs {
		knownGroup, name, grouped := strings.Cut(id, "/")
		if grouped && versioned && knownGroup == group {
			known = append(known, name)
		} else if !grouped && !versioned {
			known = append(known, id)
		}
	}
	if near := document.Nearest(kind, known); near != "" {
		return "kind: " + near
	}
	return ""
}

// firstVersion is the API version to write for a group of built-in kinds.
func firstVersion(group string) string {
	switch group {
	case "":
		return "v1"
	case "argoproj.io":
		return group + "/v1alpha1"
	}
	return group + "/v1"
}

func dotted(path []string) string {
	if len(path) == 0 {
		return "the object itself"
	}
	return strings.Join(path, ".")
}

// FindTemplate looks for the pod template in an object's JSON. It returns false for
// kinds without one, and for unknown kinds.
func FindTemplate(object []byte) (Template, bool, error) {
	found, err := FindTemplates(object, nil)
	if err != nil || len(found) == 0 || found[0].Pod == nil {
		return Template{}, false, err
	}
	return found[0], true, nil
}

// FindTemplates is FindTemplate for the kinds of more as well, which may have several.
func FindTemplates(object []byte, more Paths) ([]Template, error) {
	var meta metav1.PartialObjectMetadata
	err := kjson.UnmarshalCaseSensitivePreserveInts(object, &meta)
	if err != nil && (!json.Valid(object) || object[0] != '{') {
		return nil, reject(RejectedPod, decodeProblem("Kubernetes object", err))
	}
	group, _, versioned := strings.Cut(meta.APIVersion, "/")
	id := meta.Kind
	if versioned {
		id = group + "/" + meta.Kind
	}
	paths, known := templatePaths[id]
	if !known {
		paths = more[id]
	}
	switch {
	case len(paths) == 0:
		return nil, nil
	case err != nil:
		return nil, rejectObject(object, &meta, paths, err)
	}
	root := jsontree.Parse(string(object))
	if id == rollout && root.At("spec", "template") == nil && root.At("spec", "workloadRef") != nil {
		return nil, nil
	}
	var out []Template
	for _, path := range paths {
		t := Template{
			Owner:     Owner{APIVersion: meta.APIVersion, Kind: meta.Kind, Name: meta.Name},
			Namespace: meta.Namespace, Annotations: meta.Annotations, Labels: meta.Labels,
			Claims: claims(root),
		}
		node := root
		for i, key := range path {
			t.Pointer = string(jsontree.AppendPointer([]byte(t.Pointer), key))
			if node = node.Get(key); node.Kind() != jsontree.Object && node.Kind() != jsontree.Null {
				return nil, &Error{RejectedPod, problem.List{problem.Invalid(dotted(path[:i+1]), "", "must be an object", "")}, [][]string{path[:i+1]}}
			}
		}
		if node.Kind() == jsontree.Object {
			t.Pod = []byte(node.JSON())
		}
		out = append(out, t)
	}
	return out, nil
}

func claims(object *jsontree.Node) (names []string) {
	for _, claim := range object.At("spec", "volumeClaimTemplates").Items() {
		names = append(names, claim.At("metadata", "name").Text())
	}
	return names
}

// rejectObject rejects an object for the values of the wrong type in its own metadata and
// in its pod templates.
func rejectObject(object []byte, meta *metav1.PartialObjectMetadata, paths [][]string, err error) *Error {
	kind, resource, t := meta.APIVersion+" "+meta.Kind, strings.ToLower(meta.Kind), reflect.TypeFor[metav1.PartialObjectMetadata]()
	if len(paths[0]) == 0 {
		t = reflect.TypeFor[corev1.Pod]()
	}
	root := jsontree.Parse(string(object))
	faults := typeFaults(root, t, kind, resource)
	for _, path := range paths {
		if len(path) == 0 {
			continue
		}
		for _, f := range typeFaults(root.At(path...), reflect.TypeFor[corev1.Pod](), "v1 Pod", "pod") {
			f.place = slices.Concat(path, f.place)
			f.problem.Path = strings.TrimSuffix(dotted(path)+"."+f.problem.Path, ".")
			faults = append(faults, f)
		}
	}
	if len(faults) == 0 {
		return reject(RejectedPod, decodeProblem(kind, err))
	}
	return rejectFaults(faults)
}
