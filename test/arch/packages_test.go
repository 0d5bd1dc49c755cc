package arch

// module is the product's module path.
const module = "github.com/outrider-mesh/outrider"

// kind is what a package may depend on outside the module.
type kind int

const (
	pure  kind = iota // values in, values out: see pureBans and impureCalls
	shell             // does input and output for pure packages
	data              // files to embed, and at most a variable that embeds them
	tool              // tests and generators: no part of the product
)

// packageRule is one directory with all below it that is not a package of its own.
type packageRule struct {
	path string
	kind kind
	// may names the packages it may import. What those may import, it may too.
	may []string
	why string
	// unbuilt marks a package that may still lack Go code. Every other package must
	// have some: a rule about a directory that was renamed guards nothing.
	unbuilt bool
}

var (
	purePackages = []string{"annotation", "check", "cidr", "config", "egress", "egress/bisect", "egress/decide", "egress/envoy", "egress/rehearse", "egress/report", "explain", "inject", "internal/document", "internal/problem", "internal/revision", "lifecycle", "manifest", "ranges", "redirect", "status", "templates", "validate"}
	allPackages  = append([]string{
		"certs", "check/live", "check/probe", "config/active", "debug", "deploy", "deploy/crds/install", "docs", "egress/kube", "egress/report/live", "egress/xds", "internal/connlimit", "internal/debounce", "internal/election", "internal/kubeconfig",
		"lifecycle/live", "ranges/live", "redirect/kernel", "samples", "serve", "serve/health", "webhook", "webhook/registration", "workloads", "workloads/count",
	}, purePackages...)
)

