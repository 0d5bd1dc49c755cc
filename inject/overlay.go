package inject

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/inject/internal/podtemplate"
	"github.com/outrider-mesh/outrider/internal/jsontree"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"
)

// templateData is what a template sees. The names are Istio's, so that
// templates written for its injector work; Outrider holds what its templates
// have to compute for themselves.
type templateData struct {
	TypeMeta                 metav1.TypeMeta
	DeploymentMeta           types.NamespacedName
	ObjectMeta               metav1.ObjectMeta
	Spec                     corev1.PodSpec
	ProxyConfig              *meshconfig.ProxyConfig
	MeshConfig               *meshconfig.MeshConfig
	Values                   map[string]any
	Revision                 string
	NativeSidecars           bool
	ProxyImage               string
	ProxyInitImage           string
	ProxyUID                 int64
	ProxyGID                 int64
	InboundTrafficPolicyMode string
	CompliancePolicy         string
	Outrider                 templateSettings
}

// CAConfigMap is the name, without the revision, of the ConfigMap with the CA bundle of a
// control plane. Pods of two revisions may be in one namespace, and each revision has its
// own CA.
const CAConfigMap = "outrider-ca"

// templateSettings are the resolved settings in the form templates need.
type templateSettings struct {
	InterceptionMode  string
	InitArgs          []string
	InitWaits         bool // istio-init ends when the sidecar, which starts before it, is ready
	Resources         corev1.ResourceRequirements
	InitResources     *corev1.ResourceRequirements
	Volumes           []corev1.Volume
	VolumeMounts      []corev1.VolumeMount
	MountsAPIToken    bool // one of VolumeMounts is at the path of the API token
	LogLevel          string
	ComponentLogLevel string
	Concurrency       int32 // worker threads; 0 means one a core
	DrainSeconds      int64 // how long a classic sidecar keeps running after SIGTERM
	DrainTime         int64 // seconds that a connection stays open after its listener was removed
	PreStopSleep      bool  // the server supports lifecycle.preStop.sleep
	ControlPlane      string
	ControlPlaneHost  string
	ControlPlanePort  string
	CAConfigMap       string // has the CA bundle that verifies the control plane
	ImagePullPolicy   string
	ImagePullSecrets  []string
	SeccompProfile    *corev1.SeccompProfile
	Lifecycle         *corev1.Lifecycle
	Privileged        bool
	ClusterDomain     string
	LogAsJSON         bool
	Probes            bool // readiness and startup
	StartupProbe      bool
	StartupFailures   int32
	ReadinessDelay    int32
	ReadinessPeriod   int32
	ReadinessFailures int32
	ProxyMetadata     map[string]string
}

// origins declares for podtemplate which data comes from the pod.
var origins = map[string]podtemplate.Origin{
	"TypeMeta": podtemplate.FromPod, "DeploymentMeta": podtemplate.FromPod,
	"ObjectMeta": podtemplate.FromPod, "Spec": podtemplate.FromPod,
	"ProxyConfig": podtemplate.FromSettings, "ProxyImage": podtemplate.FromSettings,
	"ProxyUID": podtemplate.FromSettings, "ProxyGID": podtemplate.FromSettings,
	"Outrider":   podtemplate.FromSettings,
	"MeshConfig": podtemplate.FromConfig, "Values": podtemplate.FromConfig,
	"Revision": podtemplate.FromConfig, "NativeSidecars": podtemplate.FromConfig,
	"ProxyInitImage": podtemplate.FromConfig, "InboundTrafficPolicyMode": podtemplate.FromConfig,
	"CompliancePolicy": podtemplate.FromConfig,
}

// overlay is one rendered template: a strategic merge patch for a pod. It is
// sealed, and may be merged into any number of pods at once.
type overlay struct {
	tree *jsontree.Node
	sum  string // of the text, for the status annotation
	// names of what the overlay brings, by list of the pod's spec
	names map[string][]string
	// missing is set when the template printed a value that is not set
	missing bool
}

// noValue is what text/template prints for a missing key of a map.
const noValue = "<no value>"

// injectedLists are the lists of spec whose items an injection owns by name.
var injectedLists = [...]string{"initContainers", "containers", "volumes", "imagePullSecrets"}

// parseOverlay reads a template's output. Its structure is checked against the pod
// type here, so that a mistake in a template is an error about the template and not
// about a pod.
func parseOverlay(template string, text []byte, s *schema) (*overlay, error) {
	raw, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, fmt.Errorf("template %q: the output is invalid YAML: %s", template, cleanYAMLError(err))
	}
	tree := jsontree.Parse(string(raw))
	switch tree.Kind() {
	case jsontree.Null: // a template may decide to add nothing
		tree = jsontree.NewObject()
	case jsontree.Object:
	default:
		return nil, fmt.Errorf("template %q: the output is not a mapping; it must have metadata and spec of a pod", template)
	}
	tree = canonical(tree, s, false)
	var pod corev1.Pod
	if err := kjson.UnmarshalCaseSensitivePreserveInts([]byte(tree.JSON()), &pod); err != nil {
		return nil, fmt.Errorf("template %q: the output is not a pod: %s", template, strings.TrimPrefix(err.Error(), "json: "))
	}
	o := &overlay{tree: jsontree.Parse(tree.JSON()).Seal(), names: map[string][]string{}, missing: bytes.Contains(text, []byte(noValue))}
	sum := sha256.Sum256([]byte(o.tree.JSON()))
	o.sum = hex.EncodeToString(sum[:8])
	for _, list := range injectedLists {
		for _, item := range o.tree.At("spec", list).Items() {
			if item.Get("$patch") == nil {
				o.names[list] = append(o.names[list], item.Get("name").Text())
			}
		}
	}
	return o, nil
}

// cleanYAMLError keeps the parser's own message, which has the line of the output.
func cleanYAMLError(err error) string {
	text := strings.ReplaceAll(err.Error(), "\n", " ")
	for _, prefix := range []string{"error converting YAML to JSON: ", "yaml: ", "unmarshal errors:"} {
		text = strings.TrimSpace(strings.TrimPrefix(text, prefix))
	}
	return text
}

// compiledTemplate is a template with its name.
type compiledTemplate struct {
	*podtemplate.Template
	name, source string
}

// reads reports that the template's text has the name of an annotation or label.
func (t *compiledTemplate) reads(name string) bool { return strings.Contains(t.source, name) }

func contentHash(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

func overlayHash(overlays []*overlay) string {
	if len(overlays) == 1 {
		return overlays[0].sum
	}
	sums := make([]string, len(overlays))
	for n, o := range overlays {
		sums[n] = o.sum
	}
	return contentHash(sums...)
}

func splitHostPort(address string) (host, port string) {
	at := strings.LastIndexByte(address, ':')
	if at < 0 {
		return address, "15012"
	}
	return strings.Trim(address[:at], "[]"), address[at+1:]
}
