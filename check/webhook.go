package check

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/revision"
	"github.com/outrider-mesh/outrider/lifecycle"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

const reinstall = "restore it: helm upgrade, or kubectl apply -f deploy/outrider.yaml"

// expected is the configuration that the installation's manifests have.
func (f *Facts) expected() *admissionregistrationv1.MutatingWebhookConfiguration {
	return registration.Options{
		Revision: f.Revision, Namespace: f.Namespace, Service: f.Name(lifecycle.Deployment),
	}.Mutating()
}

func registered(f *Facts, out *findings) {
	if f.unread(out, Mutating, Validating) {
		return
	}
	name := f.Name(lifecycle.WebhookConfigurations)
	if f.ours() == nil {
		out.fail("MutatingWebhookConfiguration "+name+" does not exist: no pod is injected.", reinstall)
	}
	if !slices.ContainsFunc(f.Validating, func(c admissionregistrationv1.ValidatingWebhookConfiguration) bool { return c.Name == name }) {
		out.fail("ValidatingWebhookConfiguration "+name+" does not exist: ConfigMaps and objects with errors are accepted.", reinstall)
	}
	if len(out.results) == 0 {
		out.pass("The webhook configurations exist.")
	}
}

// registration is the installation's configuration of mutating webhooks; nil, with a
// skipped result, where there is none or it was not read.
func (f *Facts) registration(out *findings) *admissionregistrationv1.MutatingWebhookConfiguration {
	if f.unread(out, Mutating) {
		return nil
	}
	c := f.ours()
	if c == nil {
		out.skip("There is no MutatingWebhookConfiguration.")
	}
	return c
}

// selectors checks that the webhooks have the selectors that were installed: on AKS, and by
// policy engines, they are edited.
func selectors(f *Facts, out *findings) {
	c := f.registration(out)
	if c == nil {
		return
	}
	has := func(name string) *admissionregistrationv1.MutatingWebhook {
		i := slices.IndexFunc(c.Webhooks, func(w admissionregistrationv1.MutatingWebhook) bool { return w.Name == name })
		if i < 0 {
			return nil
		}
		return &c.Webhooks[i]
	}
	for _, want := range f.expected().Webhooks {
		switch w := has(want.Name); {
		case w == nil:
			out.fail(fmt.Sprintf("Webhook %s of MutatingWebhookConfiguration %s does not exist: the pods that it selects are not injected.", want.Name, c.Name), reinstall)
		case len(edited(w, &want)) > 0:
			out.warn(fmt.Sprintf("The selectors of webhook %s of MutatingWebhookConfiguration %s were edited: %s.", w.Name, c.Name, strings.Join(edited(w, &want), ", ")),
				"restore them (helm upgrade, or kubectl apply -f deploy/outrider.yaml), and find what adds it: kubectl get mutatingwebhookconfiguration "+c.Name+" -o yaml --show-managed-fields; on AKS, install with --set global.platform=aks")
		}
	}
	if len(out.results) == 0 {
		out.pass("The webhooks have the selectors that were installed.")
	}
}

// edited are the requirements of a webhook's selectors that were added or removed.
func edited(w, want *admissionregistrationv1.MutatingWebhook) (out []string) {
	for _, s := range []struct {
		name       string
		have, want *metav1.LabelSelector
	}{{"namespaceSelector", w.NamespaceSelector, want.NamespaceSelector}, {"objectSelector", w.ObjectSelector, want.ObjectSelector}} {
		have, wanted := requirements(s.have), requirements(s.want)
		for _, r := range have {
			if !slices.Contains(wanted, r) {
				out = append(out, s.name+" has "+r)
			}
		}
		for _, r := range wanted {
			if !slices.Contains(have, r) {
				out = append(out, s.name+" lacks "+r)
			}
		}
	}
	return out
}

// requirements are those of a selector, as kubectl writes them.
func requirements(s *metav1.LabelSelector) (out []string) {
	selector, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return nil
	}
	all, _ := selector.Requirements()
	for _, r := range all {
		out = append(out, strconv.Quote(r.String()))
	}
	return out
}

func failurePolicy(f *Facts, out *findings) {
	c := f.registration(out)
	if c == nil {
		return
	}
	for i := range c.Webhooks {
		if p := c.Webhooks[i].FailurePolicy; p != nil && *p == admissionregistrationv1.Ignore {
			out.warn(fmt.Sprintf("Webhook %s has failurePolicy Ignore: while it cannot be called, pods start without a sidecar, and no policy applies to them.", c.Webhooks[i].Name),
				"set it to Fail", fmt.Sprintf(`kubectl patch mutatingwebhookconfiguration %s --type json -p '[{"op":"replace","path":"/webhooks/%d/failurePolicy","value":"Fail"}]'`, c.Name, i))
		}
	}
	if len(out.results) == 0 {
		out.pass("No pod starts without its sidecar while the webhook cannot be called.")
	}
}