var packageRules = []packageRule{
	{path: "internal/problem", kind: pure,
		why: "every input has problems, the init container's too: it builds on nothing"},
	{path: "internal/document", kind: pure, may: []string{"internal/problem"},
		why: "a text is read whatever it is about"},
	{path: "internal/revision", kind: pure,
		why: "the rule of revisions is about names alone"},
	{path: "internal/jsontree", kind: pure,
		why: "JSON as a tree that keeps unknown fields: inject edits pods by it, manifest edits files"},
	{path: "internal/connlimit", kind: shell,
		why: "the connections of a port are bounded whatever it serves"},
	{path: "internal/debounce", kind: shell,
		why: "it waits, which is all that those who watch something have in common"},
	{path: "internal/election", kind: shell,
		why: "one replica leads, whatever its work is"},
	{path: "internal/kubeconfig", kind: shell, may: purePackages,
		why: "it finds the cluster that a command is about"},
	{path: "cidr", kind: pure, may: []string{"internal/problem"},
		why: "everything that speaks of addresses builds on it, the init container too: it builds on nothing"},
	{path: "annotation", kind: pure, may: []string{"cidr", "internal/document", "internal/problem"},
		why: "the table is read by every package: it needs the parsers of its values and nothing else"},
	{path: "config", kind: pure, may: []string{"annotation", "cidr", "internal/revision"},
		why: "a configuration is checked the same for all users"},
	{path: "config/active", kind: shell, may: []string{"config", "egress", "inject", "internal/debounce", "internal/problem", "ranges", "validate"},
		why: "it holds the compiled configuration; the reader of the cluster's ranges and the subscribers are wired in serve"},
	{path: "ranges", kind: pure, may: []string{"cidr", "internal/document"},
		why: "evidence is evaluated from documents and objects alone"},
	{path: "ranges/live", kind: shell, may: []string{"internal/debounce", "ranges"},
		why: "it reads evidence from a cluster; ranges evaluates it"},
	{path: "templates", kind: data,
		why: "templates are text: what renders them is in inject"},
	{path: "inject", kind: pure, may: []string{"config", "internal/jsontree", "ranges", "templates"},
		why: "one function serves webhook and kube-inject; redirect is reached by the template's arguments alone"},
	{path: "manifest", kind: pure, may: []string{"inject"},
		why: "it edits manifests as text; what is injected is decided in inject"},
	{path: "redirect", kind: pure, may: []string{"cidr"},
		why: "it goes into the init container, which has no dependency on injection or Kubernetes"},
	{path: "redirect/kernel", kind: shell, may: []string{"redirect"},
		why: "it applies plans and reads them back; what they decide is in redirect"},
	{path: "egress", kind: pure, may: []string{"config", "internal/document", "internal/problem"},
		why: "objects become a model however pods were injected or redirected"},
	{path: "egress/envoy", kind: pure, may: []string{"egress"},
		why: "the model becomes Envoy resources, which depend on nothing else"},
	{path: "egress/bisect", kind: pure,
		why: "what a sidecar rejects is found from its answers alone, whatever it is asked about"},
	{path: "egress/decide", kind: pure, may: []string{"egress"},
		why: "what happens to a request follows from the model; tests compare it with what egress/envoy makes"},
	{path: "egress/report", kind: pure,
		why: "what is reported is counted and bounded whatever it came by"},
	{path: "egress/rehearse", kind: pure, may: []string{"egress", "egress/decide", "egress/report"},
		why: "what a policy would block follows from what was reported and from the model"},
	{path: "egress/report/live", kind: shell, may: []string{"egress/report", "egress/xds", "inject", "internal/election"},
		why: "it writes what sidecars report to a cluster; whose report it is, the server finds by its token"},
	{path: "egress/xds", kind: shell, may: purePackages,
		why: "it serves what egress/envoy makes"},
	{path: "egress/kube", kind: shell, may: []string{"annotation", "cidr", "egress", "internal/debounce", "internal/problem", "internal/revision"},
		why: "it watches the objects that egress reads, and the addresses that are in the cluster's ranges"},
	{path: "debug", kind: shell, may: []string{"egress", "egress/kube", "egress/xds"},
		why: "it shows what the control plane did"},
	{path: "certs", kind: shell, may: []string{"annotation", "internal/debounce", "internal/election", "internal/revision"},
		why: "a certificate is issued and rotated whatever it serves"},
	{path: "webhook/registration", kind: pure, may: []string{"annotation", "internal/revision"},
		why: "the webhook configurations are objects: they are written to a cluster elsewhere"},
	{path: "webhook", kind: shell, may: append([]string{"internal/connlimit", "webhook/registration"}, purePackages...),
		why: "the handler gets its settings as a value; watches and certificates are wired in serve"},
	{path: "lifecycle", kind: pure, may: []string{"annotation", "internal/revision"},
		why: "why a pod was not injected, and what an uninstallation removes, follow from what was read"},
	{path: "lifecycle/live", kind: shell, may: []string{"lifecycle"},
		why: "it reads and writes a cluster as lifecycle decides"},
	{path: "serve/health", kind: shell, may: []string{"config/active"},
		why: "it shows the checks and the status of the configuration, which others compute"},
	{path: "explain", kind: pure, may: []string{"config", "egress", "egress/decide", "inject", "redirect"},
		why: "its answers are those of the packages that decide; what they decide about is read elsewhere"},
	{path: "validate", kind: pure, may: []string{"config", "egress", "inject", "manifest", "webhook/registration"},
		why: "admission and the command line judge objects by the same functions"},
	{path: "status", kind: pure, may: []string{"explain", "internal/revision"},
		why: "its comparison is an injection, as explain makes it; what is compared is read elsewhere"},
	{path: "workloads", kind: shell, may: append([]string{"internal/kubeconfig"}, purePackages...),
		why: "it reads pods and what they are compared with from a cluster, and decides nothing"},
	{path: "workloads/count", kind: shell, may: []string{"internal/election", "workloads"},
		why: "one replica counts what status compares"},
	{path: "check", kind: pure, may: []string{"config", "explain", "inject", "lifecycle", "ranges", "redirect", "status", "webhook/registration"},
		why: "what is wrong with a cluster follows from what was read of it"},
	{path: "check/probe", kind: shell, may: []string{"check", "redirect/kernel"},
		why: "the pods of a trial report what they see; check judges it"},
	{path: "check/live", kind: shell, may: []string{"annotation", "check", "check/probe", "egress", "explain", "internal/kubeconfig", "lifecycle/live", "ranges/live", "status", "validate", "webhook/registration"},
		why: "it reads the facts of check from a cluster"},
	{path: "serve", kind: shell, may: allPackages,
		why: "the one place that wires the Deployment"},
	{path: "cmd/outrider", kind: shell, may: append([]string{"serve"}, allPackages...),
		why: "flags and wiring"},
	{path: "cmd/outrider-init", kind: shell, may: []string{"redirect/kernel"},
		why: "a static binary of a few megabytes without dependencies on Kubernetes"},
	{path: "deploy", kind: data, unbuilt: true, why: "manifests"},
	{path: "deploy/crds/install", kind: shell, may: []string{"deploy"},
		why: "it creates the CRDs that lie beside it and needs nothing else"},
	{path: "deploy/crds/internal/gen", kind: tool, why: "it generates deploy/crds/*.yaml; only their test imports it"},
	{path: "samples", kind: data, unbuilt: true, why: "manifests"},
	{path: "docs", kind: data, unbuilt: true, why: "pages"},
	{path: "test", kind: tool, why: "tests may reach everything; nothing reaches tests"},
	{path: "hack", kind: tool, unbuilt: true, why: "generators may reach everything; nothing reaches them"},
}

// ban forbids a package, and the packages below it, to packages of some kind.
type ban struct {
	pkg string
	why string
	// except names packages below pkg that stay allowed.
	except []string
}

