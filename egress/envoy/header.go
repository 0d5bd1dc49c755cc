package envoy

import (
	"fmt"
	"maps"
	"slices"

	mutationv3 "github.com/envoyproxy/go-control-plane/envoy/config/common/mutation_rules/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/egress"
)

// retryHeaders make Envoy's router retry. It removes them before it sends the
// request; those that the application sets take precedence.
func retryHeaders(on string, attempts int) []*corev3.HeaderValueOption {
	out := []*corev3.HeaderValueOption{headerOption("x-envoy-max-retries", fmt.Sprint(attempts), corev3.HeaderValueOption_ADD_IF_ABSENT)}
	if on != "" {
		out = append(out, headerOption("x-envoy-retry-on", on, corev3.HeaderValueOption_ADD_IF_ABSENT))
	}
	return out
}

func headerOption(name, value string, action corev3.HeaderValueOption_HeaderAppendAction) *corev3.HeaderValueOption {
	return &corev3.HeaderValueOption{
		Header: &corev3.HeaderValue{Key: name, Value: value}, AppendAction: action, KeepEmptyValue: value == "",
	}
}

// forwardedFor is where Envoy adds the pod's address to a mirrored request, and
// mirroredFor keeps what the application has sent.
const (
	forwardedFor = "x-forwarded-for"
	mirroredFor  = "x-outrider-mirrored-for"
)

func removed(name string) *mutationv3.HeaderMutation {
	return &mutationv3.HeaderMutation{Action: &mutationv3.HeaderMutation_Remove{Remove: name}}
}

// appended adds a header where its value, a format string, is not empty.
func appended(name, value string) *mutationv3.HeaderMutation {
	return &mutationv3.HeaderMutation{Action: &mutationv3.HeaderMutation_Append{Append: headerOption(name, value, corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD)}}
}

// changes are header operations in Envoy's form.
type changes struct {
	toRequest, toResponse   []*corev3.HeaderValueOption
	notRequest, notResponse []string
}

func headerChanges(h *networkingv1alpha3.Headers) changes {
	return changes{
		toRequest: headerOptions(h.GetRequest()), notRequest: h.GetRequest().GetRemove(),
		toResponse: headerOptions(h.GetResponse()), notResponse: h.GetResponse().GetRemove(),
	}
}

func headerOptions(o *networkingv1alpha3.Headers_HeaderOperations) []*corev3.HeaderValueOption {
	var out []*corev3.HeaderValueOption
	for _, name := range slices.Sorted(maps.Keys(o.GetSet())) {
		if !egress.IsAuthority(name) {
			out = append(out, headerOption(name, o.Set[name], corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.GetAdd())) {
		out = append(out, headerOption(name, o.Add[name], corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD))
	}
	return out
}
