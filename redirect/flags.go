package redirect

// effect is what an argument does.
type effect int

const (
	configures effect = iota // sets a field of Config
	inbound                  // ignored: configures inbound capture, which is not supported
	ignored                  // has no meaning here, or is always on
	rejected                 // not supported: an error unless it is off
)

// flag is one argument of istio-iptables, or of this program.
type flag struct {
	long   string
	letter byte   // 0: none
	env    string // environment variable, read where the flag is absent; "": none
	isBool bool
	isList bool // repeated lists are joined
	does   effect
	off    string // of rejected flags: the value, besides empty and "false", that turns it off
	help   string // the meaning; of ignored and rejected flags the reason
}

// flags lists every argument, by what it does.
var flags = []flag{
	{long: "envoy-port", letter: 'p', env: "ENVOY_PORT", help: "port that captured connections are redirected to (default 15001)"},
	{long: "proxy-uid", letter: 'u', env: "PROXY_UID", isList: true, help: "users never captured (default 1337)"},
	{long: "proxy-gid", letter: 'g', env: "PROXY_GID", isList: true, help: "groups never captured (default: same as -u); empty is none"},
	{long: "istio-inbound-interception-mode", letter: 'm', env: "ISTIO_INBOUND_INTERCEPTION_MODE", help: "REDIRECT (default), or NONE for no rules"},
	{long: "istio-service-cidr", letter: 'i', env: "ISTIO_SERVICE_CIDR", isList: true, help: `CIDRs to capture; "*" is everything, empty is nothing`},
	{long: "istio-service-exclude-cidr", letter: 'x', env: "ISTIO_SERVICE_EXCLUDE_CIDR", isList: true, help: "CIDRs never captured; takes precedence over -i and -q"},
	{long: "istio-outbound-ports", letter: 'q', env: "ISTIO_OUTBOUND_PORTS", isList: true, help: "ports always captured, regardless of -i"},
	{long: "istio-local-outbound-ports-exclude", letter: 'o', env: "ISTIO_LOCAL_OUTBOUND_PORTS_EXCLUDE", isList: true, help: "ports never captured"},
	{long: "istio-exclude-interfaces", letter: 'c', env: "ISTIO_EXCLUDE_INTERFACES", isList: true, help: "output interfaces never captured; a final + matches any suffix"},
	{long: "wait-for-proxy", isBool: true, help: "the proxy starts before this program: wait until it is ready"},
	{long: "dry-run", letter: 'n', env: "DRY_RUN", isBool: true, help: "print the rules as an nft script without installing them"},
	{long: "cleanup", isBool: true, help: "remove the rules"},
	{long: "cleanup-only", env: "CLEANUP_ONLY", isBool: true, help: "same as --cleanup"},
	{long: "version", isBool: true, help: "print the version"},
	{long: "help", letter: 'h', isBool: true, help: "print this help"},

	{long: "inbound-capture-port", letter: 'z', env: "INBOUND_CAPTURE_PORT", does: inbound},
	{long: "inbound-tunnel-port", letter: 'e', env: "INBOUND_TUNNEL_PORT", does: inbound},
	{long: "istio-inbound-ports", letter: 'b', env: "ISTIO_INBOUND_PORTS", does: inbound},
	{long: "istio-local-exclude-ports", letter: 'd', env: "ISTIO_LOCAL_EXCLUDE_PORTS", does: inbound},
	{long: "istio-inbound-tproxy-mark", letter: 't', env: "ISTIO_INBOUND_TPROXY_MARK", does: inbound},
	{long: "istio-inbound-tproxy-route-table", letter: 'r', env: "ISTIO_INBOUND_TPROXY_ROUTE_TABLE", does: inbound},
	{long: "drop-invalid", env: "INVALID_DROP", isBool: true, does: inbound},

	{long: "restore-format", letter: 'f', isBool: true, does: ignored, help: "iptables is not used"},
	{long: "native-nftables", env: "NATIVE_NFTABLES", isBool: true, does: ignored, help: "rules are always nftables"},
	{long: "force-iptables-binary", env: "FORCE_IPTABLES_BINARY", does: ignored, help: "iptables is not used"},
	{long: "dual-stack", env: "ISTIO_DUAL_STACK", isBool: true, does: ignored, help: "both address families always have rules"},
	{long: "force-apply", env: "FORCE_APPLY", isBool: true, does: ignored, help: "rules are always replaced as a whole"},
	{long: "reconcile", env: "RECONCILE", isBool: true, does: ignored, help: "rules are always replaced as a whole"},
	{long: "run-validation", env: "RUN_VALIDATION", isBool: true, does: ignored, help: "rules are always verified"},
	{long: "iptables-probe-port", env: "IPTABLES_PROBE_PORT", does: ignored, help: "verification uses the proxy port"},
	{long: "probe-timeout", env: "PROBE_TIMEOUT", does: ignored, help: "verification has a fixed timeout"},

	{long: "kube-virt-interfaces", letter: 'k', env: "KUBE_VIRT_INTERFACES", does: rejected, help: "traffic of virtual machines behind an interface is not captured"},
	{long: "redirect-dns", env: "ISTIO_META_DNS_CAPTURE", isBool: true, does: rejected, help: "DNS is not captured"},
	{long: "capture-all-dns", isBool: true, does: rejected, help: "DNS is not captured"},
	{long: "iptables-trace-logging", isBool: true, does: rejected, help: "rules count packets instead: nft list table inet " + TableName},
	{long: "skip-rule-apply", isBool: true, does: rejected, help: "without rules nothing is captured; use --dry-run to preview"},
	{long: "network-namespace", does: rejected, help: "rules are installed in the pod's network namespace only"},
	{long: "cni-mode", isBool: true, does: rejected, help: "only an init container is supported"},
	{long: "host-nsenter-exec", isBool: true, does: rejected, help: "rules are installed in the pod's network namespace only"},
	{long: "istio-outbound-owner-groups", env: "ISTIO_OUTBOUND_OWNER_GROUPS", does: rejected, off: "*", help: "capture by owner group is not supported"},
	{long: "istio-outbound-owner-groups-exclude", env: "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", does: rejected, help: "exclusion by owner group is not supported; use -g"},
}

