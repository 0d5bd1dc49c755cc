// Package kube gives tests a real Kubernetes API server: kube-apiserver and
// etcd as processes on the loopback interface, and kubectl to talk to them.
// There is no kubelet, no scheduler and no controller manager: an object is
// admitted, defaulted, stored and read back, and nothing acts on it.
//
// The programs are built once from the Go modules that test/kube/tools pins
// and kept in the user's cache; KUBEBUILDER_ASSETS names a directory to use
// instead. [Assets] does that part alone.
//
// Most tests want [Require]: one server for the whole test binary, started by
// the first test that asks. Each test then works in a namespace of its own,
// from [Server.Namespace], and tests may run in parallel. A package stops the
// shared server with
//
//	func TestMain(m *testing.M) { os.Exit(kube.Main(m)) }
//
// What a caller may assume:
//
//   - admission runs the plugins that a default Kubernetes has, among them
//     MutatingAdmissionWebhook, ValidatingAdmissionWebhook and ServiceAccount;
//   - authorization is RBAC, and Config is in system:masters;
//   - since no controller runs, deletions of namespaces never complete, and a
//     new namespace has no service account unless Namespace made it;
//   - no server outlives the process that started it, not even a killed one.
package kube
