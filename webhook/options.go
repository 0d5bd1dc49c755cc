package webhook

import (
	"crypto/tls"
	"net/http"

	"github.com/go-logr/logr"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/validate"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

// Options configure the handlers.
type Options struct {
	// Active returns the injector of the active configuration, nil while there is
	// none; then pods are denied, since what to inject is unknown. A request calls
	// it once, so that one configuration decides all of it.
	Active func() *inject.Injector
	// Loaded is closed once the configuration was read, valid or not. Requests are held
	// until then. If nil, none is held.
	Loaded <-chan struct{}
	// NamespaceAnnotations returns a namespace's annotations, nil where they
	// are unknown. May be nil itself: only OpenShift needs them.
	NamespaceAnnotations func(namespace string) map[string]string
	// ConfigMaps configures the validation of the two ConfigMaps. If nil, edits
	// of them are allowed without validation.
	ConfigMaps *validate.ConfigMaps
	// Objects returns the mesh configuration and the published objects, among
	// which an object is validated; false while they are not loaded. May be nil.
	Objects func() (egress.Input, bool)
	// Log gets one line for each request.
	Log logr.Logger
	// Metrics counts the requests.
	Metrics *Metrics
	// Limits bound what clients can use.
	Limits Limits
	// Authenticate returns an error for a connection that is not the API server's. If
	// nil, any client is answered.
	Authenticate func(*tls.ConnectionState) error

	shared *limits // by the handlers; nil where one is alone
}

// Handlers returns the admission handlers by URL path. They share their limits.
func Handlers(o Options) map[string]http.Handler {
	o.shared = newLimits(o.Limits)
	return map[string]http.Handler{
		registration.InjectPath:        NewPodHandler(o),
		registration.WarnPath:          NewWorkloadHandler(o),
		registration.EphemeralPath:     NewEphemeralHandler(o),
		registration.ImagePath:         NewImageHandler(o),
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
