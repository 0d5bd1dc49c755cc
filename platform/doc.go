// Package platform will say which address ranges are a cluster's own. It is a
// pure room: documents and objects go in; evidence comes out, each piece with
// its kind (services or pods), address family, ranges, source and grade, and is
// resolved to ranges by a fixed order of precedence. What cannot be determined
// is an answer too. Reading a live cluster belongs to platform/live.
package platform
