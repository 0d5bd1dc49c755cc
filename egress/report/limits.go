package report

// Limits bound a Table, and with it an EgressReport.
type Limits struct {
	// Destinations are those of a workload. Kubernetes recommends that a workload has
	// its own purpose; one that calls 500 external hosts is a crawler or a proxy.
	Destinations int
	// Workloads are those of a namespace.
	Workloads int
	// Bytes is the size of the object: JSON as it is stored. etcd takes requests of
	// 1.5 MiB, and a third of it leaves a margin for encodings. It is 2,500 destinations of
	// some 200 bytes each. 1,000 namespaces that have this much are 0.5 GiB, which is a
	// quarter of etcd's default quota.
	Bytes int
}

// DefaultLimits are the limits of an EgressReport.
var DefaultLimits = Limits{Destinations: 500, Workloads: 1000, Bytes: 512 << 10}

// The sizes of JSON without its texts: names of fields, punctuation, two times of 20
// bytes and the longest numbers. A test compares them with what is written.
const (
	destinationBytes = 260
	workloadBytes    = 80
	overflowBytes    = 590 // with the sketch, of 344 bytes
)

func sizeOf(d Destination) int { return destinationBytes + len(d.Host) + len(d.Rule) }

func sizeOfWorkload(w Workload) int { return workloadBytes + len(w.Kind) + len(w.Name) }
