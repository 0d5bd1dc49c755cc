// Package install creates the CustomResourceDefinitions that the cluster lacks
// when the program starts. An existing one is kept unchanged, regardless of who created
// it: it may be Istio's, and of another version than ours. Every replica does
// this; the API server accepts only one create.
package install

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

// The pause between two attempts doubles from the first to the limit.
const (
	firstRetry = 2 * time.Second
	retryLimit = time.Minute
)

// Installer is a controller-runtime Runnable that creates missing CRDs.
type Installer struct {
	client dynamic.ResourceInterface
	skip   bool
	log    logr.Logger
}

// New returns an Installer that uses the manager's client configuration. The
// caller adds it to the manager. With skip it creates nothing.
func New(mgr manager.Manager, skip bool, log logr.Logger) (*Installer, error) {
	client, err := dynamic.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return nil, fmt.Errorf("create CustomResourceDefinition client: %w", err)
	}
	resource := schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}
	return &Installer{client.Resource(resource), skip, log}, nil
}

// NeedLeaderElection reports false: every replica runs the Installer.
func (i *Installer) NeedLeaderElection() bool { return false }

// Start retries until every CRD exists or ctx is done. Injection works without
// them, so nothing waits for this.
func (i *Installer) Start(ctx context.Context) error {
	if i.skip {
		return nil
	}
	wanted, err := embedded()
	if err != nil {
		return err
	}
	for retry := firstRetry; ; retry = min(2*retry, retryLimit) {
		wanted = slices.DeleteFunc(wanted, func(w *unstructured.Unstructured) bool {
			err := i.ensure(ctx, w)
			if err != nil && ctx.Err() == nil {
				i.log.Error(err, "CRD not installed yet, retrying", "name", w.GetName(), "after", retry.String(), "manually", "kubectl create -f deploy/crds/")
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

// ensure creates a CRD unless one of its name exists.
func (i *Installer) ensure(ctx context.Context, wanted *unstructured.Unstructured) error {
	name := wanted.GetName()
	got, err := i.client.Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		if _, err = i.client.Create(ctx, wanted, metav1.CreateOptions{FieldManager: "outrider"}); apierrors.IsAlreadyExists(err) {
			return i.ensure(ctx, wanted) // another replica was faster
		} else if err != nil {
			return fmt.Errorf("create CustomResourceDefinition %s: %w", name, err)
		}
		i.log.Info("CustomResourceDefinition created", "name", name)
		return nil
	case err != nil:
		return fmt.Errorf("get CustomResourceDefinition %s: %w", name, err)
	case got.GetDeletionTimestamp() != nil:
		return fmt.Errorf("CustomResourceDefinition %s is being deleted", name)
	}
	i.log.Info("existing CustomResourceDefinition kept", "name", name)
	if missing := missingFeatures(got, wanted); len(missing) > 0 {
		i.log.Error(nil, "existing CustomResourceDefinition lacks features that Outrider uses; update it", "name", name, "missing", missing)
	}
	return nil
}

// missingFeatures lists the features of the wanted CRD that the existing one
// lacks: served versions, and their status subresource.
func missingFeatures(existing, wanted *unstructured.Unstructured) (missing []string) {
	have := features(existing)
	for _, f := range features(wanted) {
		if !slices.Contains(have, f) {
			missing = append(missing, f)
		}
	}
	return missing
}

func features(crd *unstructured.Unstructured) (out []string) {
	versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
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

func embedded() (out []*unstructured.Unstructured, err error) {
	names, err := fs.Glob(crds.Files, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list embedded CustomResourceDefinitions: %w", err)
	}
	for _, name := range names {
		text, err := crds.Files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read embedded CustomResourceDefinition: %w", err)
		}
		object := map[string]any{}
		if err := yaml.Unmarshal(text, &object); err != nil {
			return nil, fmt.Errorf("parse embedded CustomResourceDefinition %s: %w", name, err)
		}
		out = append(out, &unstructured.Unstructured{Object: object})
	}
	return out, nil
}
