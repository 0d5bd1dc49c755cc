package envoy

import (
	"strings"

	"github.com/outrider-mesh/outrider/egress"
)

// Clusters are those that every sidecar has from the start.
func Clusters(v *egress.View) ([]Resource, error) {
	b := newBuilder(v)
	return finish(b, b.standingClusters())
}

// Cluster is the cluster that a sidecar requests by name when a host is first
// used; ok is false where no such host is visible to the namespace, or where it
// has no cluster of its own. The name of an SNI with a final dot is that of a
// second cluster, as is an address of a TLS host with endpoints.
func Cluster(v *egress.View, name string) (r Resource, ok bool, err error) {
	h, ok := hostOf(v, name)
	if !ok || !hasCluster(h) {
		return Resource{}, false, nil
	}
	b := newBuilder(v)
	c := b.onDemandCluster(h)
	c.Name = name
	r, err = resource(c)
	if err == nil {
		err = b.err
	}
	return r, err == nil, err
}

func hostOf(v *egress.View, cluster string) (egress.Host, bool) {
	h, ok := v.Host(strings.TrimSuffix(cluster, "."))
	if !ok {
		h, ok = v.HostOfAddress(cluster)
	}
	return h, ok
}

// HostOf is the host that a cluster is made for; ok is false where it is made for
// none.
func HostOf(v *egress.View, cluster string) (h egress.Host, ok bool) {
	for _, d := range v.Mirrors() {
		if d.MirrorClusterName() == cluster {
			return d.Host, true
		}
	}
	return hostOf(v, cluster)
}

// Listeners are all listeners, sorted by port.
func Listeners(v *egress.View) ([]Resource, error) {
	b := newBuilder(v)
	return finish(b, b.listeners())
}

// Routes are the route configurations of the listeners.
func Routes(v *egress.View) ([]Resource, error) {
	b := newBuilder(v)
	return finish(b, b.routeConfigurations())
}

// Route is one route configuration. A port on which nothing is declared any
// more has one too: connections that its listener accepted may still be open,
// and must not reach the hosts that are no longer declared.
func Route(v *egress.View, name string) (r Resource, ok bool, err error) {
	b := newBuilder(v)
	domains, ok := b.domainsOf(name)
	if !ok {
		return Resource{}, false, nil
	}
	r, err = resource(b.routeConfiguration(name, domains))
	return r, err == nil, err
}

func finish[T named](b *builder, messages []T) ([]Resource, error) {
	if b.err != nil {
		return nil, b.err
	}
	return resources(messages)
}
