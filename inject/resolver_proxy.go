package inject

import (
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/problem"

	corev1 "k8s.io/api/core/v1"
)

// proxyConfig merges the annotation into mesh.defaultConfig, as Istio does: field by
// field, maps key by key.
func (r *resolver) proxyConfig() {
	r.out.ProxyConfig = r.cfg.Mesh.GetDefaultConfig()
	text, ok := r.in.annotations[annotation.ProxyConfig]
	if !ok {
		return
	}
	overlay, _, err := annotation.ParseProxyConfig(text)
	if err != nil {
		r.problem(annotation.ProxyConfig, err)
		return
	}
	r.out.ProxyConfig = annotation.OverlayProxyConfig(r.out.ProxyConfig, overlay)
}

func (r *resolver) hold() {
	r.out.HoldApp = r.cfg.Values.Global.Proxy.HoldApplicationUntilProxyStarts
	if hold := r.out.ProxyConfig.GetHoldApplicationUntilProxyStarts(); hold != nil {
		r.out.HoldApp = hold.Value
	}
}

func (r *resolver) images() {
	g := &r.cfg.Values.Global
	image, source := r.imageReference(g.Proxy.Image), r.valueSource("global.proxy.image")
	if value, ok := r.in.annotations[annotation.ProxyImage]; ok {
		image, source = r.imageReference(value), fromAnnotation(annotation.ProxyImage)
	}
	kind, from := g.Variant, "global.variant"
	if value := r.out.ProxyConfig.GetImage().GetImageType(); value != "" {
		kind, from = value, "image.imageType of the ProxyConfig"
	}
	if value, ok := r.in.annotations[annotation.ProxyImageType]; ok {
		kind, from = value, annotation.Path(annotation.ProxyImageType, false)
		source = fromAnnotation(annotation.ProxyImageType)
	}
	if kind != "" && strings.Contains(image, "@") && source != r.valueSource("global.proxy.image") {
		r.out.notes.Add(problem.NoEffect(from, "", "the image has a digest, which is that of one variant", "remove one of the two"))
	}
	r.out.ProxyImage = withImageType(image, kind)
	r.out.InitImage = r.imageReference(g.ProxyInit.Image)
	r.set("proxyImage", r.out.ProxyImage, source)
	r.set("initImage", r.out.InitImage, r.valueSource("global.proxy_init.image"))
}

func (r *resolver) imageReference(image string) string {
	return annotation.CompleteImage(image, r.cfg.Values.Global.Hub, r.cfg.Values.Global.Tag)
}

// imageTypes are the variants that Istio and upstream Envoy publish as a part
// of the tag: at the end (istio) or before the version (envoy).
var imageTypes = []string{"debug", "distroless", "contrib", "tools"}

// withImageType exchanges the variant of an image: "default" is none. A digest
// pins one variant and stays unchanged.
func withImageType(image, kind string) string {
	at := strings.LastIndexByte(image, ':')
	if kind == "" || at < strings.LastIndexByte(image, '/') || strings.Contains(image, "@") {
		return image
	}
	name, tag := image[:at+1], image[at+1:]
	prefixed := false
	for _, t := range imageTypes {
		if rest, ok := strings.CutPrefix(tag, t+"-"); ok {
			tag, prefixed = rest, true
		}
		tag = strings.TrimSuffix(tag, "-"+t)
	}
	switch {
	case kind == "default":
		return name + tag
	case prefixed || strings.HasPrefix(tag, "v"): // envoy's form: distroless-v1.40.0
		return name + kind + "-" + tag
	}
	return name + tag + "-" + kind
}

func (r *resolver) logging() {
	p := &r.cfg.Values.Global.Proxy
	level, source := p.LogLevel, r.valueSource("global.proxy.logLevel")
	if value, ok := r.in.annotations[annotation.LogLevel]; ok {
		level, source = value, fromAnnotation(annotation.LogLevel)
	}
	r.out.LogLevel = level
	r.set("logLevel", level, source)

	level, source = p.ComponentLogLevel, r.valueSource("global.proxy.componentLogLevel")
	if value, ok := r.in.annotations[annotation.ComponentLogLevel]; ok {
		parsed, err := annotation.ParseComponentLogLevel(value) // without spaces, which Envoy rejects
		if err != nil {
			r.problem(annotation.ComponentLogLevel, err)
		}
		level, source = parsed, fromAnnotation(annotation.ComponentLogLevel)
	}
	r.out.ComponentLogLevel = level
	r.set("componentLogLevel", level, source)
}

// resources overrides the global block with the four annotations one by one: setting
// one never erases the others.
func (r *resolver) resources() {
	if global := r.cfg.Values.Global.Proxy.Resources; global != nil {
		r.out.Resources = *global.DeepCopy()
	}
	r.quantity("proxyCPU", annotation.ProxyCPU, &r.out.Resources.Requests, corev1.ResourceCPU, "requests.cpu")
	r.quantity("proxyMemory", annotation.ProxyMemory, &r.out.Resources.Requests, corev1.ResourceMemory, "requests.memory")
	r.quantity("proxyCPULimit", annotation.ProxyCPULimit, &r.out.Resources.Limits, corev1.ResourceCPU, "limits.cpu")
	r.quantity("proxyMemoryLimit", annotation.ProxyMemoryLimit, &r.out.Resources.Limits, corev1.ResourceMemory, "limits.memory")
}

// defaultConcurrency is the number of worker threads without a CPU limit.
const defaultConcurrency = 2

// concurrency is the ProxyConfig's, or what Istio's agent derives from the CPU limit: a
// thread for each CPU or part of one. More threads cannot do more, and what each of them
// prepares delays the start: with a tenth of a CPU, each 1 ms of CPU by 10 ms.
func (r *resolver) concurrency() {
	r.out.Concurrency = defaultConcurrency
	if limit := r.out.Resources.Limits.Cpu(); limit.Sign() > 0 { // 0 is none
		r.out.Concurrency = int32(min(limit.Value(), annotation.MaxConcurrency))
	}
	if c := r.out.ProxyConfig.GetConcurrency(); c != nil {
		r.out.Concurrency = c.Value
	}
}

func (r *resolver) quantity(name, annotated string, list *corev1.ResourceList, what corev1.ResourceName, path string) {
	source := r.valueSource("global.proxy.resources." + path)
	if text, ok := r.in.annotations[annotated]; ok {
		q, err := resource.ParseQuantity(strings.TrimSpace(text))
		if err != nil {
			r.problem(annotated, err)
			return
		}
		if *list == nil {
			*list = corev1.ResourceList{}
		}
		(*list)[what], source = q, fromAnnotation(annotated)
	}
	if q, ok := (*list)[what]; ok {
		r.set(name, q.String(), source)
	}
}

func (r *resolver) volumes() {
	var err error
	if text, ok := r.in.annotations[annotation.UserVolume]; ok {
		if r.out.Volumes, err = annotation.ParseVolumes(text); err != nil {
			r.problem(annotation.UserVolume, err)
		}
	}
	if text, ok := r.in.annotations[annotation.UserVolumeMount]; ok {
		if r.out.VolumeMounts, err = annotation.ParseVolumeMounts(text); err != nil {
			r.problem(annotation.UserVolumeMount, err)
		}
	}
}
