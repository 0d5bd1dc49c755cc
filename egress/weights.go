package egress

import (
	"encoding/json"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// absentWeights warns about destinations without a weight beside others with one:
// they get nothing. A weight of 0 that the object has, as tools for canary releases
// write it, is meant; the two are one in the decoded message.
func absentWeights(m Meta, spec []byte, message proto.Message) problem.List {
	s, ok := message.(*networkingv1alpha3.VirtualService)
	if !ok || !forMesh(s.Gateways) || !hasZeroWeight(s) {
		return nil
	}
	type routes []struct {
		Route []struct{ Weight *json.RawMessage }
	}
	var written struct{ HTTP, TLS routes }
	if json.Unmarshal(spec, &written) != nil {
		return nil // a form that only the strict decoder accepts
	}
	var problems problem.List
	r := reporter{KindVirtualService, m, &problems}
	for _, kind := range []struct {
		path, nothing string
		written       routes
		read          [][]int32
	}{
		{"spec.http", "receives no requests", written.HTTP, httpWeights(s)},
		{"spec.tls", "receives no connections", written.TLS, tlsWeights(s)},
	} {
		for i, route := range kind.written {
			if i >= len(kind.read) || !uneven(kind.read[i]) {
				continue
			}
			for j, to := range route.Route {
				if to.Weight == nil {
					r.warn(fmt.Sprintf("%s[%d].route[%d].weight", kind.path, i, j), "",
						"without a weight, beside destinations with one, this destination "+kind.nothing, "set weight, or remove the destination")
				}
			}
		}
	}
	return problems
}

// uneven reports whether some of several weights are 0, and others are not.
func uneven(weights []int32) bool {
	return slices.Contains(weights, 0) && slices.ContainsFunc(weights, func(w int32) bool { return w > 0 })
}

func hasZeroWeight(s *networkingv1alpha3.VirtualService) bool {
	return slices.ContainsFunc(httpWeights(s), uneven) || slices.ContainsFunc(tlsWeights(s), uneven)
}

// httpWeights are the weights of the routes for requests; none for routes that
// are for other gateways.
func httpWeights(s *networkingv1alpha3.VirtualService) [][]int32 {
	out := make([][]int32, len(s.Http))
	for i, route := range s.Http {
		if !allElsewhere(route.GetMatch()) {
			out[i] = weightsOf(route.GetRoute())
		}
	}
	return out
}

func tlsWeights(s *networkingv1alpha3.VirtualService) [][]int32 {
	out := make([][]int32, len(s.Tls))
	for i, route := range s.Tls {
		if !allElsewhere(route.GetMatch()) {
			out[i] = weightsOf(route.GetRoute())
		}
	}
	return out
}

func weightsOf[W interface{ GetWeight() int32 }](route []W) []int32 {
	out := make([]int32, len(route))
	for i, to := range route {
		out[i] = to.GetWeight()
	}
	return out
}
