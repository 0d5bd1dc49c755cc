package serve

import (
	"cmp"
	"context"

	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/outrider-mesh/outrider/certs"
	"github.com/outrider-mesh/outrider/internal/election"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

// certificates prepares the serving certificate: Outrider's own, or the files of
// CertDir and their watcher. The webhook's replicas issue the certificate; those
// of the control plane alone read it.
func certificates(o Options) (*certs.Manager, manager.Runnable, error) {
	options := certs.Options{
		Cluster: o.Cluster, Namespace: o.Namespace, Revision: o.Revision.String(),
		Registration: registration.Options{Revision: o.Revision}.Name(), Tags: o.Tags,
		Hosts:  append(o.serviceHosts(), o.CertHosts...),
		Follow: !o.runs(Webhook), CAFile: o.CAFile, Lifetimes: o.Lifetimes, Registry: o.Registry, Log: o.Log.WithName("certificates"),
	}
	var files manager.Runnable = manager.RunnableFunc(func(context.Context) error { return nil })
	if o.CertDir != "" {
		watcher, err := certs.Watch(o.CertDir)
		if err != nil {
			return nil, nil, err
		}
		options.External, files = watcher.GetCertificate, watcher
	}
	var err error
	if options.Identity, err = election.Identity(); err != nil {
		return nil, nil, err
	}
	keeper, err := certs.New(options)
	return keeper, files, err
}

// serviceHosts are the names by which the API server and sidecars connect.
func (o Options) serviceHosts() []string {
	var hosts []string
	for _, service := range []string{cmp.Or(o.Service, o.Revision.Name("outrider")), cmp.Or(o.XDSService, o.Revision.Name("outrider-xds"))} {
		name := service + "." + o.Namespace
		hosts = append(hosts, name+".svc", name, name+".svc.cluster.local")
	}
	return hosts
}
