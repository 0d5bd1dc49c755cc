package redirect

// effect says what an argument does here.
type effect int

const (
	takes   effect = iota // sets a value of Config
	inbound               // about inbound traffic, which is never captured
	moot                  // has no meaning here, or is always so
	refused               // asks for what is not supported; refused unless it is off
)

// flag is one argument of istio-iptables, or of this program.
type flag struct {
	long   string
	letter byte   // 0: none
	env    string // environment variable, read where the flag is absent; "": none
	isBool bool
	isList bool // given several times, the lists are joined
	does   effect
	off    string // refused flags: the value, besides empty and "false", that asks for nothing
	help   string // takes: meaning; moot and refused: the reason
}

// flags lists every argument, by what it does.
var flags = []flag{
	{long: "envoy-port", letter: 'p', env: "ENVOY_PORT", help: "port that captured connections go to (default 15001)"},
	{long: "proxy-uid", letter: 'u', env: "PROXY_UID", isList: true, help: "users never captured (default 1337)"},
	{long: "proxy-gid", letter: 'g', env: "PROXY_GID", isList: true, help: "groups never captured (default: as -u)"},
	{long: "istio-inbound-interception-mode", letter: 'm', env: "ISTIO_INBOUND_INTERCEPTION_MODE", help: "REDIRECT (default), or NONE for no rules"},
	{long: "istio-service-cidr", letter: 'i', env: "ISTIO_SERVICE_CIDR", isList: true, help: `ranges to capture; "*" is everything, empty is nothing`},
	{long: "istio-service-exclude-cidr", letter: 'x', env: "ISTIO_SERVICE_EXCLUDE_CIDR", isList: true, help: "ranges never captured; they beat -i and -q"},
	{long: "istio-outbound-ports", letter: 'q', env: "ISTIO_OUTBOUND_PORTS", isList: true, help: "ports captured whatever -i says"},
	{long: "istio-local-outbound-ports-exclude", letter: 'o', env: "ISTIO_LOCAL_OUTBOUND_PORTS_EXCLUDE", isList: true, help: "ports never captured"},
	{long: "istio-exclude-interfaces", letter: 'c', env: "ISTIO_EXCLUDE_INTERFACES", isList: true, help: "output interfaces never captured; a final + matches any ending"},
	{long: "dry-run", letter: 'n', env: "DRY_RUN", isBool: true, help: "print the rules as an nft script, change nothing"},
	{long: "cleanup", isBool: true, help: "remove the rules"},
	{long: "cleanup-only", env: "CLEANUP_ONLY", isBool: true, help: "as --cleanup"},
	{long: "version", isBool: true, help: "print the version"},
	{long: "help", letter: 'h', isBool: true, help: "print this help"},

	{long: "inbound-capture-port", letter: 'z', env: "INBOUND_CAPTURE_PORT", does: inbound},
	{long: "inbound-tunnel-port", letter: 'e', env: "INBOUND_TUNNEL_PORT", does: inbound},
	{long: "istio-inbound-ports", letter: 'b', env: "ISTIO_INBOUND_PORTS", does: inbound},
	{long: "istio-local-exclude-ports", letter: 'd', env: "ISTIO_LOCAL_EXCLUDE_PORTS", does: inbound},
	{long: "istio-inbound-tproxy-mark", letter: 't', env: "ISTIO_INBOUND_TPROXY_MARK", does: inbound},
	{long: "istio-inbound-tproxy-route-table", letter: 'r', env: "ISTIO_INBOUND_TPROXY_ROUTE_TABLE", does: inbound},
	{long: "drop-invalid", env: "INVALID_DROP", isBool: true, does: inbound},

	{long: "restore-format", letter: 'f', isBool: true, does: moot, help: "no iptables is run"},
	{long: "force-iptables-binary", does: moot, help: "no iptables is run"},
	{long: "dual-stack", env: "ISTIO_DUAL_STACK", isBool: true, does: moot, help: "both families always have rules"},
	{long: "force-apply", isBool: true, does: moot, help: "rules are always replaced as a whole"},
	{long: "reconcile", isBool: true, does: moot, help: "rules are always replaced as a whole"},
	{long: "run-validation", isBool: true, does: moot, help: "rules are always verified and proved"},
	{long: "iptables-probe-port", does: moot, help: "the proof listens on the proxy's port"},
	{long: "probe-timeout", does: moot, help: "the proof has a fixed time limit"},

	{long: "kube-virt-interfaces", letter: 'k', env: "KUBE_VIRT_INTERFACES", does: refused, help: "traffic of virtual machines behind an interface is not captured"},
	{long: "redirect-dns", env: "ISTIO_META_DNS_CAPTURE", isBool: true, does: refused, help: "DNS is not captured"},
	{long: "capture-all-dns", isBool: true, does: refused, help: "DNS is not captured"},
	{long: "iptables-trace-logging", isBool: true, does: refused, help: "rules count packets instead: nft list table inet " + TableName},
	{long: "skip-rule-apply", isBool: true, does: refused, help: "without rules nothing is captured; use --dry-run to look only"},
	{long: "network-namespace", does: refused, help: "only the pod's own network namespace is programmed"},
	{long: "cni-mode", isBool: true, does: refused, help: "only an init container is supported"},
	{long: "host-nsenter-exec", isBool: true, does: refused, help: "only the pod's own network namespace is programmed"},
	{long: "istio-outbound-owner-groups", env: "ISTIO_OUTBOUND_OWNER_GROUPS", does: refused, off: "*", help: "capture by owner group is not supported"},
	{long: "istio-outbound-owner-groups-exclude", env: "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE", does: refused, help: "exclusion by owner group is not supported; use -g"},
}

// logPrefix begins the flags of Istio's logger. They are accepted silently:
// this program prints a few lines and has no levels.
const logPrefix = "log_"

// name is how messages call the flag.
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
