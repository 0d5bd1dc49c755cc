// Package node is process 1 of a cluster's node, and the way to talk to it.
//
// A node has PID, mount, network and UTS namespaces of its own. [Start] makes
// them and runs the program test/cluster/node/cmd/node in them as their first
// process; that program, [Main], prepares the mounts, runs the daemons it is
// asked for, restarts those that end, reaps every orphan, and hands connections
// to the API server from a listener on the host's loopback interface.
//
// Two properties of the kernel make an end complete: with the first process of
// a PID namespace all others in it are killed, and with the last process of a
// mount or network namespace its mounts, interfaces and rules are gone.
package node
