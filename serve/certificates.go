package serve

import (
	"context"

	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/outrider-mesh/outrider/certs"
	"github.com/outrider-mesh/outrider/internal/election"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

// certificates prepares the serving certificate: Outrider's own, or the files of
// CertDir and their watcher.
func certificates(o Options) (*certs.Manager, manager.Runnable, error) {
	options := certs.Options{
		Cluster: o.Cluster, Namespace: o.Namespace, Revision: o.Revision.String(),
		Registration: registration.Options{Revision: o.Revision}.Name(),
		Hosts:        append(o.serviceHosts(), o.CertHosts...),
		CAFile:       o.CAFile, Registry: o.Registry, Log: o.Log.WithName("certificates"),
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
	service := o.Service
	if service == "" {
		service = o.Revision.Name("outrider")
	}
	name := service + "." + o.Namespace
	return []string{name + ".svc", name, name + ".svc.cluster.local"}
}
