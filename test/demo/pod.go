package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

const (
	statusAnnotation = "sidecar.istio.io/status"
	// ownToken begins the name of the volume that the API server adds to every
	// pod; the rest it makes up.
	ownToken          = "kube-api-access-"
	excludeAnnotation = "traffic.sidecar.istio.io/excludeOutboundIPRanges"
)

// describe is a pod for a person: a line for each thing a reader looks for.
// The proxy's bootstrap, and what every pod has, are omitted.
func describe(pod *corev1.Pod) []string {
	var out []string
	section := func(title string, lines []string) {
		if len(lines) > 0 {
			out = append(append(out, title), lines...)
		}
	}
	section("init containers", describeContainers(pod.Spec.InitContainers))
	section("containers", describeContainers(pod.Spec.Containers))
	var volumes, annotations []string
	for _, v := range pod.Spec.Volumes {
		name := v.Name
		if strings.HasPrefix(name, ownToken) {
			name = ownToken + "..."
		}
		volumes = append(volumes, "  "+name)
	}
	section("volumes", volumes)
	for _, name := range slices.Sorted(maps.Keys(pod.Annotations)) {
		annotations = append(annotations, "  "+name)
	}
	section("annotations", annotations)
	return out
}

func describeContainers(list []corev1.Container) []string {
	var out []string
	for i := range list {
		out = append(out, describeContainer(&list[i])...)
	}
	return out
}

func describeContainer(c *corev1.Container) []string {
	head := fmt.Sprintf("  %-12s %s", c.Name, c.Image)
	if p := c.RestartPolicy; p != nil && *p == corev1.ContainerRestartPolicyAlways {
		head += " (native sidecar)"
	}
	out := []string{head}
	if len(c.Command) > 0 {
		out = append(out, "    command: "+strings.Join(c.Command, " "))
	}
	if c.Name == "istio-init" {
		out = append(out, "    args: "+quoteArgs(c.Args))
	}
	if s := describeSecurity(c.SecurityContext); s != "" {
		out = append(out, "    security: "+s)
	}
	return out
}

func describeSecurity(s *corev1.SecurityContext) string {
	if s == nil {
		return ""
	}
	var out []string
	if s.RunAsUser != nil {
		out = append(out, fmt.Sprintf("uid %d", *s.RunAsUser))
	}
	if c := s.Capabilities; c != nil && slices.Contains(c.Drop, "ALL") {
		only := "no capabilities"
		for i, name := range c.Add {
			if only = string(name) + " only"; i > 0 {
				only = fmt.Sprintf("%d capabilities", i+1)
			}
		}
		out = append(out, only)
	}
	if s.ReadOnlyRootFilesystem != nil && *s.ReadOnlyRootFilesystem {
		out = append(out, "read-only root")
	}
	if s.AllowPrivilegeEscalation != nil && !*s.AllowPrivilegeEscalation {
		out = append(out, "no privilege escalation")
	}
	return strings.Join(out, ", ")
}

func quoteArgs(args []string) string {
	out := make([]string, len(args))
	for i, a := range args {
		if out[i] = a; a == "" || strings.ContainsAny(a, "* ") {
			out[i] = `"` + a + `"`
		}
	}
	return strings.Join(out, " ")
}

// showDifference shows a pod with "+" before the lines that another lacks. A
// line the other has and this one lacks is an error: injection only adds.
func (d *demo) showDifference(before, after *corev1.Pod) error {
	had := describe(before)
	now := describe(after)
	for _, line := range now {
		if slices.Contains(had, line) {
			d.line("", "    "+line)
		} else {
			d.line(green, "  + "+line)
		}
	}
	for _, line := range had {
		if !slices.Contains(now, line) {
			return fmt.Errorf("pod %s lost %q during injection", after.Name, strings.TrimSpace(line))
		}
	}
	return nil
}

func hasSidecar(pod *corev1.Pod) bool {
	named := func(c corev1.Container) bool { return c.Name == "istio-proxy" }
	return slices.ContainsFunc(pod.Spec.InitContainers, named) || slices.ContainsFunc(pod.Spec.Containers, named)
}

// effective is one setting as the status annotation records it.
type effective struct{ Value, Source string }

// effectiveOf reads the settings that the injector recorded in the pod.
func effectiveOf(pod *corev1.Pod) (map[string]effective, error) {
	var status struct {
		Effective map[string]effective `json:"effective"`
	}
	if err := json.Unmarshal([]byte(pod.Annotations[statusAnnotation]), &status); err != nil {
		return nil, fmt.Errorf("read annotation %s of pod %s: %w", statusAnnotation, pod.Name, err)
	}
	return status.Effective, nil
}

// configHash names the configuration that the pod was made by.
func configHash(pod *corev1.Pod) (string, error) {
	var status struct {
		ConfigHash string `json:"configHash"`
	}
	if err := json.Unmarshal([]byte(pod.Annotations[statusAnnotation]), &status); err != nil {
		return "", fmt.Errorf("read annotation %s of pod %s: %w", statusAnnotation, pod.Name, err)
	}
	return status.ConfigHash, nil
}

// rangeSettings are the settings about addresses, in the order shown.
var rangeSettings = []string{"includeOutboundIPRanges", "excludeOutboundIPRanges"}

// showRangesOf shows the effective ranges of pods, with their sources.
func (d *demo) showRangesOf(pods ...*corev1.Pod) error {
	rows := [][]string{{"pod", "setting", "value", "source"}}
	for _, pod := range pods {
		settings, err := effectiveOf(pod)
		if err != nil {
			return err
		}
		for _, name := range rangeSettings {
			s := settings[name]
			if s.Value == "" {
				s.Value = "(none)"
			}
			rows = append(rows, []string{pod.Name, name, s.Value, s.Source})
		}
	}
	d.table(rows)
	return nil
}

// excludes checks which ranges a pod excludes: in its status annotation, and in
// the arguments of the init container.
func excludes(pod *corev1.Pod, value, source string) error {
	settings, err := effectiveOf(pod)
	if err != nil {
		return err
	}
	if got := settings["excludeOutboundIPRanges"]; got.Value != value || !strings.Contains(got.Source, source) {
		return fmt.Errorf("pod %s excludes %q (source %q); want %q (source %q)", pod.Name, got.Value, got.Source, value, source)
	}
	for _, c := range pod.Spec.InitContainers {
		if i := slices.Index(c.Args, "-x"); c.Name == "istio-init" && i >= 0 && c.Args[i+1] == value {
			return nil
		}
	}
	return fmt.Errorf("pod %s: no init container istio-init with arguments -x %q", pod.Name, value)
}
