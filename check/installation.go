package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/lifecycle"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

// definitions are the custom resources that are read.
var definitions = []string{"serviceentries.networking.istio.io", "virtualservices.networking.istio.io", "sidecars.networking.istio.io"}

// DefinitionNames are the CustomResourceDefinitions that are read.
func DefinitionNames() []string { return slices.Clone(definitions) }

func crds(f *Facts, out *findings) {
	if f.unread(out, Definitions) {
		return
	}
	for _, name := range definitions {
		d, ok := f.Definitions[name]
		switch {
		case !ok && f.Before:
			continue
		case !ok:
			out.fail("CustomResourceDefinition "+name+" does not exist: such objects cannot be created.",
				"restart the control plane, which creates it, or install Istio's", fmt.Sprintf("kubectl -n %s rollout restart deployment/%s", f.Namespace, f.Name(lifecycle.ControlPlane)))
		case !d.Established:
			out.fail("CustomResourceDefinition "+name+" is not established: the API server does not serve it.", "see its conditions", "kubectl describe crd "+name)
		case !slices.ContainsFunc(registration.NetworkingVersions(), func(v string) bool { return slices.Contains(d.Served, v) }):
			out.fail(fmt.Sprintf("CustomResourceDefinition %s serves none of the versions %s.", name, strings.Join(registration.NetworkingVersions(), ", ")),
				"upgrade it to one of Istio 1.6 or newer, or delete it if it has no objects")
		}
	}
	if len(out.results) == 0 {
		out.pass("ServiceEntries and VirtualServices can be created.")
	}
}

func deployments(f *Facts, out *findings) {
	if f.unread(out, Own) {
		return
	}
	for _, base := range []string{lifecycle.Deployment, lifecycle.ControlPlane} {
		name := f.Name(base)
		d, ok := f.Deployments[name]
		switch {
		case !ok:
			out.fail(fmt.Sprintf("Deployment %s/%s does not exist.", f.Namespace, name), "install it: helm upgrade --install, or kubectl apply -f deploy/outrider.yaml")
		case d.Desired == 0:
			out.fail(fmt.Sprintf("Deployment %s/%s has no replicas.", f.Namespace, name), "scale it", fmt.Sprintf("kubectl -n %s scale deployment/%s --replicas=2", f.Namespace, name))
		case d.Ready == 0:
			out.fail(fmt.Sprintf("No replica of Deployment %s/%s is ready.", f.Namespace, name), "see its events and its log",
				fmt.Sprintf("kubectl -n %s describe pods -l app=%s", f.Namespace, name), fmt.Sprintf("kubectl -n %s logs -l app=%s", f.Namespace, name))
			out.detail(podTexts(d.Pods)...)
		case d.Ready < d.Desired:
			out.warn(fmt.Sprintf("%d of %d replicas of Deployment %s/%s are ready.", d.Ready, d.Desired, f.Namespace, name), "see its events", fmt.Sprintf("kubectl -n %s describe pods -l app=%s", f.Namespace, name))
			out.detail(podTexts(d.Pods)...)
		}
	}
	if len(out.results) == 0 {
		out.pass("The replicas of the webhook and of the control plane are ready.")
	}
}

func podTexts(pods []lifecycle.Pod) (out []string) {
	for _, p := range pods {
		out = append(out, strings.TrimSuffix(fmt.Sprintf("pod %s: %s: %s", p.Name, p.Reason, p.Message), ": "))
	}
	return firsts(out)
}

// clients are the ports by which the API server and sidecars connect.
var clients = []struct{ base, port, client, selector string }{
	{lifecycle.Deployment, "https-webhook", "the API server, to inject pods", "app.kubernetes.io/part-of"},
	{lifecycle.Deployment, "grpc-xds", "sidecars", "app.kubernetes.io/part-of"},
	{lifecycle.ControlPlane, "https-validate", "the API server, to validate objects", "app"},
}