// pureBans are the packages of the standard library, and their like, that a
// pure package must not import.
var pureBans = []ban{
	{pkg: "context", why: "nothing in a pure package waits, so there is nothing to cancel"},
	{pkg: "crypto/rand", why: "the same input must give the same output"},
	{pkg: "math/rand", why: "the same input must give the same output"},
	{pkg: "log", why: "what a user should know is returned as data; the shell logs it"},
	{pkg: "k8s.io/klog", why: "what a user should know is returned as data; the shell logs it"},
	{pkg: "github.com/go-logr", why: "what a user should know is returned as data; the shell logs it"},
	{pkg: "net", except: []string{"net/netip", "net/url"}, why: "no network: addresses are netip values, and names are resolved by the shell"},
	{pkg: "os", why: "no files, environment or processes: the shell reads them and hands over bytes"},
	{pkg: "io/ioutil", why: "no files: the shell reads them and hands over bytes"},
	{pkg: "syscall", why: "a pure package builds and behaves alike on every system"},
	{pkg: "golang.org/x/sys", why: "a pure package builds and behaves alike on every system"},
	{pkg: "github.com/prometheus", why: "metrics are state; the shell counts what a pure package returns"},
}

// impureCalls are the functions of allowed packages that a pure package must not
// call, by package and name.
var impureCalls = map[string]map[string]string{
	"time": {
		"Now": noClock, "Since": noClock, "Until": noClock, "Sleep": noClock, "After": noClock,
		"AfterFunc": noClock, "Tick": noClock, "NewTimer": noClock, "NewTicker": noClock,
	},
	"fmt": {"Print": noOutput, "Printf": noOutput, "Println": noOutput, "Scan": noOutput, "Scanf": noOutput, "Scanln": noOutput},
}

const (
	noClock  = "a pure package has no clock: the time is an argument"
	noOutput = "a pure package has no standard streams: return the text"
)

// stateTypes are the types, by package, that a package-level variable of a pure
// package must not have. Tables and compiled expressions are no state.
var stateTypes = map[string][]string{
	"sync":        {"Map", "Mutex", "RWMutex", "WaitGroup"},
	"sync/atomic": {"Bool", "Int32", "Int64", "Pointer", "Uint32", "Uint64", "Value"},
}

// fence keeps third-party packages in the packages that are made for them.
// Tests and generators may use what they like.
type fence struct {
	pkgs []string
	// kinds and packages are where the packages may be imported.
	kinds    []kind
	packages []string
	why      string
}

var fences = []fence{
	{pkgs: []string{"k8s.io/client-go/tools/leaderelection"}, packages: []string{"internal/election"},
		why: "there is one leader election"},
	{pkgs: []string{"go.yaml.in/yaml/v4"}, packages: []string{"internal/document", "manifest"},
		why: "there is one reader of documents; manifest compares its edits with a parser's result"},
	{pkgs: []string{"sigs.k8s.io/controller-runtime", "k8s.io/client-go"}, kinds: []kind{shell},
		why: "clients and managers do input and output"},
	{pkgs: []string{"k8s.io", "sigs.k8s.io", "istio.io"}, kinds: []kind{shell},
		packages: []string{"annotation", "check", "config", "ranges", "inject", "internal/document", "manifest", "egress", "egress/decide", "egress/envoy", "egress/rehearse", "explain", "status", "validate", "webhook/registration"},
		why:      "cidr and redirect go into the init container, which has no dependency on Kubernetes"},
	{pkgs: []string{"github.com/google/nftables", "github.com/mdlayher/netlink", "github.com/vishvananda"}, packages: []string{"redirect/kernel"},
		why: "the kernel is programmed in one place"},
	{pkgs: []string{"github.com/envoyproxy/go-control-plane", "github.com/cncf/xds"}, packages: []string{"egress/envoy", "egress/xds"},
		why: "Envoy's types end where the resources are made and served"},
	{pkgs: []string{"github.com/spf13/cobra", "github.com/spf13/pflag"}, packages: []string{"cmd/outrider"},
		why: "flags are read in one place and passed as values"},
	{pkgs: []string{"github.com/gomarkdown/markdown"}, kinds: []kind{tool},
		why: "only pages of documentation are read with it"},
	{pkgs: []string{"github.com/evanphx/json-patch", "gomodules.xyz/jsonpatch"}, packages: []string{"inject"},
		why: "there is one way to make the patch of an admission"},
}

// initBans are what the init container's binary must not link, directly or by
// a package it imports.
var initBans = []string{"k8s.io", "sigs.k8s.io", "istio.io", "github.com/prometheus", "github.com/spf13/cobra", "net/http"}

// exception lets one file break one rule.
type exception struct {
	file string // path in the module
	what string // a package, or package.Function
	why  string
}

// exceptions must all be needed: one that is not fails the test.
var exceptions = []exception{}

// Sizes, in lines. Over the budget is reported under -v; over the limit fails.
const (
	funcBudget, funcLimit = 80, 110
	fileBudget, fileLimit = 400, 600
)
