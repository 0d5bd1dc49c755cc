package inject

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

const (
	labelOSBeta       = "beta.kubernetes.io/os" // deprecated; the kubelet still sets it
	linux             = string(corev1.Linux)
	windows           = string(corev1.Windows)
	fieldWindows      = "securityContext.windowsOptions"
	fieldNodeAffinity = "spec.affinity.nodeAffinity"
)

// windowsBy returns the field by which a pod runs on Windows nodes only, "" for one
// that may run on Linux. spec.os decides alone; then the nodes that the scheduler may
// choose do. windowsOptions have no effect on Linux, so that they decide only where
// nothing else does.
func windowsBy(spec *corev1.PodSpec) string {
	if spec.OS != nil && spec.OS.Name != "" {
		if spec.OS.Name == corev1.Windows {
			return "spec.os.name"
		}
		return ""
	}
	selected := osOfSelector(spec.NodeSelector)
	required := osOfAffinity(spec.Affinity)
	switch {
	case selected == windows:
		return "spec.nodeSelector"
	case required == windows:
		return fieldNodeAffinity
	case selected == "" && required == "" && hasWindowsOptions(spec):
		return fieldWindows
	}
	return ""
}

// osOfSelector is the operating system of the nodes that have all the labels; "" where
// it may be any.
func osOfSelector(labels map[string]string) string {
	for _, key := range []string{corev1.LabelOSStable, labelOSBeta} {
		switch value := labels[key]; value {
		case linux, windows:
			return value
		}
	}
	if _, ok := labels[corev1.LabelWindowsBuild]; ok { // only Windows nodes have it
		return windows
	}
	return ""
}

// osOfAffinity is the operating system of the nodes that required node affinity
// selects. Its terms are alternatives; a term without requirements selects no node.
// Preferred affinity excludes no node.
func osOfAffinity(a *corev1.Affinity) string {
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return ""
	}
	found := ""
	terms := a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
	for i := range terms {
		if len(terms[i].MatchExpressions)+len(terms[i].MatchFields) == 0 {
			continue
		}
		name := osOfTerm(&terms[i])
		if name == "" || found != "" && name != found {
			return ""
		}
		found = name
	}
	return found
}

// osOfTerm: the requirements of a term all apply, so that one of them decides.
func osOfTerm(term *corev1.NodeSelectorTerm) string {
	for i := range term.MatchExpressions {
		if name := osOfRequirement(&term.MatchExpressions[i]); name != "" {
			return name
		}
	}
	return ""
}

// osOfRequirement: Kubernetes has nodes of two operating systems, and the kubelet sets
// both labels on every node, so that excluding one of the two selects the other.
func osOfRequirement(r *corev1.NodeSelectorRequirement) string {
	switch r.Key {
	case corev1.LabelOSStable, labelOSBeta:
		mentions := func(name string) bool { return slices.Contains(r.Values, name) }
		only := len(r.Values) > 0 && !slices.ContainsFunc(r.Values, func(v string) bool { return v != r.Values[0] })
		switch {
		case r.Operator == corev1.NodeSelectorOpIn && only && (mentions(linux) || mentions(windows)):
			return r.Values[0]
		case r.Operator == corev1.NodeSelectorOpNotIn && mentions(linux) && !mentions(windows):
			return windows
		case r.Operator == corev1.NodeSelectorOpNotIn && mentions(windows) && !mentions(linux):
			return linux
		}
	case corev1.LabelWindowsBuild:
		switch r.Operator {
		case corev1.NodeSelectorOpIn, corev1.NodeSelectorOpExists, corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
			return windows
		}
	}
	return ""
}

// hasWindowsOptions: options without a value are what charts write by default.
func hasWindowsOptions(spec *corev1.PodSpec) bool {
	if spec.SecurityContext != nil && setsWindowsOptions(spec.SecurityContext.WindowsOptions) {
		return true
	}
	for _, list := range [][]corev1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			if c := list[i].SecurityContext; c != nil && setsWindowsOptions(c.WindowsOptions) {
				return true
			}
		}
	}
	return false
}

func setsWindowsOptions(o *corev1.WindowsSecurityContextOptions) bool {
	set := func(text *string) bool { return text != nil && *text != "" }
	return o != nil && (set(o.RunAsUserName) || set(o.GMSACredentialSpecName) || set(o.GMSACredentialSpec) || o.HostProcess != nil && *o.HostProcess)
}
