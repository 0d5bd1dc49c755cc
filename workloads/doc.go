// Package workloads reads the pods of a cluster, and what they are compared with, as values.
//
// What a caller may assume: lists are read in pages, one page is in memory at a time, and a
// page whose answer is over maxAnswer bytes is read again in smaller ones. Requests are bounded
// in time. An object that may not be read is an error that names the permission, or a note,
// where the rest has a meaning without it.
package workloads
