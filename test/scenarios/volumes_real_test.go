package scenarios

import (
	"encoding/json"
	"testing"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/test/kube"
)

// TestUserVolumesAreTheAPIServers: a volume and its mount are accepted in the annotations
// exactly if the API server accepts them in a container of the pod.
func TestUserVolumesAreTheAPIServers(t *testing.T) {
	server := kube.Require(t)
	const emptyDir = `"emptyDir":{}`
	for _, c := range []struct {
		name, source, mount string
		accepted            bool
	}{
		{"plain", emptyDir, ``, true},
		{"read-only", emptyDir, `,"readOnly":true,"subPath":"a/b"`, true},
		{"absolute sub path", emptyDir, `,"subPath":"/a"`, false},
		{"sub path that leaves the volume", emptyDir, `,"subPath":"a/../../b"`, false},
		{"two dots in a name", emptyDir, `,"subPath":"a..b"`, true},
		{"sub path of a variable", emptyDir, `,"subPathExpr":"$(POD_NAME)"`, true},
		{"sub path of a variable that leaves the volume", emptyDir, `,"subPathExpr":"../$(POD_NAME)"`, false},
		{"two sub paths", emptyDir, `,"subPath":"a","subPathExpr":"b"`, false},
		{"propagation", emptyDir, `,"mountPropagation":"HostToContainer"`, true},
		{"propagation, unknown", emptyDir, `,"mountPropagation":"Both"`, false},
		{"propagation to the host", emptyDir, `,"mountPropagation":"Bidirectional"`, false},
		{"recursively read-only", emptyDir, `,"readOnly":true,"recursiveReadOnly":"Enabled"`, true},
		{"recursively, without read-only", emptyDir, `,"recursiveReadOnly":"IfPossible"`, false},
		{"recursively, with propagation", emptyDir, `,"readOnly":true,"recursiveReadOnly":"Enabled","mountPropagation":"HostToContainer"`, false},
		{"recursively, unknown", emptyDir, `,"readOnly":true,"recursiveReadOnly":"Always"`, false},
		{"secret", `"secret":{"secretName":"s","defaultMode":256,"items":[{"key":"k","path":"a/b"}]}`, ``, true},
		{"secret without a name", `"secret":{}`, ``, false},
		{"secret by another field", `"secret":{"secretName":"","optional":true}`, ``, false},
		{"mode", `"secret":{"secretName":"s","defaultMode":512}`, ``, false},
		{"item without a path", `"secret":{"secretName":"s","items":[{"key":"k"}]}`, ``, false},
		{"item outside the volume", `"configMap":{"name":"c","items":[{"key":"k","path":"../x"}]}`, ``, false},
		{"config map", `"configMap":{"name":"c","optional":true}`, ``, true},
		{"config map without a name", `"configMap":{"optional":true}`, ``, false},
		{"claim", `"persistentVolumeClaim":{"claimName":"c"}`, ``, true},
		{"claim without a name", `"persistentVolumeClaim":{"readOnly":true}`, ``, false},
		{"host path", `"hostPath":{"path":"/run/x"}`, ``, true},
		{"host path that leaves its directory", `"hostPath":{"path":"/run/../x"}`, ``, false},
		{"host path without a path", `"hostPath":{"path":""}`, ``, false},
		{"host path of an unknown type", `"hostPath":{"path":"/x","type":"Folder"}`, ``, false},
		{"nfs", `"nfs":{"server":"s","path":"/p"}`, ``, true},
		{"nfs without a server", `"nfs":{"server":"","path":"/p"}`, ``, false},
		{"nfs with a relative path", `"nfs":{"server":"s","path":"p"}`, ``, false},
		{"csi", `"csi":{"driver":"d.example.com"}`, ``, true},
		{"csi without a driver", `"csi":{"readOnly":true}`, ``, false},
		{"empty directory with a negative size", `"emptyDir":{"sizeLimit":"-1"}`, ``, false},
		{"empty directory in memory", `"emptyDir":{"medium":"Memory","sizeLimit":"16Mi"}`, ``, true},
		{"projected", `"projected":{"sources":[{"secret":{"name":"s"}},{"serviceAccountToken":{"path":"t"}}]}`, ``, true},
		{"projected secret without a name", `"projected":{"sources":[{"secret":{}}]}`, ``, false},
		{"projected token without a path", `"projected":{"sources":[{"serviceAccountToken":{}}]}`, ``, false},
		{"projected source of two kinds", `"projected":{"sources":[{"secret":{"name":"s"},"configMap":{"name":"c"}}]}`, ``, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			volume, mount := `{"name":"v",`+c.source+`}`, `{"name":"v","mountPath":"/v"`+c.mount+`}`
			plain := `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"a"},"spec":{"volumes":[` + volume + `],"containers":[{"name":"a","image":"i",` +
				`"env":[{"name":"POD_NAME","value":"p"}],"volumeMounts":[` + mount + `]}]}}`
			if err := created(t, server, []byte(plain)); (err == nil) != c.accepted {
				t.Errorf("the API server: %v", err)
			}
			annotated, err := json.Marshal(tree{
				"apiVersion": "v1", "kind": "Pod", "metadata": tree{"name": "a", "annotations": tree{
					"sidecar.istio.io/userVolume": `[` + volume + `]`, "sidecar.istio.io/userVolumeMount": `[` + mount + `]`,
				}}, "spec": tree{"containers": []any{tree{"name": "a", "image": "i"}}},
			})
			if err != nil {
				t.Fatal(err)
			}
			out, err := defaultInjector(t, inject.Version{Major: 1, Minor: 37}).Inject(inject.Request{Pod: annotated})
			if (err == nil) != c.accepted {
				t.Errorf("the injector: %v", err)
			}
			if err != nil {
				t.Log(err)
				return
			}
			if err := created(t, server, patched(t, annotated, out)); err != nil {
				t.Errorf("the API server, injected: %v", err)
			}
		})
	}
}

func defaultInjector(t *testing.T, version inject.Version) *inject.Injector {
	t.Helper()
	cfg, problems := config.Parse(config.Texts{}, config.Labels{})
	if cfg == nil {
		t.Fatal(problems.Err())
	}
	injector, problems := inject.Compile(cfg, inject.Environment{Kubernetes: version})
	if injector == nil {
		t.Fatal(problems.Err())
	}
	return injector
}
