package serve

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/deploy/crds"
)

// definitionsRetryLimit is the longest pause between two tries.
const definitionsRetryLimit = time.Minute

// definitions creates the CustomResourceDefinitions that the cluster lacks, when
// the program starts. One that is there is left as it is, whoever made it: it
// may be Istio's, and of another version than ours. Every replica does this, for
// the API server itself lets only one create.
type definitions struct {
	client dynamic.ResourceInterface
	log    logr.Logger
}

func newDefinitions(mgr manager.Manager, log logr.Logger) (*definitions, error) {
	client, err := dynamic.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("make a client for CustomResourceDefinitions: %w", err)
	}
	resource := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	return &definitions{client.Resource(resource), log}, nil
}

// NeedLeaderElection tells the manager that every replica does this.
func (d *definitions) NeedLeaderElection() bool { return false }

// Start tries until all definitions are there or ctx ends. Injection works
// without them, so nothing waits for this.
func (d *definitions) Start(ctx context.Context) error {
	wanted, err := embeddedDefinitions()
	if err != nil {
		return err
	}
	for retry := retryAfter; ; retry = min(2*retry, definitionsRetryLimit) {
		wanted = slices.DeleteFunc(wanted, func(w *unstructured.Unstructured) bool {
			err := d.ensure(ctx, w)
			if err != nil && ctx.Err() == nil {
				d.log.Error(err, "the cluster has no definition of this kind yet, trying again", "after", retry.String(), "or", "kubectl create -f deploy/crds/")
			}
			return err == nil
		})
		if len(wanted) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(retry):
		}
	}
}

// ensure creates a definition, or finds one of its name.
func (d *definitions) ensure(ctx context.Context, wanted *unstructured.Unstructured) error {
	name := wanted.GetName()
	got, err := d.client.Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		if _, err = d.client.Create(ctx, wanted, metav1.CreateOptions{FieldManager: "outrider"}); apierrors.IsAlreadyExists(err) {
			return d.ensure(ctx, wanted) // somebody was faster
		} else if err != nil {
			return fmt.Errorf("create CustomResourceDefinition %s: %w", name, err)
		}
		d.log.Info("CustomResourceDefinition created", "name", name)
		return nil
	case err != nil:
		return fmt.Errorf("look for CustomResourceDefinition %s: %w", name, err)
	case got.GetDeletionTimestamp() != nil:
		return fmt.Errorf("CustomResourceDefinition %s is being deleted", name)
	}
	d.log.Info("CustomResourceDefinition found and left as it is", "name", name)
	if missing := lacks(got, wanted); len(missing) > 0 {
		d.log.Error(nil, "the CustomResourceDefinition that was found lacks what Outrider uses; update it where it came from", "name", name, "missing", missing)
	}
	return nil
}

// lacks lists what a definition has and the one found has not: versions that
// are served, and the status subresource in them.
func lacks(found, wanted *unstructured.Unstructured) (missing []string) {
	have := features(found)
	for _, f := range features(wanted) {
		if !slices.Contains(have, f) {
			missing = append(missing, f)
		}
	}
	return missing
}

func features(definition *unstructured.Unstructured) (out []string) {
	versions, _, _ := unstructured.NestedSlice(definition.Object, "spec", "versions")
	for _, v := range versions {
		version, _ := v.(map[string]any)
		if served, _ := version["served"].(bool); !served {
			continue
		}
		name := fmt.Sprint(version["name"])
		out = append(out, "version "+name)
		if _, ok, _ := unstructured.NestedMap(version, "subresources", "status"); ok {
			out = append(out, "status of "+name)
		}
	}
	return out
}

func embeddedDefinitions() (out []*unstructured.Unstructured, err error) {
	names, err := fs.Glob(crds.Files, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list the definitions: %w", err)
	}
	for _, name := range names {
		text, err := crds.Files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read a definition: %w", err)
		}
		object := map[string]any{}
		if err := yaml.Unmarshal(text, &object); err != nil {
			return nil, fmt.Errorf("read definition %s: %w", name, err)
		}
		out = append(out, &unstructured.Unstructured{Object: object})
	}
	return out, nil
}
