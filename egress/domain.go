package egress

// Domain is a virtual host of a port: the name that the Host of requests is
// matched with, and the routes of those requests.
type Domain struct {
	Name string // httpbin.org or *.example.com
	Host Host   // the declared host of that name, or the wildcard that covers it
	// Routes are those of the VirtualService By; without any, all requests go to
	// Host.
	Routes []HTTPRoute
	By     Meta
}

// domain is a Domain of a view, which has one for almost every host.
type domain struct {
	name   string
	host   int32 // its position in the view
	routes []HTTPRoute
	by     Meta
}

// SNIRoute is a route by SNI on one port.
type SNIRoute struct {
	Port  uint32
	Names []string // sorted
	Route TLSRoute
	By    Meta
}
