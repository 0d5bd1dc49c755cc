// Package programs builds the programs of a Kubernetes cluster from the modules
// test/kube/tools and test/cluster/tools, once, into the user's cache.
//
// What a caller may assume:
//
//   - an executable is linked once for several programs, which are links to it;
//   - what is in the directory is whole, and a directory is never changed but by
//     adding to it: its name depends on everything that the build depends on;
//   - two processes never build at once: the second waits for the first;
//   - it imports the standard library alone, so that what reports the plan of a first
//     build is itself built in seconds.
package programs
