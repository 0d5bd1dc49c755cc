package webhook

import "sync"

// buffers is the memory of one response, reused by the next.
type buffers struct {
	patch, out []byte
}

var (
	pool       = sync.Pool{New: func() any { return new(buffers) }}
	bodyBuffer = sync.Pool{New: func() any { return new([]byte) }}
)

// maxPooled is the largest buffer of a response that is kept for later requests: enough
// for an ordinary pod many times over, and small enough to keep one for each processor.
const maxPooled = 256 << 10

// release returns the buffers to the pool.
func (b *buffers) release() {
	if cap(b.patch) > maxPooled {
		b.patch = nil
	}
	if cap(b.out) > maxPooled {
		b.out = nil
	}
	pool.Put(b)
}

// releaseBody returns the buffer of a body to the pool. Nothing that outlives the
// request points into it: the review's object is a copy, and so is every string
// decoded. One that a connection has while its body arrives slowly is small.
func releaseBody(buffer *[]byte) {
	if cap(*buffer) > smallBody {
		*buffer = nil
	}
	bodyBuffer.Put(buffer)
}
