//go:build linux

package kernel

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// diagnose adds the cause and the fix to an error of the kernel.
func diagnose(operation string, err error) error {
	for _, k := range known {
		for _, e := range k.errnos {
			if errors.Is(err, e) {
				return fmt.Errorf("%s: %s: %w", operation, k.text, err)
			}
		}
	}
	return fmt.Errorf("%s: %w", operation, err)
}

// known are the errors that have a cause outside this program.
var known = []struct {
	errnos []unix.Errno
	text   string
}{
	{[]unix.Errno{unix.EPERM, unix.EACCES},
		"the capability NET_ADMIN is missing: set runAsUser: 0 and capabilities.add: [NET_ADMIN] on the init container, " +
			"or exempt the namespace from the policy that drops it"},
	{[]unix.Errno{unix.EPROTONOSUPPORT, unix.EAFNOSUPPORT, unix.ESOCKTNOSUPPORT, unix.ENOSYS},
		"the kernel has no netfilter netlink (module nfnetlink): load it on the node, or run the pod under a runtime that has it " +
			"(sandboxes such as gVisor do not provide it)"},
	{[]unix.Errno{unix.EOPNOTSUPP, unix.EINVAL},
		"the kernel has no nf_tables, or is older than 5.2: load the module nf_tables on the node, or use a newer kernel"},
	{[]unix.Errno{unix.ENOENT, unix.EPFNOSUPPORT},
		"the kernel lacks NAT for nf_tables: load the modules nft_chain_nat, nft_redir and nf_nat on the node"},
	{[]unix.Errno{unix.EMSGSIZE, unix.ENOBUFS},
		"the rules do not fit into one netlink message: use fewer ranges, or raise net.core.wmem_max and net.core.rmem_max on the node"},
	{[]unix.Errno{unix.ENOMEM},
		"the kernel has no memory for the rules: use fewer ranges, or raise the pod's memory limit"},
}
