package webhook

import (
	"context"
	"slices"
	"sync"
)

// gate bounds how many reviews are processed at once, and the memory that they take.
// Those that wait enter in turns of their sources, so that a source with many waits
// for itself.
type gate struct {
	mu      sync.Mutex
	places  int
	limit   int64                // of the memory
	memory  int64                // that is free
	waiting map[string][]*waiter // by source, the cheapest first
	turns   []string             // the sources that wait, the next first
}

type waiter struct {
	cost    int64
	entered chan struct{}
}

func newGate(places int, memory int64) *gate {
	return &gate{places: places, limit: memory, memory: memory, waiting: map[string][]*waiter{}}
}

// enter waits for a place and memory; false if ctx is done before. The cost must not
// exceed the gate's limit.
func (g *gate) enter(ctx context.Context, source string, cost int64) bool {
	g.mu.Lock()
	if len(g.turns) == 0 && g.take(cost) {
		g.mu.Unlock()
		return true
	}
	w := &waiter{cost, make(chan struct{})}
	if len(g.waiting[source]) == 0 {
		g.turns = append(g.turns, source)
	}
	g.insert(source, w)
	g.mu.Unlock()
	select {
	case <-w.entered:
		return true
	case <-ctx.Done():
		return g.giveUp(source, w)
	}
}

// insert adds one that waits, after those of its source that cost as much.
func (g *gate) insert(source string, w *waiter) {
	of := g.waiting[source]
	n := len(of)
	for n > 0 && of[n-1].cost > w.cost {
		n--
	}
	g.waiting[source] = slices.Insert(of, n, w)
}

// giveUp ends the wait of one whose time is over; it may have entered meanwhile.
func (g *gate) giveUp(source string, w *waiter) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := slices.Index(g.waiting[source], w)
	if n < 0 {
		return true
	}
	g.removeWaiter(source, n)
	g.admit() // it may have been the one that the others waited behind
	return false
}

func (g *gate) removeWaiter(source string, n int) {
	if g.waiting[source] = slices.Delete(g.waiting[source], n, n+1); len(g.waiting[source]) == 0 {
		delete(g.waiting, source)
		g.turns = slices.DeleteFunc(g.turns, func(s string) bool { return s == source })
	}
}

func (g *gate) take(cost int64) bool {
	if g.places == 0 || g.memory < cost {
		return false
	}
	g.places--
	g.memory -= cost
	return true
}

// leave ends what entered.
func (g *gate) leave(cost int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.places++
	g.memory += cost
	g.admit()
}

// admit lets those enter whose turn it is. One that needs much memory is not passed by
// those of other sources: it would wait forever.
func (g *gate) admit() {
	for len(g.turns) > 0 {
		source := g.turns[0]
		w := g.waiting[source][0]
		if !g.take(w.cost) {
			return
		}
		close(w.entered)
		g.turns = append(g.turns[1:], source)
		g.removeWaiter(source, 0)
	}
}
