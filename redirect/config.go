// Package redirect turns the arguments of the init container into a plan of
// kernel rules, and decides what that plan does with a connection.
//
// Contract: everything here is pure and builds on every OS; redirect/kernel
// installs a Plan in a Linux kernel. Only outbound TCP is ever captured. The
// decision on a connection is that of istio-iptables for outbound traffic. It
// is defined once, in NewPlan: the nft script, the kernel's rules and Decide
// all come from the same Plan.
package redirect

import "github.com/outrider-mesh/outrider/cidr"

// Action is what the program does.
type Action int

const (
	Apply       Action = iota // install and verify the rules
	Print                     // --dry-run: print the nft script
	Cleanup                   // --cleanup: remove the rules
	ShowVersion               // --version
	ShowHelp                  // --help
)

// Mode is how connections reach the proxy.
type Mode string

const (
	ModeRedirect Mode = "REDIRECT" // NAT to the proxy's port on loopback
	ModeNone     Mode = "NONE"     // no rules at all
)

// Config is the configuration by the arguments. ParseArgs fills it; the zero
// value is not a valid configuration.
type Config struct {
	Action    Action
	Mode      Mode
	ProxyPort uint16   // -p: port that captured connections are redirected to
	ProxyUIDs []uint32 // -u: users whose connections are never captured
	ProxyGIDs []uint32 // -g: groups whose connections are never captured; may be none

	Include           cidr.List  // -i: destinations to capture
	Exclude           cidr.List  // -x: destinations never captured; takes precedence over Include and IncludePorts
	IncludePorts      cidr.Ports // -q: ports captured whatever the destination, unless excluded
	ExcludePorts      cidr.Ports // -o: ports never captured
	ExcludeInterfaces []string   // -c: output interfaces never captured; "eth+" means every name starting with eth

	// CaptureLoopback is set when -i names a loopback address outright, as
	// 127.0.0.0/8 does and 0.0.0.0/0 does not. Connections over the loopback
	// interface then follow the lists too, except to 127.0.0.1 and ::1.
	CaptureLoopback bool

	// WaitForProxy is set by --wait-for-proxy: the proxy has been started before the
	// program, which ends when the proxy is ready.
	WaitForProxy bool
}

// Note is one line for the user about arguments that are valid.
type Note string
