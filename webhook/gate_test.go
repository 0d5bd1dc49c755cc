package webhook

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// Sources take turns: one with a hundred that wait delays another's by one.
func TestGate_SourcesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(1, 10)
		if !g.enter(t.Context(), "first", 10) {
			t.Fatal("an empty gate is closed")
		}
		var order []string
		for n := range 100 {
			source := "many"
			if n == 99 {
				source = "one"
			}
			go func() {
				if g.enter(t.Context(), source, int64(1+n%10)) {
					order = append(order, source)
					time.Sleep(time.Second)
					g.leave(int64(1 + n%10))
				}
			}()
			synctest.Wait()
		}
		g.leave(10)
		time.Sleep(time.Hour)
		synctest.Wait()
		if len(order) != 100 || slices.Index(order, "one") != 1 {
			t.Errorf("%d entered, the other source was number %d", len(order), slices.Index(order, "one"))
		}
		if len(g.waiting) != 0 || len(g.turns) != 0 || g.places != 1 || g.memory != 10 {
			t.Errorf("left behind: %+v", g)
		}
	})
}

// Memory is bounded beside places, and the cheapest of a source enters first.
func TestGate_Memory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(10, 10)
		g.enter(t.Context(), "a", 6)
		var order []int64
		for _, cost := range []int64{9, 5, 7} {
			go func() {
				g.enter(t.Context(), "a", cost)
				order = append(order, cost)
			}()
			synctest.Wait()
		}
		g.leave(6)
		synctest.Wait()
		g.leave(5)
		synctest.Wait()
		g.leave(7)
		synctest.Wait()
		if fmt.Sprint(order) != "[5 7 9]" {
			t.Errorf("order %v", order)
		}
	})
}

// One that gives up does not block those behind it.
func TestGate_GivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(10, 10)
		g.enter(t.Context(), "a", 6)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		results := map[string]bool{}
		go func() { results["large"] = g.enter(short, "b", 9) }()
		synctest.Wait()
		go func() { results["small"] = g.enter(t.Context(), "c", 1) }()
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if results["large"] || !results["small"] {
			t.Errorf("%v", results)
		}
	})
}

// A source that has the most memory for bodies loses its largest; others lose none.
func TestBodies(t *testing.T) {
	b := newBodies(100)
	ended := map[string]bool{}
	begin := func(source, name string, bytes int) *hold {
		var h *hold
		h = b.begin(source, func() {
			ended[name] = true
			go h.done() // as its request does
		})
		if !h.grow(bytes) {
			t.Fatalf("%s: no memory", name)
		}
		return h
	}
	other := begin("victim", "other", 20)
	complete := begin("culprit", "complete", 40)
	complete.completed()
	begin("culprit", "small", 10)
	begin("culprit", "large", 30)
	late := begin("victim", "late", 10)
	if len(ended) != 1 || !ended["large"] {
		t.Errorf("cut off: %v", ended)
	}
	begin("culprit", "more", 25)
	if len(ended) != 2 || !ended["complete"] {
		t.Errorf("cut off: %v", ended)
	}
	if !other.keep() || !late.keep() {
		t.Error("a victim's was cut off")
	}
	if h := b.begin("culprit", func() {}); h.grow(101) {
		t.Error("more than all")
	}
}

// Of one source, as the API server is, large bodies that wait cost a smaller one nothing
// while it arrives, and many that arrive slowly cost nothing to one that waits.
func TestBodies_OfOneSource(t *testing.T) {
	for name, c := range map[string]struct {
		complete, arriving []int // bytes of each, all of the memory
		want               string
	}{
		"large ones wait":     {[]int{30, 30, 30}, []int{10}, "complete 30"},
		"many arrive slowly":  {[]int{20}, []int{10, 10, 10, 10, 10, 10, 10, 10}, "arriving 10"},
		"a large one arrives": {[]int{30}, []int{10, 60}, "arriving 60"},
	} {
		t.Run(name, func(t *testing.T) {
			b, cut := newBodies(100), ""
			begin := func(kind string, bytes int) *hold {
				var h *hold
				h = b.begin("api-server", func() { cut += fmt.Sprint(kind, " ", bytes); go h.done() })
				if !h.grow(bytes) {
					t.Fatalf("no memory for %s %d", kind, bytes)
				}
				return h
			}
			for _, bytes := range c.complete {
				begin("complete", bytes).completed()
			}
			for _, bytes := range c.arriving {
				begin("arriving", bytes)
			}
			if begin("one more", 10); cut != c.want {
				t.Errorf("cut off: %q, want %q", cut, c.want)
			}
		})
	}
}
