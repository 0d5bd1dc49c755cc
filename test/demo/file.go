package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// injectFile injects the sample's file and holds the result against the
// webhook's, both as the API server completes them.
func (d *demo) injectFile(ctx context.Context) error {
	const configMap = "kubectl -n istio-system get configmap "
	err := d.all(ctx,
		configMap+`istio-sidecar-injector -o jsonpath='{.data.config}' > "$WORK/config.yaml"`,
		configMap+`istio-sidecar-injector -o jsonpath='{.data.values}' > "$WORK/values.yaml"`,
		configMap+`istio -o jsonpath='{.data.mesh}' > "$WORK/mesh.yaml"`,
		`outrider kube-inject -f samples/sleep/sleep.yaml --injectConfigFile "$WORK/config.yaml" \
    --valuesFile "$WORK/values.yaml" --meshConfigFile "$WORK/mesh.yaml" > "$WORK/sleep-injected.yaml"`)
	if err != nil {
		return err
	}
	changed, err := d.changedLines()
	if err != nil {
		return err
	}
	d.say("%s", changed)
	return d.compareWithWebhook(ctx)
}

// changedLines reports how the injected file differs from the sample, line by line.
func (d *demo) changedLines() (string, error) {
	came, err := os.ReadFile(filepath.Join(d.root, "samples", "sleep", "sleep.yaml"))
	if err != nil {
		return "", err
	}
	went, err := os.ReadFile(filepath.Join(d.work, "sleep-injected.yaml"))
	if err != nil {
		return "", err
	}
	rest := strings.Split(string(went), "\n")
	lines := strings.Split(string(came), "\n")
	for n, line := range lines {
		at := 0
		for at < len(rest) && rest[at] != line {
			at++
		}
		if at == len(rest) {
			return "", fmt.Errorf("line %d of the sample, %q, is not in the output of kube-inject", n+1, line)
		}
		rest = rest[at+1:]
	}
	return fmt.Sprintf("All %d lines of the sample are preserved in order, including comments; %d lines were added.",
		len(lines)-1, strings.Count(string(went), "\n")-len(lines)+1), nil
}

func (d *demo) compareWithWebhook(ctx context.Context) error {
	fromFile, err := d.injectedFile()
	if err != nil {
		return err
	}
	deployment, err := d.client.AppsV1().Deployments(d.namespace).Get(ctx, "sleep", metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("read the Deployment: %w", err)
	}
	d.say("Its pod, created in a namespace that the webhook does not select:")
	if err := d.all(ctx, "kubectl create namespace "+d.byHand, "kubectl -n "+d.byHand+" create serviceaccount sleep"); err != nil {
		return err
	}
	byHand, err := d.completed(ctx, d.byHand, podOf(&fromFile.Spec.Template, nil))
	if err != nil {
		return err
	}
	byWebhook, err := d.completed(ctx, d.namespace, podOf(&deployment.Spec.Template, nil))
	if err != nil {
		return err
	}
	if err := sameLines(byHand, byWebhook); err != nil {
		return fmt.Errorf("the pods of kube-inject and of the webhook differ: %w", err)
	}
	d.check("its pod equals the webhook's in all %d lines, with the API server's defaults applied to both", strings.Count(byHand, "\n")+1)
	return nil
}

// injectedFile is the Deployment in the output of kube-inject.
func (d *demo) injectedFile() (*appsv1.Deployment, error) {
	text, err := os.ReadFile(filepath.Join(d.work, "sleep-injected.yaml"))
	if err != nil {
		return nil, err
	}
	for _, document := range strings.Split(string(text), "\n---\n") {
		out := &appsv1.Deployment{}
		if err := yaml.Unmarshal([]byte(document), out); err != nil {
			return nil, fmt.Errorf("read the output of kube-inject: %w", err)
		}
		if out.Kind == "Deployment" {
			return out, nil
		}
	}
	return nil, errors.New("no Deployment in the output of kube-inject")
}

// sameLines compares two texts; the error is the first line that differs.
func sameLines(a, b string) error {
	left, right := strings.Split(a, "\n"), strings.Split(b, "\n")
	for n := range min(len(left), len(right)) {
		if left[n] != right[n] {
			return fmt.Errorf("line %d: %s\nand: %s", n+1, left[n], right[n])
		}
	}
	if len(left) != len(right) {
		return fmt.Errorf("%d lines and %d lines", len(left), len(right))
	}
	return nil
}

// completed is a pod as the API server would store it, as text. The volume with
// the pod's own token is brought into one form, for the API server makes up its
// name anew for each pod, and it is there before the webhook is called and after
// a file was injected. So the order of the volumes, and the record of what the
// injection added to the pod, depend on nothing else.
func (d *demo) completed(ctx context.Context, namespace string, pod *corev1.Pod) (string, error) {
	pod.Name = "sleep"
	got, err := d.client.CoreV1().Pods(namespace).Create(ctx, pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		return "", fmt.Errorf("complete the pod in namespace %s: %w", namespace, err)
	}
	var status map[string]any
	if err := json.Unmarshal([]byte(got.Annotations[statusAnnotation]), &status); err != nil {
		return "", fmt.Errorf("read annotation %s: %w", statusAnnotation, err)
	}
	delete(status, "added")
	delete(got.Annotations, statusAnnotation)
	slices.SortFunc(got.Spec.Volumes, func(a, b corev1.Volume) int { return strings.Compare(a.Name, b.Name) })

	text, err := json.MarshalIndent(map[string]any{
		"labels": got.Labels, "annotations": got.Annotations, "status annotation": status, "spec": got.Spec,
	}, "", " ")
	if err != nil {
		return "", err
	}
	for _, v := range got.Spec.Volumes {
		if strings.HasPrefix(v.Name, ownToken) {
			text = bytes.ReplaceAll(text, []byte(v.Name), []byte(ownToken))
		}
	}
	return string(text), nil
}
