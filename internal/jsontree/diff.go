package jsontree

// Op is one RFC 6902 operation; Value is nil for "remove".
type Op struct {
	Op    string
	Path  string
	Value *Node
}

// Diff returns the operations that turn a into b, in the order in which they
// must be applied. Where nothing changed it returns nil.
func Diff(a, b *Node) []Op {
	d := differ{path: make([]byte, 0, 64)}
	d.node(a, b)
	return d.ops
}

type differ struct {
	ops  []Op
	path []byte
}

func (d *differ) emit(op string, value *Node) {
	d.ops = append(d.ops, Op{op, string(d.path), value})
}

func (d *differ) node(a, b *Node) {
	switch {
	case a == b:
	case a.Kind() == Object && b.Kind() == Object:
		d.object(a, b)
	case a.Kind() == Array && b.Kind() == Array:
		d.array(a.Items(), b.Items())
	case !Equal(a, b):
		d.emit("replace", b)
	}
}

func (d *differ) object(a, b *Node) {
	base := len(d.path)
	inA, inB := a.Finder(), b.Finder()
	for _, m := range a.Members() {
		if inB(m.Key) == nil {
			d.path = AppendPointer(d.path[:base], m.Key)
			d.emit("remove", nil)
		}
	}
	for _, m := range b.Members() {
		d.path = AppendPointer(d.path[:base], m.Key)
		if old := inA(m.Key); old != nil {
			d.node(old, m.Value)
		} else {
			d.emit("add", m.Value)
		}
	}
	d.path = d.path[:base]
}

// array trims what is equal at both ends. What is left between is compared
// item by item where both sides have as many or the items bear one name, and
// otherwise removed and added: lists change here by an insertion or a removal.
func (d *differ) array(a, b []*Node) {
	start := 0
	for start < len(a) && start < len(b) && Equal(a[start], b[start]) {
		start++
	}
	endA, endB := len(a), len(b)
	for endA > start && endB > start && Equal(a[endA-1], b[endB-1]) {
		endA, endB = endA-1, endB-1
	}
	base := len(d.path)
	for start < endA && start < endB && (endA-start == endB-start || sameName(a[start], b[start])) {
		d.path = AppendIndex(d.path[:base], start)
		d.node(a[start], b[start])
		start++
	}
	for i := endA - 1; i >= start; i-- {
		d.path = AppendIndex(d.path[:base], i)
		d.emit("remove", nil)
	}
	for i := start; i < endB; i++ {
		d.path = AppendIndex(d.path[:base], i)
		d.emit("add", b[i])
	}
	d.path = d.path[:base]
}

// sameName reports that two list items are one thing in two states, as containers,
// volumes and environment variables of one name are.
func sameName(a, b *Node) bool {
	name := a.Get("name").Text()
	return name != "" && name == b.Get("name").Text()
}
