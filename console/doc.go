// Package console will serve the web page: the documentation, a playground that
// shows what injection does to a pod, and what runs where in the cluster. It
// shows what the pure rooms answer and computes nothing itself.
package console