// bundles checks the caBundles, by which the API server verifies the webhook.
func bundles(f *Facts, out *findings) {
	if f.unread(out, Mutating, Validating) {
		return
	}
	name := f.Name(lifecycle.WebhookConfigurations)
	check := func(kind, webhook string, bundle []byte) {
		switch {
		case len(bundle) == 0:
			out.fail(fmt.Sprintf("Webhook %s of %s %s has no caBundle: the API server does not accept the webhook's certificate.", webhook, kind, name),
				"the leader of the webhook's replicas writes it within seconds; if it does not, restart them", f.restart())
		case f.Bundle != "" && string(bundle) != f.Bundle:
			out.fail(fmt.Sprintf("caBundle of webhook %s of %s %s is not that of ConfigMap %s.", webhook, kind, name, f.Name(lifecycle.CABundle)),
				fmt.Sprintf("find what writes it (kubectl get %s %s -o yaml --show-managed-fields), and restart the webhook's replicas, which write it again", strings.ToLower(kind), name), f.restart())
		}
	}
	if c := f.ours(); c != nil {
		for i := range c.Webhooks {
			check("MutatingWebhookConfiguration", c.Webhooks[i].Name, c.Webhooks[i].ClientConfig.CABundle)
		}
	}
	for _, c := range f.Validating {
		for i := range c.Webhooks {
			if c.Name == name {
				check("ValidatingWebhookConfiguration", c.Webhooks[i].Name, c.Webhooks[i].ClientConfig.CABundle)
			}
		}
	}
	if len(out.results) == 0 {
		out.pass("The webhooks have a caBundle.")
	}
}

func (f *Facts) restart() string {
	return fmt.Sprintf("kubectl -n %s rollout restart deployment/%s", f.Namespace, f.Name(lifecycle.Deployment))
}

// calls reports the pods in dry run: only the API server can say whether it reaches the
// webhook.
func calls(f *Facts, out *findings) {
	if len(f.Attempts) == 0 {
		out.skip("No namespace is injected, so that no pod was created in dry run; label one: kubectl label namespace NAMESPACE istio-injection=enabled")
		return
	}
	for i := range f.Attempts {
		found := lifecycle.Explain(f.Attempts[i].Attempt, f.Attempts[i].Cluster)
		if found.Injected && f.Attempts[i].Error == "" {
			continue
		}
		what := found.What + " (namespace " + f.Attempts[i].TestNamespace + ")"
		if found.ErrorOfCall == "" {
			out.fail(what, found.Remedy)
		} else {
			out.fail(what, found.Remedy)
			out.detail("the API server's message: " + found.ErrorOfCall)
		}
		out.detail(found.Details...)
	}
	if len(out.results) > 0 {
		return
	}
	text := fmt.Sprintf("The API server calls the webhook: pods in dry run are injected in %d namespaces.", len(f.Attempts))
	if f.More > 0 {
		text += fmt.Sprintf(" %d more were not tried.", f.More)
	}
	out.pass(text)
}

// twice checks that no other injector selects the same pods.
func twice(f *Facts, out *findings) {
	if f.unread(out, Mutating, NamespaceList) {
		return
	}
	ours := f.ours()
	if ours == nil && f.Before {
		ours = f.expected()
	}
	for i := range f.Mutating {
		c := &f.Mutating[i]
		if c.Name == f.Name(lifecycle.WebhookConfigurations) || !injector(c) {
			continue
		}
		var both []string
		for j := range f.Namespaces {
			if n := &f.Namespaces[j]; selectsNamespace(ours, n) && selectsNamespace(c, n) {
				both = append(both, "namespace "+n.Name)
			}
		}
		if len(both) > 0 {
			out.fail("MutatingWebhookConfiguration "+c.Name+" injects pods of the same namespaces: they have two proxies.",
				"give each namespace one injector: remove the label of the other", "kubectl get mutatingwebhookconfiguration "+c.Name+" -o yaml")
			out.detail(firsts(both)...)
		}
	}
	if len(out.results) == 0 {
		out.pass("No other injector selects the same pods.")
	}
}

// injector reports a configuration of a mesh's injector: of Istio or one of its
// distributions, Linkerd, Consul, Kuma or Open Service Mesh.
func injector(c *admissionregistrationv1.MutatingWebhookConfiguration) bool {
	for i := range c.Webhooks {
		for _, part := range []string{"sidecar-injector.istio.io", "proxy-injector.linkerd.io", "consul-connect-injector", "kuma", "osm-inject"} {
			if strings.Contains(c.Webhooks[i].Name, part) {
				return true
			}
		}
	}
	return false
}

// revisions are those that a label can name.
func (f *Facts) revisions() (out []string) {
	for i := range f.Mutating {
		for _, key := range []string{annotation.Rev, annotation.Tag} {
			if v := f.Mutating[i].Labels[key]; v != "" && !slices.Contains(out, v) {
				out = append(out, v)
			}
		}
	}
	slices.Sort(out)
	return out
}

// isOurs reports whether a value of istio.io/rev selects this installation.
func (f *Facts) isOurs(label string) bool {
	return revision.Revision(label).Matches(f.Revision.String())
}
