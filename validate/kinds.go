package validate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/document"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

func isMeshKind(kind string) bool {
	return kind == egress.KindServiceEntry || kind == egress.KindVirtualService || kind == egress.KindSidecar
}

// meshObject reads a ServiceEntry, a VirtualService or a Sidecar.
func (f *Files) meshObject(i *item, apiVersion string, fields map[string]json.RawMessage) {
	meta, problems := i.metadata(fields["metadata"])
	i.problems = problems
	f.identify(i, meta)
	var versions []string
	for _, v := range registration.NetworkingVersions() {
		versions = append(versions, registration.NetworkingGroup+"/"+v)
	}
	switch {
	case apiVersion == "":
		i.problems.Add(problem.Required("apiVersion", "use "+versions[0]))
	case !slices.Contains(versions, apiVersion):
		i.problems.Add(problem.NotSupported("apiVersion", apiVersion, versions...))
	}
	spec := compact(fields["spec"])
	i.bytes = len(spec)
	decoded, found := egress.Decode(i.kind, i.meta, spec)
	i.spec = decoded
	i.problems.Add(found...)
	f.keep(i)
}

// compact is JSON in the form of the API server's.
func compact(text []byte) []byte {
	var b bytes.Buffer
	if json.Compact(&b, text) != nil {
		return text
	}
	return b.Bytes()
}

// configMap reads a ConfigMap, if it is one of the two.
func (f *Files) configMap(i *item, data []byte, fields map[string]json.RawMessage) {
	meta, problems := i.metadata(fields["metadata"])
	i.problems = problems
	if meta.Namespace == "" && f.o.Namespace == "" && f.o.Location.Keys(meta.Name) != nil {
		meta.Namespace = f.o.Location.Namespace
	}
	f.identify(i, meta)
	maps := ConfigMaps{Location: f.o.Location}
	if !maps.Concerns(i.meta.Namespace, i.meta.Name) {
		f.otherConfigMap(i)
		f.skip(i.source, "v1 ConfigMap")
		return
	}
	var cm corev1.ConfigMap
	if json.Unmarshal(data, &cm) != nil {
		i.problems.Add(withoutMetadata(document.Object(i.node(), "", &cm))...)
	}
	i.data = Data{Keys: keysOf(fields["data"]), Texts: cm.Data, Binary: keysOf(fields["binaryData"])}
	f.keep(i)
}

// withoutMetadata are the problems that metadata does not have.
func withoutMetadata(problems problem.List) problem.List {
	return slices.DeleteFunc(problems, func(p problem.Problem) bool { return strings.HasPrefix(p.Path, "metadata") })
}

// keysOf are the keys of an object, sorted as the API server does.
func keysOf(object json.RawMessage) []string {
	var fields map[string]json.RawMessage
	if json.Unmarshal(object, &fields) != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(fields))
}

// otherConfigMap notes that a ConfigMap may have been meant to be one of the two.
func (f *Files) otherConfigMap(i *item) {
	l := f.o.Location
	fix := ""
	switch name := i.meta.Name; {
	case l.Keys(name) != nil:
		fix = "use --istioNamespace " + i.meta.Namespace
	case i.meta.Namespace != l.Namespace:
		return
	case strings.HasPrefix(name, "istio-sidecar-injector-"):
		fix = "use --revision " + strings.TrimPrefix(name, "istio-sidecar-injector-")
	case name == config.LocationOf("", "").Injector, name == config.LocationOf("", "").Mesh:
		fix = "omit --revision"
	default:
		return
	}
	p := problem.Invalid("metadata.name", i.meta.Name, fmt.Sprintf("not validated: the ConfigMaps are %s/%s and %s/%s", l.Namespace, l.Injector, l.Namespace, l.Mesh), fix)
	f.note(i, p, i.of("metadata.name"), "")
}

// namespace reads the name and the annotations of a Namespace.
func (f *Files) namespace(i *item, fields map[string]json.RawMessage) {
	if meta, problems := i.metadata(fields["metadata"]); len(problems) == 0 && meta.Name != "" {
		f.namespaces[meta.Name] = meta.Annotations
	}
}

// workload reads a pod or an object with a pod template.
func (f *Files) workload(i *item, of typeMeta, data []byte) {
	t, ok, err := inject.FindTemplate(data)
	if !ok && err == nil {
		f.misspelt(i, of)
		f.skip(i.source, of.String())
		return
	}
	var fields map[string]json.RawMessage
	_ = json.Unmarshal(data, &fields) // it was read before
	meta, _ := i.metadata(fields["metadata"])
	f.identify(i, meta) // problems of the metadata are the injector's
	i.text, i.pointer = data, t.Pointer
	f.keep(i)
}

// meshKinds are those of Istio's API group.
var meshKinds = []string{
	egress.KindServiceEntry, egress.KindVirtualService, egress.KindSidecar,
	"DestinationRule", "EnvoyFilter", "Gateway", "ProxyConfig", "WorkloadEntry", "WorkloadGroup",
}

// misspelt notes that a kind is close to one that is validated.
func (f *Files) misspelt(i *item, of typeMeta) {
	fix := inject.Spelling(of.apiVersion, of.kind)
	if fix == "" {
		fix = inject.NearestKind(of.apiVersion, of.kind)
	}
	if near := document.Nearest(of.kind, meshKinds); strings.HasPrefix(of.apiVersion, registration.NetworkingGroup+"/") && near != "" && isMeshKind(near) && !slices.Contains(meshKinds, of.kind) {
		fix = "kind: " + near
	}
	if fix != "" {
		p := problem.Invalid("kind", of.kind, "unknown kind in apiVersion "+problem.Quote(of.apiVersion), "use "+fix).AsWarning()
		f.add(i, p, "", i.of("kind"))
	}
}
