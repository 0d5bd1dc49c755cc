package main

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/klog/v2"

	"github.com/outrider-mesh/outrider/cidr"
	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/config/active"
	"github.com/outrider-mesh/outrider/explain"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/kubeconfig"
	"github.com/outrider-mesh/outrider/internal/revision"
	"github.com/outrider-mesh/outrider/ranges"
	"github.com/outrider-mesh/outrider/status"
	"github.com/outrider-mesh/outrider/workloads"
)

// comparison is everything that pods are compared with.
type comparison struct {
	options  *statusOptions
	reader   *workloads.Reader
	progress *progress
	scope    string
	input    status.Input
	chosen   status.Chosen
	labels   config.Labels
	env      inject.Environment
}

// compare reads the cluster, and compares its pods with the active settings.
func (o *statusOptions) compare(ctx context.Context, stdio stdio) (*status.Collector, error) {
	defer smallHeap()()
	p := newProgress(stdio.err)
	defer p.stop()
	c, err := o.prepare(ctx, nil, p)
	if err != nil {
		return nil, err
	}
	collector := status.NewCollector(c.input, time.Now())
	return collector, c.pods(ctx, collector)
}

// smallHeap makes the heap grow by half of what is in use between two collections, not by
// as much again, unless the user has set GOGC: most of what a comparison allocates is
// garbage once the pod has been compared. The result restores the former setting.
func smallHeap() func() {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	before := debug.SetGCPercent(50)
	return func() { debug.SetGCPercent(before) }
}

// ahead is how many pods are read while others are compared: less than a page, so that two
// pages are in memory at most.
const ahead = 250

