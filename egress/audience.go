package egress

// audience finds, among hosts, the first one that some namespace sees together
// with a given object. Hosts are numbers, and are added in ascending order. It takes
// a time that does not grow with the number of hosts: a port may have thousands of
// each protocol.
type audience struct {
	first, ofAll int            // the first host that a namespace sees, and that all see; plus 1
	by           map[string]int // the first host that a namespace sees by its name; plus 1
}

func (a *audience) add(host int, e exports) {
	if e.none() {
		return
	}
	n := host + 1
	setFirst(&a.first, n)
	if e.all {
		setFirst(&a.ofAll, n)
		return
	}
	if a.by == nil {
		a.by = map[string]int{}
	}
	for _, ns := range e.namespaces {
		first := a.by[ns]
		setFirst(&first, n)
		a.by[ns] = first
	}
}

// meeting is the first host that a namespace sees together with an object.
func (a *audience) meeting(e exports) (host int, found bool) {
	first := a.ofAll
	switch {
	case e.none():
		return 0, false
	case e.all:
		first = a.first
	}
	for _, ns := range e.namespaces {
		if n := a.by[ns]; n != 0 && (first == 0 || n < first) {
			first = n
		}
	}
	return first - 1, first != 0
}

// setFirst sets a number that is not set yet.
func setFirst(to *int, n int) {
	if *to == 0 {
		*to = n
	}
}
