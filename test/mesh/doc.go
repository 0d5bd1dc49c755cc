// Package mesh is a real cluster with Outrider on it and the internet of package
// world around it, for the end-to-end tests and for the demo.
//
// [Up] brings a cluster of its own up. [Borrow] takes one of the user's, by the
// name of its context and never otherwise: nothing here reads KUBECONFIG or the
// user's kubeconfig before Borrow is called. Commands that [Mesh.Bash] runs see
// the mesh's cluster and no other, whatever the environment is.
//
// What a caller may assume:
//
//   - kubectl, outrider and bash are on the PATH of a command, which runs in a
//     directory that has deploy/, docs/ and samples/ as the checkout has them;
//   - the names of package world resolve in every pod of a cluster of our own; in
//     a borrowed one only in pods of samples/sleep/sleep.yaml and in those that
//     [Mesh.WithExternalHosts] has had, and each name is a pod of the cluster;
//   - [Mesh.Close] removes what was made: a cluster of our own whole, of a
//     borrowed one Outrider and the internet.
package mesh