// services checks that each port has endpoints.
func services(f *Facts, out *findings) {
	if f.unread(out, Own) {
		return
	}
	for _, c := range clients {
		name := f.Name(c.base)
		s, ok := f.Services[name]
		switch {
		case !ok:
			out.fail(fmt.Sprintf("Service %s/%s does not exist, to which %s connect.", f.Namespace, name, c.client), "install it again: helm upgrade, or kubectl apply -f deploy/outrider.yaml")
		case s.Ready[c.port] == 0 && f.ready():
			out.fail(fmt.Sprintf("Port %s of Service %s/%s has no ready endpoints although replicas are ready, for %s: its selector or its port does not match them.", c.port, f.Namespace, name, c.client),
				"restore the Service: helm upgrade, or kubectl apply -f deploy/outrider.yaml; its selector",
				fmt.Sprintf(`kubectl -n %s patch service %s --type json -p '[{"op":"replace","path":"/spec/selector","value":{"%s":"%s"}}]'`, f.Namespace, name, c.selector, name))
		case s.Ready[c.port] == 0:
			out.fail(fmt.Sprintf("Port %s of Service %s/%s has no ready endpoints, for %s.", c.port, f.Namespace, name, c.client), "see the replicas", fmt.Sprintf("kubectl -n %s get pods", f.Namespace))
		}
	}
	if len(out.results) == 0 {
		out.pass("The Services have ready endpoints.")
	}
}

// ready reports that both Deployments have a ready replica.
func (f *Facts) ready() bool {
	return f.Deployments[f.Name(lifecycle.Deployment)].Ready > 0 && f.Deployments[f.Name(lifecycle.ControlPlane)].Ready > 0
}

func configuration(f *Facts, out *findings) {
	if f.unread(out, Own) {
		return
	}
	for _, name := range f.Missing {
		out.warn(fmt.Sprintf("ConfigMap %s/%s does not exist: the defaults are in effect, or the last good configuration.", f.Namespace, name), "create it: helm upgrade, or kubectl apply -f deploy/settings.yaml")
	}
	if f.Problems.HasErrors() {
		out.fail("The ConfigMaps have errors, so that the last good configuration stays active.", "correct them, or restore the last good one", "outrider config restore --istioNamespace "+f.Namespace)
		out.detail(firsts(f.Problems.Errors().Strings())...)
	} else if warnings := f.Problems.Strings(); len(warnings) > 0 {
		out.warn("The ConfigMaps have settings without an effect, or with a risk.", "see the details")
		out.detail(firsts(warnings)...)
	}
	if len(out.results) == 0 {
		out.pass("The ConfigMaps are valid.")
	}
}

// active checks what the replicas report in their Leases: all have the same configuration,
// and it is that of the ConfigMaps.
func active(f *Facts, out *findings) {
	if f.unread(out, Own) {
		return
	}
	hashes := map[string][]string{}
	for _, l := range f.Leases {
		hash := l.Annotations[annotation.ConfigHash]
		hashes[hash] = append(hashes[hash], l.Name)
		if reason := l.Annotations[annotation.ConfigReason]; reason != "" && reason != "none" {
			out.fail("A replica does not apply the ConfigMaps as they are now: "+reason, "correct them, or restore the last good configuration", "outrider config history --istioNamespace "+f.Namespace)
			out.detail("Lease " + l.Name)
			return
		}
	}
	switch {
	case len(f.Leases) == 0:
		out.skip("No replica has reported its configuration.")
	case len(hashes) > 1:
		out.warn("The replicas have different configurations; they should agree within seconds.", "see the log of the replica that is behind")
		for hash, names := range hashes {
			out.detail(hash + ": " + strings.Join(names, ", "))
		}
		slices.Sort(out.results[len(out.results)-1].Details)
	default:
		out.pass("All replicas have the configuration of the ConfigMaps.")
	}
}

// conflicts checks, before an installation, that its names are free.
func conflicts(f *Facts, out *findings) {
	if f.unread(out, Mutating, Own) {
		return
	}
	const fix = "install another revision: --set revision=outrider, or uninstall the other injector first"
	for i := range f.Mutating {
		c := &f.Mutating[i]
		if injector(c) && c.Name != f.Name(lifecycle.WebhookConfigurations) && f.isOurs(c.Labels[annotation.Rev]) && c.Labels[annotation.Rev] != "" {
			out.fail(fmt.Sprintf("MutatingWebhookConfiguration %s has revision %s, too: both would inject the same pods.", c.Name, f.revisionLabel()), fix)
		}
	}
	if component := f.InjectorLabels["operator.istio.io/component"]; component != "" {
		out.fail(fmt.Sprintf("ConfigMap %s/%s is Istio's (%s).", f.Namespace, f.Name("istio-sidecar-injector"), component), fix)
	}
	if len(out.results) == 0 {
		out.pass("No other injector has this revision.")
	}
}
