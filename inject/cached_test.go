package inject

import (
	"reflect"
	"testing"
	"unsafe"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/internal/jsontree"

	corev1 "k8s.io/api/core/v1"
)

// What is cached must not refer to the pod's text, which would be kept as long: it may have
// megabytes.
func TestInject_CacheKeepsNoText(t *testing.T) {
	i := mustCompile(t, config.Texts{}, Environment{})
	text := string(podWith(
		annotation.ProxyImage, "example.com/envoy:1", annotation.LogLevel, "debug", annotation.ComponentLogLevel, "http:debug",
		annotation.ExcludeInterfaces, "eth1,eth2", annotation.ProxyCPU, "10m", annotation.InjectTemplates, "sidecar",
		annotation.IncludeOutboundIPRanges, "10.0.0.0/8", annotation.IncludeOutboundPorts, "1234", annotation.NativeSidecar, "true",
		annotation.UserVolume, `[{"name":"a","emptyDir":{}}]`, annotation.UserVolumeMount, `[{"name":"a","mountPath":"/a"}]`,
		annotation.ProxyConfig, "proxyMetadata: {A: b}",
	))
	var reader jsontree.Reader
	var pod corev1.Pod
	tree, ok := reader.Read(text)
	if !ok || !podDecoder(t).Decode(tree, &pod) {
		t.Fatal("not decoded")
	}
	before := len(i.cache.entries)
	if _, err := i.Inject(Request{Decoded: &pod, Tree: tree}); err != nil {
		t.Fatal(err)
	}
	if len(i.cache.entries) != before+1 {
		t.Fatal("nothing was cached")
	}
	checked := 0
	for _, r := range i.cache.entries {
		checked += outside(t, text, reflect.ValueOf(r.settings), 0)
	}
	if checked < 50 {
		t.Errorf("only %d strings were checked", checked)
	}
}

// outside checks that no string of a value is a part of a text. It returns the number of
// strings.
func outside(t *testing.T, text string, v reflect.Value, depth int) (checked int) {
	t.Helper()
	const deep = 12 // of protobuf's own state nothing is from the pod
	if depth > deep {
		return 0
	}
	switch v.Kind() {
	case reflect.String:
		s := v.String()
		from, at := uintptr(unsafe.Pointer(unsafe.StringData(text))), uintptr(unsafe.Pointer(unsafe.StringData(s)))
		if s != "" && at >= from && at < from+uintptr(len(text)) {
			t.Errorf("%q is a part of the pod's text", s)
		}
		return 1
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			return outside(t, text, v.Elem(), depth+1)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			checked += outside(t, text, v.Index(i), depth+1)
		}
	case reflect.Map:
		for entry := v.MapRange(); entry.Next(); {
			checked += outside(t, text, entry.Key(), depth+1) + outside(t, text, entry.Value(), depth+1)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			checked += outside(t, text, v.Field(i), depth+1)
		}
	}
	return checked
}
