package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"

	"github.com/outrider-mesh/outrider/check"
	"github.com/outrider-mesh/outrider/check/live"
	"github.com/outrider-mesh/outrider/explain"
)

// trafficOptions are the flags of check --traffic.
type trafficOptions struct {
	enabled  bool
	external []string
	timeout  time.Duration
	kernel   bool
}

func (o *trafficOptions) addFlags(f *pflag.FlagSet) {
	f.BoolVar(&o.enabled, "traffic", false, "try the ways out with pods in a namespace of their own, which is removed afterwards")
	f.StringArrayVar(&o.external, "external", nil, "with --traffic, also connect to this host outside the cluster, on ports 80 and 443; may be repeated")
	f.DurationVar(&o.timeout, "timeout", 3*time.Minute, "with --traffic, the longest time of the trial")
	f.BoolVar(&o.kernel, "kernel", true, "with --traffic, read the kernel's counters with a container that has NET_ADMIN")
}

// try tries the ways out.
func (o *checkOptions) try(ctx context.Context, stdio stdio) (*check.Facts, error) {
	access, err := o.access.Config()
	if err != nil {
		return nil, err
	}
	return live.Traffic(ctx, access, live.TrafficOptions{
		Installation: o.Installation, In: o.namespace, Image: o.Image, Fallback: "docker.io/outrider/outrider:" + version,
		External: o.traffic.external, Timeout: o.traffic.timeout, NoKernel: !o.traffic.kernel,
		Progress: func(step string) { fmt.Fprintf(stdio.err, "%s...\n", step) },
		Explain:  (&trafficExplainer{of: o, stdio: stdio}).explain,
	})
}

// trafficExplainer explains the pods of a trial. What it reads of the cluster serves both.
type trafficExplainer struct {
	of    *checkOptions
	stdio stdio

	in   *explain.Input
	mode string
}

func (e *trafficExplainer) explain(ctx context.Context, pod *corev1.Pod, to []explain.Destination) (explain.Answer, string, error) {
	if e.in == nil {
		if err := e.read(ctx, pod.Namespace, len(to) > 0); err != nil {
			return explain.Answer{}, e.mode, err
		}
	}
	pod = pod.DeepCopy()
	pod.APIVersion, pod.Kind = "v1", "Pod"
	text, err := json.Marshal(pod)
	if err != nil {
		return explain.Answer{}, e.mode, fmt.Errorf("encode the pod: %w", err)
	}
	s, _, err := explain.NewSubject(text)
	if err != nil {
		return explain.Answer{}, e.mode, err
	}
	return explain.Explain(s, *e.in, to...), e.mode, nil
}

func (e *trafficExplainer) read(ctx context.Context, namespace string, model bool) error {
	var o explainOptions
	o.cluster.Access, o.cluster.namespace, o.cluster.always, o.revision = e.of.access, e.of.Namespace, true, string(e.of.Revision)
	if model {
		o.to = []string{namespace} // what the sidecars are configured with is read
	}
	injector, texts, err := compileTexts(ctx, o.injectOptions, e.stdio.in, e.stdio.err)
	if err != nil {
		return err
	}
	e.mode = injector.Config().Mesh.GetOutboundTrafficPolicy().GetMode().String()
	in := explain.Input{Injector: injector, Texts: texts}
	if err := o.readCluster(ctx, &in, namespace, nil); err != nil {
		return err
	}
	e.in = &in
	return nil
}
