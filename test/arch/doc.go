// Package arch holds the rules of the code base as tests: which package may import
// which, what a pure package must not touch, where third-party packages may be
// used, how long a function may be. The tables in packages_test.go are the rules;
// each entry gives its reason, and a failing test repeats it.
//
// The tests parse every Go file of the module whatever its build constraints,
// so a file for another system is held to the same rules.
package arch
