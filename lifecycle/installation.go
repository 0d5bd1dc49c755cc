package lifecycle

import (
	"github.com/outrider-mesh/outrider/annotation"
	"github.com/outrider-mesh/outrider/internal/revision"
)

// Installation is one revision in its namespace.
type Installation struct {
	Namespace string
	Revision  revision.Revision
}

// Name is the name of the revision's object.
func (i Installation) Name(base string) string { return i.Revision.Name(base) }

// The objects that are read by name.
const (
	WebhookConfigurations = "outrider-sidecar-injector"
	CABundle              = "outrider-ca"
	Deployment            = "outrider" // of the webhook; its Service has the same name
	ControlPlane          = "outrider-xds"
)

// owns reports whether the program created an object with the labels, for this
// revision.
func (i Installation) owns(labels map[string]string) bool {
	return labels[annotation.ManagedBy] == "outrider" && i.Revision.Matches(labels[annotation.Rev])
}
