// Command server is kube-apiserver, etcd and kubectl: what tests against the API server
// alone need. It runs the one that it is started as.
//
// One executable is linked once, and the three share most of their packages. What each
// main package of Kubernetes imports and does is repeated here.
package main

import (
	"os"
	_ "time/tzdata" // for the time zones of CronJobs

	"go.etcd.io/etcd/server/v3/etcdmain"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // kubectl's ways to authenticate
	"k8s.io/component-base/cli"
	"k8s.io/component-base/logs"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	"k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"

	"github.com/outrider-mesh/outrider/test/kube/tools/internal/multicall"
)

func main() {
	multicall.Run(map[string]func() int{
		"etcd":           func() int { etcdmain.Main(os.Args); return 0 },
		"kube-apiserver": func() int { return cli.Run(apiserver.NewAPIServerCommand()) },
		"kubectl":        kubectl,
	})
}

func kubectl() int {
	// Before the command is made, since making it reads files and finds plugins.
	_, _ = logs.GlogSetter(cmd.GetLogVerbosity(os.Args))
	if err := cli.RunNoErrOutput(cmd.NewDefaultKubectlCommand()); err != nil {
		util.CheckErr(err) // prints it, and exits
	}
	return 0
}
