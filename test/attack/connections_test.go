package attack

import "testing"

// idleConnections: without credentials, thousands of connections to the control plane
// do nothing, handshake a byte a second, or open no stream.
func idleConnections(t *testing.T, b *battery) {
	b.namespace(t, "idle", false)
	to := b.targets(t, 15012)
	a := b.attack(t, []string{"idle"}, "idle connect "+to, "idle bytes "+to, "idle tls "+to, "idle preface "+to)
	b.neighbor.goesOn(t, 8)
	a.stop(t)
}

// frameFloods: without credentials, connections to the control plane are flooded with
// HTTP/2 frames: streams that are reset at once, PING, SETTINGS, endless headers.
func frameFloods(t *testing.T, b *battery) {
	b.namespace(t, "frames", false)
	a := b.attack(t, []string{"frames"}, "frames all "+b.targets(t, 15012))
	b.neighbor.goesOn(t, 8)
	a.stop(t)
}
