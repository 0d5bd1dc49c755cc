package webhook

import "sync"

// buffers is the memory of one request, reused by the next.
type buffers struct {
	body, patch, out []byte
}

var pool = sync.Pool{New: func() any { return new(buffers) }}

// maxPooled is the largest buffer that is kept for later requests: room for an
// ordinary pod many times over, and small enough to keep one for each processor.
const maxPooled = 256 << 10

// release returns the buffers to the pool. Nothing that outlives the request
// points into them: the review's object is a copy, and so is every string decoded.
func (b *buffers) release() {
	if cap(b.body) > maxPooled {
		b.body = nil
	}
	if cap(b.patch) > maxPooled {
		b.patch = nil
	}
	if cap(b.out) > maxPooled {
		b.out = nil
	}
	pool.Put(b)
}
