package egress

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
	networkingv1alpha3 "istio.io/api/networking/v1alpha3"
)

// virtualHost is what one VirtualService says about one host.
type virtualHost struct {
	meta    Meta
	exports exports
	host    string
	// timeout of the whole request; 0 waits without end.
	timeout time.Duration
}

// readVirtualService reads the routes. Of what a route can say, the timeout of
// a route that leads to the host itself is supported; anything else is an error
// with its path, for a route that is half obeyed is worse than none.
func readVirtualService(v VirtualService, r reporter) []virtualHost {
	s := v.Spec
	if s == nil {
		r.error("spec", "", "it is missing", "add hosts and http")
		return nil
	}
	if len(s.Gateways) > 0 && !slices.Equal(s.Gateways, []string{"mesh"}) {
		r.warn("spec.gateways", fmt.Sprint(s.Gateways), "no effect: there is no gateway but mesh, the sidecars", "remove it, or write [mesh]")
		return nil
	}
	if len(s.Tls) > 0 {
		r.error("spec.tls", "", "routes by SNI are not supported yet", "remove them")
	}
	if len(s.Tcp) > 0 {
		r.error("spec.tcp", "", "TCP routes are not supported", "remove them")
	}
	switch {
	case len(s.Http) == 0:
		return nil
	case len(s.Http) > 1:
		r.error("spec.http", "", "more than one route is not supported yet", "leave one route without match")
		return nil
	}
	timeout, ok := readRoute(s.Http[0], "spec.http[0]", r)
	var out []virtualHost
	for i, text := range s.Hosts {
		name, fault := normalHost(text)
		path := fmt.Sprintf("spec.hosts[%d]", i)
		switch {
		case fault != "":
			r.error(path, text, fault, "write the host of a ServiceEntry")
		case !leadsTo(s.Http[0], name):
			r.error("spec.http[0].route", "", "a route to another host than "+name+" is not supported yet", "write destination.host: "+name)
		case ok:
			out = append(out, virtualHost{meta: v.Meta, exports: readExports(s.ExportTo, v.Meta), host: name, timeout: timeout})
		}
	}
	return out
}

// supportedRoute are the fields of a route that have an effect, or need none.
func supportedRoute(field protoreflect.Name) bool {
	switch field {
	case "route", "timeout", "name":
		return true
	}
	return false
}

func readRoute(route *networkingv1alpha3.HTTPRoute, path string, r reporter) (time.Duration, bool) {
	ok := true
	message := route.ProtoReflect()
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); message.Has(f) && !supportedRoute(f.Name()) {
			r.error(path+"."+f.JSONName(), "", "the field is not supported yet", "remove it; the route is not used with it")
			ok = false
		}
	}
	timeout := route.GetTimeout().AsDuration()
	if timeout < 0 || timeout > 0 && timeout < time.Millisecond {
		r.error(path+".timeout", timeout.String(), "a timeout is at least 1ms", "write a time such as 3s, or 0s for none")
		ok = false
	}
	return timeout, ok
}

// leadsTo reports whether a route's one destination is the host itself.
func leadsTo(route *networkingv1alpha3.HTTPRoute, host string) bool {
	if len(route.Route) != 1 || route.Route[0].GetHeaders() != nil {
		return false
	}
	d := route.Route[0].GetDestination()
	name, _ := normalHost(d.GetHost())
	return name == host && d.GetSubset() == "" && d.GetPort() == nil
}
