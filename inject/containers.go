package inject

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/jsontree"

	corev1 "k8s.io/api/core/v1"
)

// container is a container of the user's pod with its place.
type container struct {
	*corev1.Container
	list  string
	index int
}

// lasts reports whether the container runs as long as the pod does: an ordinary
// container, or a native sidecar.
func (c container) lasts() bool {
	return c.list == "containers" || c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways
}

func (c container) path(field string) string {
	return fmt.Sprintf("spec.%s[%d].%s", c.list, c.index, field)
}

// containers are those of the user's pod, ordinary ones first.
func (m *mutation) containers() iter.Seq[container] {
	return func(yield func(container) bool) {
		for _, l := range [...]struct {
			name  string
			items []corev1.Container
		}{{"containers", m.pod.Spec.Containers}, {"initContainers", m.pod.Spec.InitContainers}} {
			for i := range l.items {
				if !yield(container{&l.items[i], l.name, i}) {
					return
				}
			}
		}
	}
}

// container returns the first container of the user's pod with a name.
func (m *mutation) container(name string) (container, bool) {
	for c := range m.containers() {
		if c.Name == name {
			return c, true
		}
	}
	return container{}, false
}

// brings reports whether the templates add a container of the name, and whether that
// one runs as long as the pod.
func (m *mutation) brings(name string) (found, lasts bool) {
	for _, o := range m.overlays {
		if slices.Contains(o.names["containers"], name) {
			return true, true
		}
		if !slices.Contains(o.names["initContainers"], name) {
			continue
		}
		items := o.tree.At("spec", "initContainers").Items()
		i := indexOfName(items, name)
		found = true
		lasts = lasts || items[i].Get("restartPolicy").Text() == string(corev1.ContainerRestartPolicyAlways)
	}
	return found, lasts
}

// runsAs returns the uid and gid that the pod's specification gives to a container; nil
// where the image decides.
func runsAs(pod *corev1.Pod, c *corev1.Container) (uid, gid *int64) {
	if p := pod.Spec.SecurityContext; p != nil {
		uid, gid = p.RunAsUser, p.RunAsGroup
	}
	if own := c.SecurityContext; own != nil {
		if own.RunAsUser != nil {
			uid = own.RunAsUser
		}
		if own.RunAsGroup != nil {
			gid = own.RunAsGroup
		}
	}
	return uid, gid
}

func same(id *int64, other int64) bool { return id != nil && *id == other }

// inputs are what the settings depend on. OpenShift sets the uid of every container
// that has none to the first of the namespace's range, the pod's own istio-proxy
// included: that is not a choice of the user's. The gid of that container is exempt from
// the redirect unless processes of applications have it, as they may have 0.
func (m *mutation) inputs() podInputs {
	in := podInputs{annotations: m.pod.Annotations, namespace: m.request.NamespaceAnnotations}
	if grace := m.pod.Spec.TerminationGracePeriodSeconds; grace != nil && *grace != defaultGrace {
		in.grace = new(min(max(*grace, 0), maxGrace))
	}
	own, has := m.container(proxyContainerName)
	_, ranged := in.namespace[annotation.OpenShiftUIDRange]
	if (!has || own.SecurityContext == nil) && !ranged {
		return in
	}
	var uids, gids []int64
	for c := range m.containers() {
		if !c.lasts() || c.Name == proxyContainerName {
			continue
		}
		uid, gid := runsAs(m.pod, c.Container)
		if uid != nil {
			uids = append(uids, *uid)
		}
		if gid != nil {
			gids = append(gids, *gid)
		}
	}
	if ranged {
		in.taken = slices.Concat(uids, gids)
		slices.Sort(in.taken)
		in.taken = slices.Compact(in.taken)
	}
	if !has || own.SecurityContext == nil {
		return in
	}
	if uid := own.SecurityContext.RunAsUser; uid != nil && *uid > 0 {
		if m.assigned = m.inNamespaceRange(*uid) && slices.Contains(uids, *uid); !m.assigned {
			in.uid = uid
		}
	}
	if gid := own.SecurityContext.RunAsGroup; gid != nil && *gid > 0 && !slices.Contains(gids, *gid) {
		in.gid = gid
	}
	return in
}

// inNamespaceRange reports whether OpenShift may have set a uid.
func (m *mutation) inNamespaceRange(uid int64) bool {
	text, ok := m.request.NamespaceAnnotations[annotation.OpenShiftUIDRange]
	ids, err := parseIDRange(text)
	return ok && err == nil && ids.has(uid)
}

// exemptsGroup reports whether the redirect exempts the connections of a group.
func (m *mutation) exemptsGroup(gid int64) bool {
	args := m.initArgs()
	if e := m.exempt; e == nil || e.args != args || e.gid != gid {
		m.exempt = &exemption{args, gid, exemptsGroup(texts(args), gid)}
	}
	return m.exempt.exempts
}

// exemptsGroup: the init container's argument decides, which a custom template may write
// itself. Without the argument it is as with istio-iptables: the groups are those of the
// argument -u.
func exemptsGroup(args []string, gid int64) bool {
	groups, given := argument(args, "-g", "--proxy-gid")
	if !given {
		if groups, given = argument(args, "-u", "--proxy-uid"); !given {
			groups = defaultExempt
		}
	}
	return slices.Contains(splitNames(groups), formatInt(gid))
}

// defaultExempt is what the redirect exempts without arguments.
const defaultExempt = "1337"

// exempts is what the redirect exempts, for a message.
func (m *mutation) exempts() string {
	s := m.resolved.settings
	text := "uid " + formatInt(s.ProxyUID)
	if m.exemptsGroup(s.ProxyGID) {
		text += " and gid " + formatInt(s.ProxyGID)
	}
	return text
}

// initArgs are the arguments of the init container of the outcome.
func (m *mutation) initArgs() *jsontree.Node {
	items := m.tree.At("spec", "initContainers").Items()
	if i := indexOfName(items, initContainerName); i >= 0 {
		return items[i].Get("args")
	}
	return nil
}

func texts(list *jsontree.Node) []string {
	out := make([]string, len(list.Items()))
	for i, item := range list.Items() {
		out[i] = item.Text()
	}
	return out
}

// argument is the last value of a flag, in the forms -f VALUE, -f=VALUE and -fVALUE.
func argument(args []string, short, long string) (value string, given bool) {
	for i, arg := range args {
		switch {
		case arg == short || arg == long:
			if given = i+1 < len(args); given {
				value = args[i+1]
			}
		case strings.HasPrefix(arg, long) && arg[len(long)] == '=':
			value, given = arg[len(long)+1:], true
		case strings.HasPrefix(arg, short) && !strings.HasPrefix(arg, "--"):
			value, given = strings.TrimPrefix(arg[len(short):], "="), true
		}
	}
	return value, given
}

// redirects reports whether the pod gets a redirect that captures something.
func (m *mutation) redirects() bool {
	s := m.resolved.settings
	captures := !s.IncludeIPRanges.IsEmpty() || s.IncludePorts.String() != ""
	return captures && m.injects("initContainers", initContainerName)
}
