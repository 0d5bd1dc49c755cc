package webhook

// Limits bound what clients of the webhook can use. A field that is 0 is the default.
type Limits struct {
	// MaxConcurrent is the maximum number of concurrent requests.
	MaxConcurrent int
	// ReviewMemory is the memory, in bytes, that large reviews take together. One takes
	// at most half of it, and so do bodies that are not processed yet.
	ReviewMemory int64
	// Containers is the maximum number of containers in a review.
	Containers int
	// Connections and ConnectionsPerSource are the maximum number of connections, and
	// ConnectionRate that of new ones of a source in a second.
	Connections, ConnectionsPerSource, ConnectionRate int
}

// The defaults of Limits for reviews. A container that the API server stores has at
// least 150 bytes, and a pod 1.5 MiB, the limit of etcd for a request: these are 10,000
// containers.
const (
	DefaultMaxConcurrent   = 64
	DefaultMaxReviewMemory = 128 << 20
	DefaultMaxContainers   = 10_000
)

// The defaults of Limits for connections. An API server serves at most 600 requests at
// once (--max-requests-inflight and --max-mutating-requests-inflight), has a connection
// for each, and keeps 25 of them; 1,000 is enough for two that are full, behind one
// address, as an agent in the cluster has. A connection takes 35 KiB, and another
// 32 KiB while a body arrives: 135 MiB for all.
const (
	DefaultMaxConnections          = 2000
	DefaultMaxConnectionsPerSource = 1000
	DefaultMaxConnectionRate       = 200
)

func (l Limits) withDefaults() Limits {
	for field, value := range map[*int]int{
		&l.MaxConcurrent: DefaultMaxConcurrent, &l.Containers: DefaultMaxContainers,
		&l.Connections: DefaultMaxConnections, &l.ConnectionsPerSource: DefaultMaxConnectionsPerSource,
		&l.ConnectionRate: DefaultMaxConnectionRate,
	} {
		if *field <= 0 {
			*field = value
		}
	}
	if l.ReviewMemory <= 0 {
		l.ReviewMemory = DefaultMaxReviewMemory
	}
	return l
}
