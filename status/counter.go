package status

import (
	"crypto/sha256"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// Counter counts pods as a Collector does, and keeps a verdict of each group and nothing of
// the pods: some 100 bytes for each workload.
type Counter struct {
	collector *Collector
	verdicts  map[[sha256.Size]byte]counted
	summary   Summary
	failed    int
}

// counted is the verdict of a group.
type counted struct{ injected, stale, missing, failed bool }

// maxRecords are the records of injections, and their differences, that a Counter keeps:
// they have some 2 KB each. Most pods have one of a few.
const maxRecords = 1000

// NewCounter prepares a count.
func NewCounter(in Input, now time.Time) *Counter {
	in.Earlier = nil // since when is not counted
	return &Counter{collector: NewCollector(in, now), verdicts: map[[sha256.Size]byte]counted{}}
}

// Add counts a pod. One that has ended, or is being deleted, is not counted.
func (c *Counter) Add(p *corev1.Pod) {
	if ended(p) {
		return
	}
	id := sha256.Sum256([]byte(key(p)))
	v, ok := c.verdicts[id]
	if !ok {
		v = c.judge(p)
		c.verdicts[id] = v
	}
	c.summary.Pods++
	c.summary.Injected += number(v.injected)
	c.summary.Stale += number(v.stale)
	c.summary.Missing += number(v.missing)
	c.failed += number(v.failed)
}

func (c *Counter) judge(p *corev1.Pod) counted {
	if len(c.collector.records) > maxRecords {
		clear(c.collector.records)
	}
	if len(c.collector.found) > maxRecords {
		clear(c.collector.found)
	}
	g, err := c.collector.compare(p)
	if err != nil {
		return counted{failed: true} // and the others are counted
	}
	return counted{injected: g.injected, stale: g.now.stale, missing: g.now.missing}
}

// Summary is of the pods that were added. Its Workloads are not counted.
func (c *Counter) Summary() Summary { return c.summary }

// Failed are the pods that could not be compared.
func (c *Counter) Failed() int { return c.failed }

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}
