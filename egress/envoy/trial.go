package envoy

import (
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/outrider-mesh/outrider/egress"
)

// TrialListener is the name of the listener that Trial makes.
const TrialListener = "trial"

// trialAddress is where no connection goes: the broadcast address.
const trialAddress = "255.255.255.255"

// Trial is a listener that Envoy accepts where it accepts a listener or a route
// configuration of the view, and that has no effect: it is not bound, and no
// connection has its address as the destination. ok is false where the view has no
// such resource.
func Trial(v *egress.View, typeURL, name string) (r Resource, ok bool, err error) {
	b := newBuilder(v)
	var l *listenerv3.Listener
	switch typeURL {
	case TypeListener:
		l = b.listenerNamed(name)
	case TypeRoute:
		if domains, known := b.domainsOf(name); known {
			manager := b.manager(name, nil)
			manager.RouteSpecifier = &hcmv3.HttpConnectionManager_RouteConfig{RouteConfig: b.routeConfiguration(name, domains)}
			l = &listenerv3.Listener{FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{b.managerFilter(manager)}}}}
		}
	}
	if l == nil {
		return Resource{}, false, b.err
	}
	l.Name, l.Address, l.AdditionalAddresses = TrialListener, socket(trialAddress, 65535), nil
	l.BindToPort, l.UseOriginalDst = wrapperspb.Bool(false), nil
	if r, err = resource(l); err == nil {
		err = b.err
	}
	return r, err == nil, err
}
