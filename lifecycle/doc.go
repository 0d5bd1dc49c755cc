// Package lifecycle is what follows an installation and precedes its removal: why a
// pod was not injected after the installation, and what an uninstallation removes
// besides the objects of the manifests, in which order. It decides; lifecycle/live
// reads the cluster and writes to it.
//
// What a caller may assume: the names are those of one revision, and the plan of an
// uninstallation has no object of another revision, or of another owner.
package lifecycle
