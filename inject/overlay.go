package inject

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/inject/internal/podtemplate"
	"github.com/outrider-mesh/outrider/internal/jsontree"
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

// templateSettings are the resolved settings in the form templates need.
type templateSettings struct {
	InterceptionMode  string
	InitArgs          []string
	Resources         corev1.ResourceRequirements
	InitResources     *corev1.ResourceRequirements
	Volumes           []corev1.Volume
	VolumeMounts      []corev1.VolumeMount
	LogLevel          string
	ComponentLogLevel string
	Concurrency       int32 // worker threads; 0 means one a core
	DrainSeconds      int64 // how long a classic sidecar outlives the order to stop
	DrainTime         int64 // seconds that a connection lives on after its rule is gone
	PreStopSleep      bool  // the server knows lifecycle.preStop.sleep
	ControlPlane      string
	ControlPlaneHost  string
	ControlPlanePort  string
	ImagePullPolicy   string
	ImagePullSecrets  []string
	SeccompProfile    *corev1.SeccompProfile
	Lifecycle         *corev1.Lifecycle
	Privileged        bool
	ClusterDomain     string
	StartupProbe      bool
	StartupFailures   int32
	ReadinessDelay    int32
	ReadinessPeriod   int32
	ReadinessFailures int32
	ProxyMetadata     map[string]string
}

// origins tells podtemplate which data stems from the pod.
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
	// missing says that the template printed a value that is not set
	missing bool
}

// noValue is what text/template prints for a missing key of a map.
const noValue = "<no value>"

// injectedLists are the lists of spec whose items an injection owns by name.
var injectedLists = [...]string{"initContainers", "containers", "volumes", "imagePullSecrets"}

// parseOverlay reads a template's output. Its structure is checked against the
// pod type here, so that what a template got wrong is an error about the
// template and not about somebody's pod.
func parseOverlay(template string, text []byte, s *schema) (*overlay, error) {
	raw, err := yaml.YAMLToJSONStrict(text)
	if err != nil {
		return nil, fmt.Errorf("template %q: the output is no valid YAML: %s", template, cleanYAMLError(err))
	}
	tree := jsontree.Parse(string(raw))
	switch tree.Kind() {
	case jsontree.Null: // a template may decide to add nothing
		tree = jsontree.NewObject()
	case jsontree.Object:
	default:
		return nil, fmt.Errorf("template %q: the output is no YAML object; write metadata: and spec: of a pod", template)
	}
	tree = canonical(tree, s, false)
	var pod corev1.Pod
	if err := kjson.UnmarshalCaseSensitivePreserveInts([]byte(tree.JSON()), &pod); err != nil {
		return nil, fmt.Errorf("template %q: the output is no pod: %s", template, strings.TrimPrefix(err.Error(), "json: "))
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

// cleanYAMLError keeps the reader's own words, which name the line of the output.
func cleanYAMLError(err error) string {
	text := strings.ReplaceAll(err.Error(), "\n", " ")
	for _, prefix := range []string{"error converting YAML to JSON: ", "yaml: ", "unmarshal errors:"} {
		text = strings.TrimSpace(strings.TrimPrefix(text, prefix))
	}
	return text
}

// data returns what every template sees of configuration and settings.
func (i *Injector) data(s *Settings) templateData {
	g := &i.cfg.Values.Global
	host, port := splitHostPort(s.ProxyConfig.GetDiscoveryAddress())
	concurrency := int32(2)
	if c := s.ProxyConfig.GetConcurrency(); c != nil {
		concurrency = c.Value
	}
	return templateData{
		ProxyConfig: s.ProxyConfig, MeshConfig: i.cfg.Mesh, Values: i.values,
		Revision: i.revision(), NativeSidecars: s.NativeSidecar,
		ProxyImage: s.ProxyImage, ProxyInitImage: s.InitImage,
		ProxyUID: s.ProxyUID, ProxyGID: s.ProxyGID,
		InboundTrafficPolicyMode: i.cfg.Mesh.GetInboundTrafficPolicy().GetMode().String(),
		Outrider: templateSettings{
			InterceptionMode: s.InterceptionMode, InitArgs: s.InitArgs(),
			Resources: s.Resources, InitResources: g.ProxyInit.Resources,
			Volumes: s.Volumes, VolumeMounts: s.VolumeMounts,
			LogLevel: s.LogLevel, ComponentLogLevel: s.ComponentLogLevel, Concurrency: concurrency,
			DrainSeconds:     int64(s.ProxyConfig.GetTerminationDrainDuration().AsDuration().Seconds()),
			DrainTime:        s.ProxyConfig.GetDrainDuration().GetSeconds(),
			PreStopSleep:     i.env.Kubernetes == (Version{}) || i.env.Kubernetes.atLeast(1, 30),
			ControlPlane:     s.ProxyConfig.GetDiscoveryAddress(),
			ControlPlaneHost: host, ControlPlanePort: port,
			ImagePullPolicy: g.ImagePullPolicy, ImagePullSecrets: g.ImagePullSecrets,
			SeccompProfile: g.Proxy.SeccompProfile, Lifecycle: g.Proxy.Lifecycle, Privileged: g.Proxy.Privileged,
			ClusterDomain: g.Proxy.ClusterDomain,
			StartupProbe:  g.Proxy.StartupProbe.Enabled, StartupFailures: g.Proxy.StartupProbe.FailureThreshold,
			ReadinessDelay: g.Proxy.ReadinessInitialDelaySeconds, ReadinessPeriod: g.Proxy.ReadinessPeriodSeconds,
			ReadinessFailures: g.Proxy.ReadinessFailureThreshold,
			ProxyMetadata:     s.ProxyConfig.GetProxyMetadata(),
		},
	}
}

func (i *Injector) revision() string {
	if r := i.cfg.Values.Revision; r != "" {
		return r
	}
	return "default"
}

func splitHostPort(address string) (host, port string) {
	at := strings.LastIndexByte(address, ':')
	if at < 0 {
		return address, "15012"
	}
	return strings.Trim(address[:at], "[]"), address[at+1:]
}

// render executes one template for a pod and parses its output.
func (i *Injector) render(t *compiledTemplate, data templateData) (*overlay, error) {
	if t.Mutates {
		data.Values = runtime.DeepCopyJSON(data.Values)
	}
	text, err := t.Render(data)
	if err != nil {
		return nil, err
	}
	return parseOverlay(t.name, text, i.schema)
}

// compiledTemplate is a template with the name it is known by.
type compiledTemplate struct {
	*podtemplate.Template
	name string
}

// templateNames lists the known templates, for messages.
func (i *Injector) templateNames() string {
	return strings.Join(slices.Sorted(maps.Keys(i.templates)), ", ")
}
