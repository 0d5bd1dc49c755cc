package egress

// Limits bound what the objects of one namespace take of all sidecars and of the
// control plane. An object over a limit is omitted whole, the youngest first, and
// no object of another namespace is. A field that is 0 is the default.
type Limits struct {
	// ObjectBytes is the size of an object's spec.
	ObjectBytes int
	// ObjectHosts are the hosts of an object.
	ObjectHosts int
	// ObjectPorts are the ports of a ServiceEntry. Each takes two listeners, of IPv4 and
	// IPv6, in all sidecars that see it: some 62 KiB, so 6 MiB.
	ObjectPorts int
	// NamespaceObjects are the ServiceEntries and VirtualServices of a namespace.
	NamespaceObjects int
	// NamespaceBytes is the size of their specs.
	NamespaceBytes int
	// NamespaceHosts are the hosts of its ServiceEntries, once for each port. One
	// takes some 0.2 KiB of a sidecar, so 2 MiB.
	NamespaceHosts int
	// NamespacePorts are the different ports of its ServiceEntries: 12 MiB of a sidecar.
	NamespacePorts int
	// NamespaceSidecars are the Sidecars of a namespace, each of which may take a view of
	// its own.
	NamespaceSidecars int
	// NamespaceAddresses are the endpoints of its headless Services. One takes some 0.1
	// KiB of all sidecars; Kubernetes supports 3,000 pods in a namespace, of two
	// families.
	NamespaceAddresses int
	// ViewPorts are the different ports that a sidecar has listeners for: 31 MiB. The
	// namespace's own and those of the root namespace come first; of the rest, each
	// other namespace has an equal share.
	ViewPorts int
}

// The defaults of Limits.
const (
	DefaultObjectBytes        = 256 << 10
	DefaultObjectHosts        = 1000
	DefaultObjectPorts        = 100
	DefaultNamespaceObjects   = 5000
	DefaultNamespaceBytes     = 4 << 20
	DefaultNamespaceHosts     = 10_000
	DefaultNamespacePorts     = 200
	DefaultNamespaceSidecars  = 50
	DefaultNamespaceAddresses = 6000
	DefaultViewPorts          = 500
)

// Least is the smallest of all.
func (l Limits) Least() int {
	return min(l.ObjectBytes, l.ObjectHosts, l.ObjectPorts, l.NamespaceObjects, l.NamespaceBytes, l.NamespaceHosts, l.NamespacePorts, l.NamespaceSidecars, l.NamespaceAddresses, l.ViewPorts)
}

func (l Limits) withDefaults() Limits {
	for field, value := range map[*int]int{
		&l.ObjectBytes: DefaultObjectBytes, &l.ObjectHosts: DefaultObjectHosts, &l.ObjectPorts: DefaultObjectPorts,
		&l.NamespaceObjects: DefaultNamespaceObjects, &l.NamespaceBytes: DefaultNamespaceBytes,
		&l.NamespaceHosts: DefaultNamespaceHosts, &l.NamespacePorts: DefaultNamespacePorts, &l.NamespaceSidecars: DefaultNamespaceSidecars, &l.NamespaceAddresses: DefaultNamespaceAddresses, &l.ViewPorts: DefaultViewPorts,
	} {
		if *field <= 0 {
			*field = value
		}
	}
	return l
}
