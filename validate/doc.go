// Package validate finds what is wrong with objects, configurations and workloads.
//
// Contract: it is pure. Object, ConfigMaps and Configuration are what admission
// calls for a request; Files applies them, and the injector, to the documents of files, so
// that both have the same problems in the same words. Files adds the place of each problem, and
// what admission cannot find: documents that are not valid, objects that are defined twice,
// and names that are in none of the files, of which nothing is assumed.
package validate
