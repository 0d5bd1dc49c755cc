// Package scenarios shows what injection does, one readable file a case, and
// holds the product to it.
//
// A file testdata/NAME.txtar begins with a comment that states what it shows,
// followed by the files of the case, each under a line "-- NAME --":
//
//	input.yaml    what a person applies; input.json where it is JSON
//	config.yaml   ConfigMap istio-sidecar-injector, key config; optional
//	values.yaml   the same ConfigMap, key values; optional
//	mesh.yaml     ConfigMap istio, key mesh; optional
//	earlier-config.yaml, earlier-values.yaml, earlier-mesh.yaml
//	              with one of them, the input is first injected with these, and
//	              that is what the configuration above then gets to see
//	options.yaml  see the type options; optional
//	want.yaml     what kube-inject prints; missing where it must fail
//	want.txt      decisions with their reasons, warnings, errors
//
// Each case is run through both entry points, the webhook over HTTPS and the program's
// kube-inject, and both must agree with each other and with want.yaml. Then
// each entry point gets what each entry point made, and must not change it.
//
//	go test ./test/scenarios                 everything
//	go test ./test/scenarios -run 'S/cronjob'  one case
//	go test ./test/scenarios -update         rewrite want.yaml and want.txt
//
// In want.yaml the proxy's bootstrap, long and always the same, is shortened to
// <bootstrap>, and hashes are written as zeros.
package scenarios