// pods compares the pods.
func (c *comparison) pods(ctx context.Context, collector *status.Collector) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	read, done := make(chan *corev1.Pod, ahead), make(chan error, 1)
	go func() {
		defer close(read)
		done <- c.reader.Pods(ctx, c.scope, c.options.selector, func(p *corev1.Pod) error {
			select {
			case read <- p:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	n := 0
	for p := range read {
		n++
		c.progress.at("comparing pods", n)
		if err := collector.Add(p); err != nil {
			return err
		}
	}
	err := <-done
	if err == nil {
		return nil
	}
	fix := "ask for list on pods in that namespace"
	if c.scope == "" {
		fix = "name a namespace with -n, or ask for list on pods in all namespaces"
	}
	return permission(err, "list pods", fix)
}

// permission completes an error about a missing permission.
func permission(err error, needed, fix string) error {
	if !apierrors.IsForbidden(err) {
		return err
	}
	return fmt.Errorf("%w; requires the permission to %s: %s", err, needed, fix)
}

// prepare reads what pods are compared with.
func (o *statusOptions) prepare(ctx context.Context, e *edits, p *progress) (*comparison, error) {
	scope, err := o.scope()
	if err != nil {
		return nil, err
	}
	access, err := o.access.Config()
	if err != nil {
		return nil, err
	}
	klog.SetLogger(logr.Discard()) // the client logs errors that are handled here
	c := &comparison{options: o, progress: p, scope: scope}
	if c.reader, err = workloads.New(access); err != nil {
		return nil, err
	}
	p.at("reading the settings", 0)
	r := revision.Revision(o.revisionName)
	c.input = status.Input{
		Scope: scope, Revision: r,
		Registered: explain.Registered{Service: o.istioNamespace + "/" + r.Name("outrider"), Name: r.Name("outrider-sidecar-injector")},
	}
	c.env = inject.Environment{Revision: revision.Revision(r.String()), Namespace: o.istioNamespace}
	found, err := c.read(ctx)
	if err != nil {
		return nil, err
	}
	c.chosen = found.Choose(r, time.Now())
	c.input.Leases = found.Leases
	if e != nil && len(e.base) > 0 {
		c.chosen.Texts, c.labels = e.replace(e.base, c.chosen.Texts, c.labels)
		c.chosen.Stored = nil
	}
	if c.env.Ranges, err = c.ranges(ctx, c.chosen.Texts); err != nil {
		return nil, err
	}
	if err := c.compile(e); err != nil {
		return nil, err
	}
	c.input.Warnings = append(c.input.Warnings, c.chosen.Warnings...)
	return c, nil
}

// missing notes what may not be read, and what follows from it. Any other error is one.
func (c *comparison) missing(err error, consequence string) error {
	if apierrors.IsForbidden(err) {
		c.input.Warnings = append(c.input.Warnings, err.Error()+"; "+consequence)
		return nil
	}
	return err
}

// read reads everything at once: each is a request or two.
func (c *comparison) read(ctx context.Context) (status.Configurations, error) {
	var found status.Configurations
	var wait sync.WaitGroup
	errs := make([]error, 6)
	o := c.options
	at := config.LocationOf(o.istioNamespace, c.input.Revision)
	wait.Go(func() {
		var missing []string
		found.ConfigMaps, c.labels, missing, errs[0] = kubeconfig.Texts(ctx, c.reader.Client, kubeconfig.Names{
			Namespace: o.istioNamespace, Injector: at.Injector, Mesh: at.Mesh, Optional: []string{at.Injector, at.Mesh},
		})
		found.None = len(missing) == 2
	})
	var version string
	wait.Go(func() { version, errs[1] = kubeconfig.Version(ctx, c.reader.Client) })
	var stored *corev1.ConfigMap
	wait.Go(func() {
		stored, errs[2] = c.reader.Client.CoreV1().ConfigMaps(o.istioNamespace).Get(ctx, c.input.Revision.Name("outrider-last-good"), metav1.GetOptions{})
	})
	wait.Go(func() { found.Leases, errs[3] = c.reader.Leases(ctx, o.istioNamespace) })
	wait.Go(func() { c.input.Namespaces, errs[4] = c.reader.Namespaces(ctx, c.scope) })
	wait.Go(func() { c.input.Registered.Configurations, errs[5] = c.reader.Webhooks(ctx) })
	var events error
	wait.Go(func() { c.input.Events, events = c.reader.Events(ctx, c.scope) })
	wait.Wait()

	if errs[0] != nil {
		return found, permission(errs[0], fmt.Sprintf("get ConfigMaps %s and %s in namespace %s", at.Injector, at.Mesh, o.istioNamespace), "they are the settings that pods are compared with")
	}
	if errs[1] != nil {
		return found, errs[1]
	}
	var err error
	if c.env.Kubernetes, err = inject.ParseVersion(version); err != nil {
		return found, fmt.Errorf("API server version: %w", err)
	}
	if apierrors.IsNotFound(errs[2]) {
		errs[2] = nil
	} else if errs[2] == nil {
		found.History, _ = config.ReadHistory(stored.Data, stored.BinaryData)
	}
	found.Unread = errs[3] != nil
	if errs[5] != nil {
		c.input.Registered.Unread = errs[5].Error()
	}
	const unknown = "pods without a sidecar that should have one are not found"
	for _, r := range []struct {
		err         error
		consequence string
	}{
		{errs[2], "since when a configuration is active is unknown"},
		{errs[3], "the replicas, and whether they have applied the ConfigMaps, are unknown"},
		{errs[4], unknown}, {errs[5], unknown}, {events, "sidecars that reject a configuration are not found"},
	} {
		if err := c.missing(r.err, r.consequence); err != nil {
			return found, err
		}
	}
	return found, nil
}

// compile compiles the active settings, the edited ones, and prepares the earlier ones.
func (c *comparison) compile(e *edits) error {
	var err error
	if c.input.Settings, _, err = c.settings(c.chosen.Texts, c.labels); err != nil {
		return fmt.Errorf("the active configuration: %w", err)
	}
	c.chosen.Compiled(c.input.Settings.Injector.Hash(), version)
	c.input.Active = c.chosen.Active
	for _, r := range c.chosen.Stored {
		c.input.Earlier = append(c.input.Earlier, status.Earlier{Time: r.Time, Hash: r.Latest(), Known: r.Known, Compile: func() *inject.Injector { return c.earlier(r) }})
	}
	if e == nil {
		return nil
	}
	texts, labels, err := e.apply(c.chosen.Texts, c.labels)
	if err != nil {
		return err
	}
	edited, warnings, err := c.settings(texts, labels)
	if err != nil {
		return fmt.Errorf("the edit is rejected: %w", err)
	}
	c.input.Edited = &edited
	c.input.Warnings = append(c.input.Warnings, warnings...)
	return nil
}

// settings compiles texts.
func (c *comparison) settings(texts config.Texts, labels config.Labels) (out status.Settings, warnings []string, err error) {
	cfg, problems := config.Parse(texts, labels)
	if cfg != nil {
		injector, more := inject.Compile(cfg, c.env)
		problems = append(problems, more...)
		out = status.Settings{Injector: injector, Texts: explain.Texts{Texts: texts, Labels: labels}}
	}
	if errs := problems.Errors(); len(errs) > 0 {
		return out, nil, fmt.Errorf("invalid configuration:\n%s", strings.Join(errs.Strings(), "\n"))
	}
	return out, problems.Warnings().Strings(), nil
}

// earlier compiles a stored configuration; nil where this version does not accept it.
func (c *comparison) earlier(r config.Record) *inject.Injector {
	texts, err := r.Read()
	if err != nil {
		return nil
	}
	env := c.env
	if stored := active.StoredRanges(r); stored != nil {
		stored.APIServer = c.env.Ranges.APIServer
		env.Ranges = stored
	}
	cfg, problems := config.Parse(texts, c.labels)
	if cfg == nil || problems.HasErrors() {
		return nil
	}
	injector, _ := inject.Compile(cfg, env)
	return injector
}

// ranges are those that the webhook has stored. The cluster itself is read only where they
// are not stored and the settings need them: that takes some twenty requests, and another
// reading of all pods.
func (c *comparison) ranges(ctx context.Context, texts config.Texts) (*ranges.NamedRanges, error) {
	server, err := c.reader.APIServer(ctx)
	if err != nil {
		if err := c.missing(err, "the name "+cidr.APIServer+" in range lists is not resolved"); err != nil {
			return nil, err
		}
		server.Missing = err.Error()
	}
	if len(c.chosen.Stored) > 0 {
		if stored := active.StoredRanges(c.chosen.Stored[0]); stored != nil {
			stored.APIServer = server
			return stored, nil
		}
	}
	out := ranges.NoCluster("the webhook has stored no ranges of the cluster")
	cfg, _ := config.Parse(texts, c.labels)
	if cfg != nil && needsCluster(cfg) {
		c.progress.at("reading the ranges of the cluster", 0)
		data, _, err := readCluster(ctx, c.options.access, false, nil)
		if err != nil {
			return nil, err
		}
		out = inject.RangeNames(cfg, data, true)
	}
	out.APIServer = server
	return out, nil
}

func needsCluster(cfg *config.Config) bool {
	p := &cfg.Values.Global.Proxy
	return slices.Contains(slices.Concat(p.IncludeIPRanges.Names(), p.ExcludeIPRanges.Names()), cidr.Cluster)
}
