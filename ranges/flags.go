package ranges

import (
	"encoding/json"
	"path"
	"strings"

	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
)

// component is a program whose flags hold ranges.
type component struct {
	name         string
	service, pod source // the zero source: the flag means nothing there
}

var components = []component{
	{"kube-apiserver", source{"kube-apiserver --service-cluster-ip-range", rankAPIServer, Complete, false}, source{}},
	{"kube-controller-manager",
		source{"kube-controller-manager --service-cluster-ip-range", rankControllers, Complete, false},
		source{"kube-controller-manager --cluster-cidr", rankClusterCIDR, Configured, false}},
	{"cloud-controller-manager", source{}, source{"cloud-controller-manager --cluster-cidr", rankClusterCIDR, Configured, false}},
	{"kube-proxy", source{}, source{"kube-proxy --cluster-cidr", rankKubeProxy, Configured, false}},
}

// controlPlane are the namespaces of a cluster's own control plane. Pods of the
// same programs elsewhere may serve another cluster.
var controlPlane = map[string]bool{
	"": true, "kube-system": true, "openshift-kube-apiserver": true, "openshift-kube-controller-manager": true,
}

// containers reads the flags of the containers of a pod.
func (r *reader) containers(spec *document.Node, namespace, base string) {
	containers := spec.Get("containers")
	if containers == nil {
		return
	}
	for i, c := range containers.Items {
		at := join(base, "containers") + index(i)
		args := append(find(c.Get("command"), "", at+".command"), find(c.Get("args"), "", at+".args")...)
		program, ok := programOf(c.Get("name").Str(), args)
		if !ok {
			continue
		}
		if !controlPlane[namespace] {
			r.data.warn("%s: %s in namespace %q may belong to another cluster; its flags are ignored", r.place(c, at), program.name, problem.Short(namespace))
			continue
		}
		for _, f := range flagsIn(args) {
			switch {
			case f.name == "service-cluster-ip-range" && program.service.name != "":
				r.take(Service, program.service, f.found)
			case f.name == "cluster-cidr" && program.pod.name != "":
				r.take(Pod, program.pod, f.found)
			}
		}
	}
}

// programOf returns the component that a container runs: by the program it starts,
// and by its name where an image's entry point starts it.
func programOf(container string, args []found) (component, bool) {
	for _, a := range args {
		for _, word := range strings.Fields(a.node.Text) {
			if c, ok := componentNamed(path.Base(word)); ok && !strings.HasPrefix(word, "-") {
				return c, true
			}
		}
	}
	return componentNamed(container)
}

func componentNamed(name string) (component, bool) {
	switch name { // hyperkube's names
	case "apiserver":
		name = "kube-apiserver"
	case "controller-manager":
		name = "kube-controller-manager"
	}
	for _, c := range components {
		if c.name == name {
			return c, true
		}
	}
	return component{}, false
}

// flag is a flag with its value, wherever the two stand.
type flag struct {
	name string
	found
}

var rangeFlags = map[string]bool{"service-cluster-ip-range": true, "cluster-cidr": true, "service-cidr": true}

// flagsIn finds the flags that hold ranges: --flag=value in one argument, flag
// and value in two, or several in the text of a shell command.
func flagsIn(args []found) []flag {
	var words []found
	for _, a := range args {
		if !strings.ContainsAny(a.node.Text, " \n\t") {
			words = append(words, a)
			continue
		}
		for _, w := range strings.Fields(a.node.Text) {
			words = append(words, found{scalar(a.node.Line, strings.Trim(w, `"';\`)), a.path})
		}
	}
	var out []flag
	for i, w := range words {
		name, value, joined := strings.Cut(strings.TrimLeft(w.node.Text, "-"), "=")
		if !strings.HasPrefix(w.node.Text, "-") || !rangeFlags[name] {
			continue
		}
		f := flag{name, w}
		switch {
		case joined:
			f.node = scalar(w.node.Line, strings.Trim(value, `"'`))
		case i+1 < len(words) && !strings.HasPrefix(words[i+1].node.Text, "-"):
			f.found = words[i+1]
		default:
			continue
		}
		out = append(out, f)
	}
	return out
}

// k3sArgs reads the arguments of a k3s or RKE2 server: an omitted flag means
// the default.
func (r *reader) k3sArgs(args []found, name string, where Place, grade Grade, serviceRank, podRank int) {
	have := map[Kind]bool{}
	for _, f := range flagsIn(args) {
		switch f.name {
		case "service-cidr":
			r.take(Service, source{name + " --service-cidr", serviceRank, grade, false}, f.found)
			have[Service] = true
		case "cluster-cidr":
			r.take(Pod, source{name + " --cluster-cidr", podRank, Configured, false}, f.found)
			have[Pod] = true
		}
	}
	if !have[Service] {
		_ = r.add(Service, source{name + ", default of an omitted flag", serviceRank, Defaulted, false}, k3sService, where) // valid
	}
	if !have[Pod] {
		_ = r.add(Pod, source{name + ", default of an omitted flag", podRank, Defaulted, false}, k3sPod, where) // valid
	}
}

// nodeArgs reads the annotation in which k3s and RKE2 keep their arguments: a
// JSON list as text. Agents have no arguments about ranges.
func (r *reader) nodeArgs(n *document.Node, name, path string) {
	var words []string
	if json.Unmarshal([]byte(n.Text), &words) != nil || len(words) == 0 || words[0] != "server" {
		return
	}
	args := make([]found, 0, len(words))
	for _, w := range words[1:] {
		args = append(args, found{scalar(n.Line, w), path})
	}
	r.k3sArgs(args, name, r.place(n, path), Complete, rankNodeArgs, rankPodNodeArgs)
}
