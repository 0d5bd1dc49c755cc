// Command demo demonstrates the main use case. It brings up a real one-node
// cluster, or a real API server alone, or uses a cluster of the user's, who is
// asked; installs Outrider, creates pods, and shows how they are injected and why.
// Command launch is its first part.
//
// Every command it shows is the command it ran, in a shell, in the directory of
// the checkout. Every step verifies its result; on a difference the program
// reports it and exits with 1. However it ends, it leaves no process and no
// file behind.
package main
