// Package debug serves the debug endpoints of one replica: the connected
// sidecars, what they were sent and what they rejected, and the mesh objects with
// their problems.
//
// What a caller may assume: the endpoints are read only, and answer only users
// whom a role grants their path, by the API server's own decision.
package debug
