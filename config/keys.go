package config

import (
	"slices"
	"strings"
)

// The keys of Istio's values (its chart's values.yaml and values_types.proto).
// A key in none of these tables is unknown.

// silentKeys are valid and have no effect on injected pods, which no user who sets
// them expects. Keys below them are not checked.
const silentKeys = `
_internal_defaults_do_not_set defaults profile compatibilityVersion defaultRevision ownerName revisionTags
experimental gatewayClasses base pdb telemetry ztunnel cni istiodRemote sidecarInjectorWebhook gateways
pilot.cni.affinity pilot.cni.ambient pilot.cni.chained pilot.cni.cniBinDir pilot.cni.cniConfDir pilot.cni.cniConfFileName
pilot.cni.cniNetnsDir pilot.cni.env pilot.cni.excludeNamespaces pilot.cni.hub pilot.cni.image pilot.cni.istioOwnedCNIConfig
pilot.cni.istioOwnedCNIConfigFileName pilot.cni.logging pilot.cni.podAnnotations pilot.cni.podLabels pilot.cni.provider
pilot.cni.pullPolicy pilot.cni.repair pilot.cni.resourceQuotas pilot.cni.resources pilot.cni.seccompProfile pilot.cni.tag
pilot.cni.tolerations pilot.cni.variant
global.arch global.agentgateway global.caAddress global.caName global.certSigners global.configCluster global.configValidation
global.defaultNodeSelector global.defaultPodDisruptionBudget global.defaultResources global.defaultTolerations
global.enableReaderRBAC global.externalIstiod global.ipFamilies global.ipFamilyPolicy global.istioNamespace global.istiod
global.jwtPolicy global.meshID global.meshNetworks global.multiCluster global.nativeNftables global.networkPolicy
global.omitSidecarInjectorConfigMap global.operatorManageWebhooks global.pilotCertProvider global.podDNSSearchNamespaces
global.priorityClassName global.readerServiceAccount global.remotePilotAddress global.resourceScope global.revision
global.sds global.sts global.tracer global.trustBundleName global.waypoint
global.proxy_init.forceApplyIptables
global.autoscalingv2API global.oneNamespace istio_cni.provider
`

// pilotKeys are the rest of pilot.*, which configure Istio's own Deployment.
const pilotKeys = `
affinity autoscaleBehavior autoscaleEnabled autoscaleMax autoscaleMin configMap cpu crlConfigMapName deploymentAnnotations
deploymentLabels enabled envVarFrom extraContainerArgs hub image initContainers ipFamilies ipFamilyPolicy istiodRemote
jwksResolverExtraRootCA keepaliveMaxServerConnectionAge memory nodeSelector podAnnotations podLabels replicaCount resources
rollingMaxSurge rollingMaxUnavailable seccompProfile serviceAccountAnnotations serviceAnnotations
sidecarInjectorWebhookAnnotations tag taint tolerations topologySpreadConstraints traceSampling trustedZtunnelName
trustedZtunnelNamespace variant volumeMounts volumes
`

// ineffective is a warning about a known key that has no effect although users expect
// one.
type ineffective struct {
	quiet []string // values, as text, that request the existing behavior
	why   string   // it has no effect
	fix   string
}

const whyInbound = "inbound traffic is never captured, so every inbound port reaches the application directly"

var ineffectiveKeys = map[string]ineffective{
	"global.network":                   {[]string{""}, "the mesh is one network", "remove it"},
	"global.logging.level":             {[]string{"default:info", "info", ""}, "there is no agent", "use global.proxy.logLevel"},
	"global.proxy.includeInboundPorts": {[]string{"*", ""}, whyInbound, "remove it"},
	"global.proxy.excludeInboundPorts": {[]string{""}, whyInbound, "remove it"},
	"global.proxy.statusPort":          {[]string{"15020", "0"}, "there is no agent; the proxy answers readiness on 15021", "remove it"},
	"global.proxy.tracer":              {[]string{"none", "", "zipkin"}, "the proxy sends no traces", "remove it"},
	"global.proxy.outlierLogPath":      {[]string{""}, "the proxy writes no outlier log", "remove it"},
	"global.proxy.enableCoreDump":      {[]string{"false"}, "core dumps are not set up", "remove it"},
	"global.mountMtlsCerts":            {[]string{"false"}, "the proxy uses no workload certificates", "remove it"},
	"pilot.cni.enabled":                {[]string{"false"}, "redirection is set up by the init container, not by a CNI plugin", "remove it"},
	"istio_cni.enabled":                {[]string{"false"}, "redirection is set up by the init container, not by a CNI plugin", "remove it"},
	"istio_cni.chained":                {[]string{"true", "false"}, "", ""},
	"meshConfig":                       {nil, "not read from the values", `set it in ConfigMap istio, key "mesh"`},
}

// keyTable is the tables above as one tree.
type keyTable struct {
	kind     map[string]keyKind  // by path; parents are keyParent
	children map[string][]string // names below a path, sorted
}

type keyKind uint8

const (
	keyUnknown keyKind = iota
	keyParent
	keyUsed
	keyTyped
	keySilent
)

// valueKeys is built once and never changed.
var valueKeys = buildKeys()

func buildKeys() keyTable {
	t := keyTable{kind: map[string]keyKind{}, children: map[string][]string{}}
	for _, k := range usedKeys {
		kind := keyUsed
		if k.Type == TypeObject || k.Type == TypeLists {
			kind = keyTyped
		}
		t.add(k.Path, kind)
	}
	for _, path := range strings.Fields(silentKeys) {
		t.add(path, keySilent)
	}
	for _, name := range strings.Fields(pilotKeys) {
		t.add("pilot."+name, keySilent)
	}
	for path := range ineffectiveKeys {
		if t.kind[path] == keyUnknown {
			t.add(path, keySilent)
		}
	}
	for _, names := range t.children {
		slices.Sort(names)
	}
	return t
}

// elsewhere is the first path with an effect that ends in a name; empty if there is none.
func (t *keyTable) elsewhere(name string) string {
	for _, k := range usedKeys {
		for at := k.Path; at != ""; {
			i := strings.LastIndexByte(at, '.')
			if at[i+1:] == name {
				return at
			}
			at = at[:max(i, 0)]
		}
	}
	return ""
}

func (t *keyTable) add(path string, kind keyKind) {
	t.kind[path] = kind
	for {
		i := strings.LastIndexByte(path, '.')
		parent, name := "", path
		if i >= 0 {
			parent, name = path[:i], path[i+1:]
		}
		t.children[parent] = append(t.children[parent], name)
		if i < 0 || t.kind[parent] != keyUnknown {
			return
		}
		t.kind[parent] = keyParent
		path = parent
	}
}
