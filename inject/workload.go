package inject

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/jsontree"
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
	// Annotations and Labels are those of the object's own metadata. For a
	// workload they have no effect on the pod, which is worth a warning.
	Annotations, Labels map[string]string
	// Pod is the JSON to give to Injector.Inject as Request.Pod.
	Pod []byte
}

// Paths are pod templates of kinds that are not built in: for "Kind" or
// "group/Kind" the paths to them, as keys from the root of the object.
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
	rollout:                              {{"spec", "template"}},
}

// rollout is Argo's Rollout. It has a pod template, or names in spec.workloadRef
// a Deployment that has it.
const rollout = "argoproj.io/Rollout"

// ParsePath reads where a kind has its pod template, written
// "KIND.GROUP=path.to.template", without ".GROUP" for the core group, into p.
func (p Paths) ParsePath(text string) error {
	const fix = "write KIND.GROUP=PATH, such as Service.serving.knative.dev=spec.template"
	name, path, ok := strings.Cut(text, "=")
	kind, group, _ := strings.Cut(name, ".")
	if !ok || !kindName.MatchString(kind) {
		return fmt.Errorf("%q names no kind; %s", cut(text), fix)
	}
	keys := strings.Split(strings.TrimPrefix(path, "."), ".")
	if slices.Contains(keys, "") {
		return fmt.Errorf("%q: the path is empty, or a key in it is; %s", cut(text), fix)
	}
	id := kind
	if group != "" {
		id = group + "/" + kind
	}
	if known, ok := templatePaths[id]; ok {
		return fmt.Errorf("%q: the pod template of a %s is known: %s; leave it out", cut(text), kind, dotted(known[0]))
	}
	if !slices.ContainsFunc(p[id], func(other []string) bool { return slices.Equal(other, keys) }) {
		p[id] = append(p[id], keys)
	}
	return nil
}

var kindName = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)

func dotted(path []string) string {
	if len(path) == 0 {
		return "the object itself"
	}
	return strings.Join(path, ".")
}

// FindTemplate looks for the pod template in an object's JSON. It returns false
// for kinds that hold none, or none that is known.
func FindTemplate(object []byte) (Template, bool, error) {
	found, err := FindTemplates(object, nil)
	if err != nil || len(found) == 0 {
		return Template{}, false, err
	}
	return found[0], true, nil
}

// FindTemplates is FindTemplate for the kinds of more as well, which may hold
// several.
func FindTemplates(object []byte, more Paths) ([]Template, error) {
	var meta metav1.PartialObjectMetadata
	err := kjson.UnmarshalCaseSensitivePreserveInts(object, &meta)
	if err != nil && !typeFault.MatchString(err.Error()) {
		return nil, refuse(RefusedPod, "object: "+decodeFault("object", err))
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
	case err != nil && id == "Pod":
		return nil, refuse(RefusedPod, noPod(err))
	case err != nil:
		return nil, refuse(RefusedPod, fmt.Sprintf("the object is no %s %s: %s", meta.APIVersion, meta.Kind, decodeFault(strings.ToLower(meta.Kind), err)))
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
		}
		node := root
		for _, key := range path {
			t.Pointer = string(jsontree.AppendPointer([]byte(t.Pointer), key))
			node = node.Get(key)
		}
		if node.Kind() != jsontree.Object {
			return nil, refuse(RefusedPod, fmt.Sprintf("%s %q: %s is missing or no object; a %s needs a pod template there",
				meta.Kind, meta.Name, dotted(path), meta.Kind))
		}
		t.Pod = []byte(node.JSON())
		out = append(out, t)
	}
	return out, nil
}

