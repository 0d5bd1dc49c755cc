package jsontree

// manyMembers is the size of objects from which a Finder does not begin at the first
// member.
const manyMembers = 32

// Finder returns Get for keys in the order of the text: it begins after the member that
// it found last, so that objects with the same keys are compared in linear time.
func (n *Node) Finder() func(key string) *Node {
	members := n.Members()
	if len(members) < manyMembers {
		return n.Get
	}
	next := 0
	return func(key string) *Node {
		for i := range members {
			at := (next + i) % len(members)
			if members[at].Key == key {
				next = at + 1
				return members[at].Value
			}
		}
		return nil
	}
}
