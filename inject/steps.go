package inject

import (
	"fmt"
	"slices"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/jsontree"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// strip removes an earlier injection from the pod.
func (m *mutation) strip() error {
	m.base = m.incoming
	text, ok := m.pod.Annotations[annotation.SidecarStatus]
	if !ok {
		m.tree = m.base
		return nil
	}
	if m.prior = parseStatus(text); m.prior == nil {
		m.tree = m.base
		return nil
	}
	m.base = m.prior.strip(m.incoming, parseOverrides(m.pod.Annotations[annotation.ProxyOverrides]))
	pod, err := decodePod([]byte(m.base.JSON()))
	m.tree, m.pod = m.base, pod
	return err
}

// resolve finds settings and overlays. Where configuration and overlays are those of
// the earlier injection, the steps start from the incoming pod: what other webhooks
// have added to the injected containers since then stays.
func (m *mutation) resolve() (err error) {
	in := m.inputs()
	if m.resolved, err = m.Injector.resolved(in); err != nil {
		return err
	}
	m.overlays = slices.Clone(m.resolved.overlays)
	for n, o := range m.overlays {
		if o != nil {
			continue
		}
		if m.overlays[n], err = m.render(m.templates[m.resolved.settings.Templates[n]], m.templateData()); err != nil {
			return reject(RejectedTemplate, problem.Invalid("", "", err.Error(), ""))
		}
	}
	if m.prior != nil && m.prior.ConfigHash == m.hash && m.prior.OverlayHash == overlayHash(m.overlays) && m.genuine() {
		m.again, m.tree = true, m.incoming
	}
	return nil
}

// genuine reports whether the record of the earlier injection describes the pod: what is not
// injected must be the user's pod as the templates change it. The annotation may be written by
// hand, and would hide a container from the checks.
func (m *mutation) genuine() bool {
	made := m.base
	for _, o := range m.overlays {
		merged, err := merge(made, o.tree, m.schema)
		if err != nil {
			return false
		}
		made = merged
	}
	was, is := made.Get("spec"), m.incoming.Get("spec")
	for _, field := range is.Members() {
		switch field.Key {
		case "containers", "initContainers":
			if !m.sameContainers(was.Get(field.Key).Items(), field.Value.Items()) {
				return false
			}
		case "volumes", "imagePullSecrets", "resources":
		default:
			if !jsontree.Equal(was.Get(field.Key), field.Value) {
				return false
			}
		}
	}
	return true
}

// sameContainers reports whether the containers that the templates do not bring are among others.
func (m *mutation) sameContainers(others, containers []*jsontree.Node) bool {
	for _, item := range containers {
		if found, _ := m.brings(item.Get("name").Text()); found {
			continue
		}
		if i := indexBy(others, "name", item.Get("name")); i < 0 || !jsontree.Equal(others[i], item) {
			return false
		}
	}
	return true
}

// merge applies the overlays. What they delete was deleted the first time; what exists
// again was added by the user's overrides or by others.
func (m *mutation) merge() error {
	for n, o := range m.overlays {
		patch := o.tree
		if m.again {
			patch = withoutDeletes(patch)
		}
		merged, err := merge(m.tree, patch, m.schema)
		if err != nil {
			return reject(RejectedMerge, problem.Invalid(fmt.Sprintf("template %q", m.resolved.settings.Templates[n]), "", err.Error(), ""))
		}
		m.tree = merged
	}
	return nil
}

// injectedAnnotations sets the configuration's injectedAnnotations, which take
// precedence over the pod's own, as in Istio.
func (m *mutation) injectedAnnotations() error {
	for _, name := range sortedKeys(m.cfg.Injection.InjectedAnnotations) {
		m.annotate(name, m.cfg.Injection.InjectedAnnotations[name])
	}
	return nil
}

// defaultContainer sets the first application container, unless the user, a template
// or the earlier injection did: a container that another webhook has put first since
// then is not the application.
func (m *mutation) defaultContainer() error {
	if m.tree.At("metadata", "annotations", annotation.DefaultContainer) != nil {
		return nil
	}
	for c := range m.pod.Spec.Containers {
		if name := m.pod.Spec.Containers[c].Name; name != proxyContainerName && name != "" {
			m.annotate(annotation.DefaultContainer, name)
			break
		}
	}
	return nil
}

// order arranges the containers. The user's keep their order; what the templates add
// comes after them, except the mesh's own. Where the proxy is an init container, redirect
// and proxy come before the user's init containers, whose traffic then goes through the
// proxy; the proxy is the first of the two where the redirect waits for it. Elsewhere the
// redirect comes last, since no proxy runs yet to accept the traffic.
// As in Istio, it is not the setting that decides, but where the templates have the proxy.
func (m *mutation) order() error {
	for _, list := range []string{"containers", "initContainers"} {
		// An earlier injection has ordered them; what was added since then stays.
		if !m.again && len(m.user.nodes) > 0 {
			m.tree = reorder(m.tree, list, itemNames(m.base.At("spec", list)))
		}
	}
	if m.resolved.settings.HoldApp {
		m.arrange("containers", []string{proxyContainerName}, nil)
	} else {
		m.arrange("containers", nil, []string{proxyContainerName})
	}
	switch {
	case !m.native():
		m.arrange("initContainers", []string{validationContainerName}, []string{initContainerName, coreDumpContainerName})
	case m.initWaits():
		m.arrange("initContainers", []string{validationContainerName, proxyContainerName, initContainerName, coreDumpContainerName}, nil)
	default:
		m.arrange("initContainers", []string{validationContainerName, initContainerName, proxyContainerName, coreDumpContainerName}, nil)
	}
	return nil
}

// native reports whether the proxy of the outcome is an init container.
func (m *mutation) native() bool {
	return indexOfName(m.tree.At("spec", "initContainers").Items(), proxyContainerName) >= 0
}

// waitFlag is the argument with which the redirect ends when the proxy is ready.
const waitFlag = "--wait-for-proxy"

// initWaits reports whether the redirect of the outcome waits for the proxy.
func (m *mutation) initWaits() bool {
	return slices.ContainsFunc(m.initArgs().Items(), func(arg *jsontree.Node) bool {
		return arg.Text() == waitFlag || arg.Text() == waitFlag+"=true"
	})
}

// arrange moves the injected containers of the given names to the two ends.
func (m *mutation) arrange(list string, first, last []string) {
	items := m.tree.At("spec", list).Items()
	rank := func(n *jsontree.Node) int {
		name := n.Get("name").Text()
		if i := slices.Index(first, name); i >= 0 && m.injects(list, name) {
			return i - len(first)
		}
		if i := slices.Index(last, name); i >= 0 && m.injects(list, name) {
			return i + 1
		}
		return 0
	}
	byRank := func(a, b *jsontree.Node) int { return rank(a) - rank(b) }
	if slices.IsSortedFunc(items, byRank) {
		return
	}
	sorted := slices.Clone(items)
	slices.SortStableFunc(sorted, byRank)
	m.tree = m.tree.Put(jsontree.NewArray(sorted...), "spec", list)
}