// ownerOf returns the workload behind a pod: what the caller says, unless that
// is the pod itself, else the controller, else the pod. What controls the
// controller is guessed as Istio does it, from what Kubernetes writes: a
// Deployment or an Argo Rollout from its ReplicaSet's hash, a CronJob from its
// Job's time stamp, a DeploymentConfig from the label on its pods.
func ownerOf(pod *corev1.Pod, r Request) Owner {
	if r.Owner != (Owner{}) && r.Owner.Kind != "Pod" {
		return r.Owner
	}
	ref := metav1.GetControllerOfNoCopy(pod)
	if ref == nil {
		return Owner{"v1", "Pod", pod.Name}
	}
	switch ref.Kind {
	case "ReplicaSet":
		hash := pod.Labels["pod-template-hash"]
		if name, ok := strings.CutSuffix(ref.Name, "-"+hash); ok && hash != "" {
			return Owner{"apps/v1", "Deployment", name}
		}
		hash = pod.Labels["rollouts-pod-template-hash"]
		if name, ok := strings.CutSuffix(ref.Name, "-"+hash); ok && hash != "" {
			return Owner{"argoproj.io/v1alpha1", "Rollout", name}
		}
	case "Job":
		if m := cronJobName.FindStringSubmatch(ref.Name); m != nil {
			return Owner{"batch/v1", "CronJob", m[1]}
		}
	case "ReplicationController":
		if name := pod.Labels["deploymentconfig"]; name != "" {
			return Owner{"apps.openshift.io/v1", "DeploymentConfig", name}
		}
	}
	return Owner{ref.APIVersion, ref.Kind, ref.Name}
}

// cronJobName takes the time, in minutes, from the name of a CronJob's Job.
var cronJobName = regexp.MustCompile(`^(.+)-\d{8,10}$`)

// ReviewWorkload is what the person who applies a workload should know about
// the pods it will make; that person never sees the pods' own warnings. It runs
// the same functions on the pod template. namespace and its annotations are
// those of the request.
func (i *Injector) ReviewWorkload(object []byte, namespace string, namespaceAnnotations map[string]string) []string {
	t, ok, err := FindTemplate(object)
	if err != nil {
		return problemsOf(err)
	}
	if !ok {
		return nil
	}
	return i.Review(&t, namespace, namespaceAnnotations)
}

// Review is ReviewWorkload for a template that was found already; nil for a pod.
func (i *Injector) Review(t *Template, namespace string, namespaceAnnotations map[string]string) []string {
	if t.Pointer == "" {
		return nil
	}
	out := annotationWarnings(annotation.CheckPlace(annotation.OnWorkload, t.Owner.Kind, t.Annotations, t.Labels))
	result, err := i.Inject(Request{Pod: t.Pod, Namespace: namespace, NamespaceAnnotations: namespaceAnnotations, Owner: t.Owner})
	switch {
	case err != nil:
		for _, p := range problemsOf(err) {
			out = append(out, "its pods will be refused: "+p)
		}
	default:
		out = append(out, result.Warnings...)
		out = append(out, doubtfulSkip(result.Decision, t)...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// doubtfulSkip says when pods are skipped although somebody configured them.
func doubtfulSkip(d Decision, t *Template) []string {
	if d.Inject || d.Reason == ReasonLabelFalse || d.Reason == ReasonAnnotationFalse {
		return nil
	}
	var pod struct {
		Metadata struct {
			Annotations map[string]string `json:"annotations"`
			Labels      map[string]string `json:"labels"`
		} `json:"metadata"`
	}
	if json.Unmarshal(t.Pod, &pod) != nil {
		return nil
	}
	for _, name := range slices.Sorted(keysOf(pod.Metadata.Annotations, pod.Metadata.Labels)) {
		if row, ok := annotation.Lookup(name); ok && row.Support == annotation.Supported && row.Places&annotation.OnPod != 0 {
			return []string{fmt.Sprintf("its pods get no sidecar, so %s has no effect: %s", name, d.Sentence)}
		}
	}
	return nil
}

func keysOf(maps ...map[string]string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for _, m := range maps {
			for k := range m {
				if !yield(k) {
					return
				}
			}
		}
	}
}

func problemsOf(err error) []string {
	var e *Error
	if errors.As(err, &e) {
		return e.Problems
	}
	return []string{err.Error()}
}
