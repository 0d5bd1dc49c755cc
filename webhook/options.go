package webhook

import (
	"net/http"

	"github.com/go-logr/logr"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

// Options configure the handlers.
type Options struct {
	// Active returns the injector of the active configuration, nil while there is
	// none; then pods are denied, since what to inject is unknown. A request calls
	// it once, so that one configuration decides all of it.
	Active func() *inject.Injector
	// NamespaceAnnotations returns a namespace's annotations, nil where they
	// are unknown. May be nil itself: only OpenShift needs them.
	NamespaceAnnotations func(namespace string) map[string]string
	// ConfigMaps configures the validation of the two ConfigMaps. If nil, edits
	// of them are allowed without validation.
	ConfigMaps *ConfigMaps
	// Objects returns the mesh configuration and the published objects, among
	// which an object is validated; false while they are not loaded. May be nil.
	Objects func() (egress.Input, bool)
	// Log gets one line for each request.
	Log logr.Logger
	// Metrics counts the requests.
	Metrics *Metrics
	// MaxConcurrent is the maximum number of concurrent requests, 0 for
	// DefaultMaxConcurrent. A body of more than 256 KiB counts as several.
	MaxConcurrent int
}

// DefaultMaxConcurrent keeps the bodies being read below 16 MiB.
const DefaultMaxConcurrent = 64

// Handlers returns the admission handlers by URL path.
func Handlers(o Options) map[string]http.Handler {
	return map[string]http.Handler{
		registration.InjectPath:        NewPodHandler(o),
		registration.WarnPath:          NewWorkloadHandler(o),
		registration.EphemeralPath:     NewEphemeralHandler(o),
		registration.ValidatePath:      NewObjectHandler(o),
		registration.ConfigurationPath: NewConfigMapHandler(o),
	}
}

// namespaceAnnotations is nil where they are unknown.
func (o *Options) namespaceAnnotations(namespace string) map[string]string {
	if o.NamespaceAnnotations == nil {
		return nil
	}
	return o.NamespaceAnnotations(namespace)
}
