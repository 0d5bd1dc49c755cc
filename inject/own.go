package inject

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/outrider-mesh/outrider/internal/problem"

	corev1 "k8s.io/api/core/v1"
)

// imageAuto requests the injected image: a container with it is meant as an override.
const imageAuto = "auto"

// checkOwn finds containers of the pod that have the name of an injected one but cannot
// be an override of it, and overrides with which the sidecar would not start.
func (m *mutation) checkOwn() error {
	var seen []string
	for c := range m.containers() {
		found, lasts := m.brings(c.Name)
		if !found {
			continue
		}
		if slices.Contains(seen, c.Name) {
			m.problems.Add(problem.Duplicate(c.path("name"), c.Name, "container name"))
			continue
		}
		seen = append(seen, c.Name)
		if rule, fix := misplaced(c, lasts); rule != "" {
			m.misplaced = append(m.misplaced, c.Name)
			m.problems.Add(problem.Invalid(c.path("name"), c.Name, rule, fix))
			continue
		}
		switch c.Name {
		case proxyContainerName:
			m.checkOwnProxy(c)
		case initContainerName:
			m.checkOwnInit(c)
		}
	}
	return nil
}

// misplaced returns why a container is not an override of the injected one of its name:
// one of them runs as long as the pod, the other one before its applications.
func misplaced(c container, injectedLasts bool) (rule, fix string) {
	switch {
	case c.lasts() == injectedLasts, injectedLasts && c.Image == imageAuto:
		return "", ""
	case injectedLasts:
		return "the sidecar's name, in an init container that does not run as long as the pod",
			"rename the container, or set restartPolicy: Always to override the sidecar"
	case c.list == "containers":
		return "the name of an injected init container", "rename the container, or move it to spec.initContainers to override that one"
	}
	return "the name of an injected init container, which does not restart", "rename the container, or remove its restartPolicy to override that one"
}

func (m *mutation) checkOwnProxy(c container) {
	s := c.SecurityContext
	if s == nil {
		return
	}
	if id := s.RunAsUser; id != nil && *id == 0 {
		p := problem.Invalid(c.path("securityContext.runAsUser"), "0",
			"the sidecar must not run as root: the redirect exempts its uid, and would exempt every process of root", "use another uid, or remove it")
		p.Value = "0"
		m.problems.Add(p)
	}
	m.checkID(c, "runAsUser", s.RunAsUser)
	m.checkID(c, "runAsGroup", s.RunAsGroup)
}

func (m *mutation) checkID(c container, field string, id *int64) {
	if id != nil && (*id < 0 || *id > maxID) {
		p := problem.OutOfRange[int64](c.path("securityContext."+field), formatInt(*id), "", 0, maxID)
		p.Value = formatInt(*id)
		m.problems.Add(p)
	}
}

// checkOwnInit: the kernel accepts rules from a process with NET_ADMIN only, and
// capabilities of a container are those of its root user.
func (m *mutation) checkOwnInit(c container) {
	s := c.SecurityContext
	if s == nil {
		return
	}
	refuse := func(field, value string) {
		p := problem.Invalid(c.path("securityContext."+field), "", "the init container installs the redirect, which requires uid 0 and NET_ADMIN", "remove it")
		p.Value = value
		m.problems.Add(p)
	}
	if s.RunAsUser != nil && *s.RunAsUser != 0 && !m.inNamespaceRange(*s.RunAsUser) {
		refuse("runAsUser", formatInt(*s.RunAsUser))
	}
	if s.RunAsNonRoot != nil && *s.RunAsNonRoot {
		refuse("runAsNonRoot", "true")
	}
	if s.Capabilities != nil && s.Capabilities.Add != nil && (s.Privileged == nil || !*s.Privileged) &&
		!slices.ContainsFunc(s.Capabilities.Add, func(name corev1.Capability) bool { return name == "NET_ADMIN" || name == "ALL" }) {
		refuse("capabilities.add", problem.Clip(fmt.Sprint(s.Capabilities.Add), maxList))
	}
	if s.Capabilities != nil && slices.Contains(s.Capabilities.Drop, "NET_ADMIN") {
		refuse("capabilities.drop", strconv.Quote("NET_ADMIN"))
	}
}