// variable is an environment variable of istio-iptables that is ignored, whatever
// its flag does: those of a pod may have another purpose.
type variable struct {
	name string
	off  string // the value, besides empty and a boolean false, that sets nothing
	why  string
}

var ignoredVariables = []variable{
	{"DUAL_STACK", "", "both address families always have rules"},
	{"DROP_INVALID", "", "inbound capture is not supported"},
	{"INBOUND_INTERCEPTION_MODE", "REDIRECT", "inbound capture is not supported"},
	{"INBOUND_TPROXY_MARK", "", "inbound capture is not supported"},
	{"REDIRECT_DNS", "", "DNS is not captured"},
	{"CAPTURE_ALL_DNS", "", "DNS is not captured"},
	{"ISTIO_OUTBOUND_IPV4_LOOPBACK_CIDR", "127.0.0.1/32", "127.0.0.1 and ::1 are never captured"},
	{"ENVOY_USER", "", "use -u"},
	{"IPTABLES_TRACE_LOGGING", "", "rules count packets instead"},
	{"SKIP_RULE_APPLY", "", "rules are always installed"},
	{"NETWORK_NAMESPACE", "", "rules are installed in the pod's network namespace only"},
	{"CNI_MODE", "", "only an init container is supported"},
	{"HOST_NSENTER_EXEC", "", "rules are installed in the pod's network namespace only"},
	{"DRY_RUN_FILE_PATH", "", "--dry-run prints to standard output"},
}

// logPrefix is the prefix of the flags of Istio's logger. They are accepted
// silently: this program prints a few lines and has no log levels.
const logPrefix = "log_"

// name is the flag as messages show it.
func (f flag) name() string {
	if f.letter != 0 {
		return "-" + string(f.letter)
	}
	return "--" + f.long
}

func flagByLong(name string) *flag {
	for i := range flags {
		if flags[i].long == name {
			return &flags[i]
		}
	}
	return nil
}

func flagByLetter(c byte) *flag {
	for i := range flags {
		if flags[i].letter == c {
			return &flags[i]
		}
	}
	return nil
}
