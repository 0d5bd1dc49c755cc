package webhook

import "runtime"

// heapReserve makes the garbage collector begin later. It begins when the heap has
// doubled, and that of a webhook is so small, some 10 MiB, that it would begin every
// 100 pods, which is a sixth of the processor time. With the reserve the heap grows by
// 24 MiB more before: to 2 * (10 + 24) - 24 = 44 MiB, so that the process stays below 50
// (make bench-serve). No page of the reserve is ever touched: it takes no memory itself, but
// counts for GOMEMLIMIT.
const heapReserve = 24 << 20

// reserveHeap returns what ends the reserve.
func reserveHeap() (release func()) {
	reserve := make([]byte, heapReserve)
	return func() { runtime.KeepAlive(reserve) }
}
