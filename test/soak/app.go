package soak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/outrider-mesh/outrider/test/kit"
)

var entries = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "serviceentries"}

// app is an application with a sidecar, which sends requests to a declared host all the
// time. It is nil without an image.
type app struct{ *run }

// startApp starts the application, and waits until it is ready.
func (r *run) startApp(ctx context.Context) (*app, error) {
	if r.App == "" {
		return nil, nil
	}
	a := &app{r}
	if err := a.declare(ctx, "httpbin.org"); err != nil {
		return nil, err
	}
	_, err := r.kube.CoreV1().Pods(r.pods).Create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "app"},
		Spec: corev1.PodSpec{TerminationGracePeriodSeconds: new(int64), Containers: []corev1.Container{{
			Name: "app", Image: r.App, ImagePullPolicy: corev1.PullNever, Args: []string{"requests http://httpbin.org/status/200"},
		}}},
	}, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	_, err = kit.Wait{For: recovery, Every: 200 * time.Millisecond}.Until(ctx, func() error {
		t, err := a.counts(ctx)
		if err == nil && t.OK < 20 {
			err = fmt.Errorf("%d requests have succeeded", t.OK)
		}
		r.report.before = t
		return err
	})
	return a, err
}

// Tally is what the application's requests came to.
type Tally struct {
	OK, Failed int
	Failures   []string
}

func (a *app) counts(ctx context.Context) (out Tally, err error) {
	text, err := a.call(ctx, "tally", nil)
	if err == nil {
		err = json.Unmarshal([]byte(text), &out)
	}
	return out, err
}

// call calls the application through the API server.
func (a *app) call(ctx context.Context, path string, values map[string]string) (string, error) {
	q := a.kube.CoreV1().RESTClient().Get().Namespace(a.pods).Resource("pods").Name("app:8099").SubResource("proxy").Suffix(path)
	for name, value := range values {
		q = q.Param(name, value)
	}
	out, err := q.DoRaw(ctx)
	return string(out), err
}

func (a *app) declare(ctx context.Context, host string) error {
	entry := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": map[string]any{"name": host},
		"spec": map[string]any{
			"hosts": []any{host}, "location": "MESH_EXTERNAL", "resolution": "DNS",
			"ports": []any{map[string]any{"number": int64(80), "name": "http", "protocol": "HTTP"}},
		},
	}}
	_, err := a.objects.Resource(entries).Namespace(a.pods).Create(ctx, entry, metav1.CreateOptions{})
	return err
}

// edit declares hosts, one after the other, and measures after how long the sidecar
// reaches each.
func (a *app) edit(ctx context.Context) {
	for i := 0; a != nil && ctx.Err() == nil; i++ {
		host := fmt.Sprintf("edit-%d.example.com", i)
		if err := a.declare(ctx, host); err != nil {
			time.Sleep(200 * time.Millisecond) // the API server restarts
			continue
		}
		began := time.Now()
		a.report.edited(a.arrives(context.WithoutCancel(ctx), host, began))
		time.Sleep(500 * time.Millisecond)
	}
}

// arrival is how long an edit may take, on a busy machine and while a sidecar connects
// to another replica.
const arrival = 30 * time.Second

// arrives waits until requests to the host succeed. A call that ends with the API
// server's restart is repeated.
func (a *app) arrives(ctx context.Context, host string, began time.Time) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, arrival)
	defer cancel()
	for {
		sent := time.Now()
		out, err := a.call(ctx, "until", map[string]string{"url": "http://" + host + "/", "code": "200"})
		if err == nil {
			ms, err := strconv.Atoi(out)
			return sent.Sub(began) + time.Duration(ms)*time.Millisecond, err
		}
		if ctx.Err() != nil {
			return time.Since(began), fmt.Errorf("%s: %w", host, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// tally reads what the application's requests came to.
func (a *app) tally(ctx context.Context) error {
	if a == nil {
		return nil
	}
	_, err := kit.Wait{For: recovery, Every: 200 * time.Millisecond}.Until(ctx, func() error {
		t, err := a.counts(ctx)
		if err == nil {
			a.report.after = t
		}
		return err
	})
	if err != nil {
		return errors.Join(errors.New("the application is not reached"), err)
	}
	return nil
}
