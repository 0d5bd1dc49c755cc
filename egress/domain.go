package egress

// Domain is one virtual host of a port: the names that a request's Host is
// compared with, and what happens to the request.
type Domain struct {
	Name string // httpbin.org or *.example.com
	Host Host   // the declared host that it is, or that covers it
	// rules are the routes; none: all goes to the host.
	Routes []HTTPRoute
	By     Meta // the VirtualService that they are from
}

// SNIRoute is one route by SNI on one port.
type SNIRoute struct {
	Port  uint32
	Names []string // sorted
	Route TLSRoute
	By    Meta
}
