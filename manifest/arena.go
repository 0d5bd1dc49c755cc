package manifest

import (
	"github.com/outrider-mesh/outrider/internal/problem"
)

// arena is the memory of a worker, reused from document to document, as most of it
// has the same size each time. Nothing from it is valid after reset.
type arena struct {
	blocks      [][]node
	block, used int
	edits       []byte // the texts of an editor
	scratch     []byte // a scalar while it is read
	pods        importer
	problem     *problem.Problem // that ended the last parse, where it is certain
}

func newArena() *arena {
	a := &arena{}
	a.pods.mem = a
	return a
}

const (
	arenaBlock  = 256
	arenaBlocks = 32 // kept from one document to the next
	arenaBytes  = 1 << 20
)

// new returns a zero node.
func (a *arena) new() *node {
	if a.block == len(a.blocks) {
		a.blocks = append(a.blocks, make([]node, arenaBlock))
	}
	n := &a.blocks[a.block][a.used]
	if a.used++; a.used == arenaBlock {
		a.block, a.used = a.block+1, 0
	}
	return n
}

// reset frees everything for the next document.
func (a *arena) reset() {
	for i := 0; i <= a.block && i < len(a.blocks) && i < arenaBlocks; i++ {
		clear(a.blocks[i])
	}
	if len(a.blocks) > arenaBlocks {
		clear(a.blocks[arenaBlocks:])
		a.blocks = a.blocks[:arenaBlocks]
	}
	a.block, a.used = 0, 0
	if cap(a.edits) > arenaBytes {
		a.edits = nil
	}
	if cap(a.scratch) > arenaBytes {
		a.scratch = nil
	}
}
