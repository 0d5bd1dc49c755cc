package manifest

// kinds are the API version and kind of an object.
type kinds struct{ apiVersion, kind string }

// kinds are those of an object. Without both, an item of a list such as a
// DeploymentList has those of the list, as for kubectl: the API server returns lists so.
func (t *transformer) kinds(n *node) kinds {
	if t.implies(n) {
		return t.implied
	}
	return kinds{n.str("apiVersion"), n.str("kind")}
}

func (t *transformer) implies(n *node) bool {
	return t.implied.kind != "" && n.get("kind") == nil && n.get("apiVersion") == nil
}

// withKinds is the JSON of an object with its API version and kind.
func (t *transformer) withKinds(object []byte, n *node) []byte {
	if !t.implies(n) || len(n.items) == 0 {
		return object
	}
	out := appendString([]byte(`{"apiVersion":`), t.implied.apiVersion)
	out = appendString(append(out, `,"kind":`...), t.implied.kind)
	return append(append(out, ','), object[1:]...)
}
