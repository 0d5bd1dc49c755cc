package envoy

import (
	runtimev3 "github.com/envoyproxy/go-control-plane/envoy/service/runtime/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/outrider-mesh/outrider/egress"
)

// TypeRuntime is the type of the resource of the runtime. A sidecar requests it before all
// others, and waits a second for it.
const TypeRuntime = "type.googleapis.com/envoy.service.runtime.v3.Runtime"

// ReportMode is how a sidecar reports undeclared destinations. It is the version of the
// runtime.
type ReportMode string

// The modes.
const (
	ReportEntries  ReportMode = "entries"  // an entry of the access log service for each request and connection
	ReportCounters ReportMode = "counters" // counters, which the metrics service sends
	ReportNothing  ReportMode = "off"
)

// Runtime is the resource of a mode.
func Runtime(mode ReportMode) (Resource, error) {
	percent := func(on bool) *structpb.Value {
		if on {
			return structpb.NewNumberValue(100)
		}
		return structpb.NewNumberValue(0)
	}
	r, err := resource(&runtimev3.Runtime{Name: egress.RuntimeName, Layer: &structpb.Struct{Fields: map[string]*structpb.Value{
		egress.RuntimeEntries:  percent(mode == ReportEntries),
		egress.RuntimeCounters: percent(mode == ReportCounters),
	}}})
	r.Version = string(mode)
	return r, err
}
