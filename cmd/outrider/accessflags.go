package main

import (
	"github.com/spf13/pflag"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/outrider-mesh/outrider/internal/kubeconfig"
)

// rareKey is the annotation of flags of kubectl that few users need. kubectl lists its own
// with "kubectl options" instead of in the help of each command.
const rareKey = "outrider.dev/rare"

// rare reports whether the help of a command omits a flag.
func rare(flag *pflag.Flag) bool { return len(flag.Annotations[rareKey]) > 0 }

// addAccess adds the flags by which kubectl selects a cluster and a user, with kubectl's
// names and meaning. --namespace is up to the command.
func addAccess(f *pflag.FlagSet, a *kubeconfig.Access) {
	f.StringVar(&a.Context, clientcmd.FlagContext, "", "kubeconfig context to use (default: the current one)")
	f.StringVar(&a.Kubeconfig, clientcmd.RecommendedConfigPathFlag, "", "path to a kubeconfig (same default as kubectl)")
	var others pflag.FlagSet
	names := clientcmd.RecommendedConfigOverrideFlags("")
	names.CurrentContext, names.ContextOverrideFlags.Namespace = clientcmd.FlagInfo{}, clientcmd.FlagInfo{}
	names.AuthOverrideFlags.Username, names.AuthOverrideFlags.Password = clientcmd.FlagInfo{}, clientcmd.FlagInfo{} // no API server accepts them
	names.ClusterOverrideFlags.APIServer.ShortName = "s"
	names.Timeout.Default = kubeconfig.RequestTimeout.String()
	clientcmd.BindOverrideFlags(&a.Overrides, &others, names)
	others.StringArrayVar(&a.UserExtra, "as-user-extra", nil, "User extras to impersonate for the operation, as KEY=VALUE; may be repeated")
	others.VisitAll(func(flag *pflag.Flag) {
		flag.Annotations = map[string][]string{rareKey: {"true"}}
		f.AddFlag(flag)
	})
}
