package serve

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/outrider-mesh/outrider/certs"
	"github.com/outrider-mesh/outrider/internal/revision"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

// certificates prepares what is served: our own certificates, or the files of
// CertDir and what follows their changes.
func certificates(o Options) (*certs.Manager, manager.Runnable, error) {
	options := certs.Options{
		Cluster: o.Cluster, Namespace: o.Namespace, Revision: o.Revision,
		Registration: registration.Options{Revision: revision.Revision(o.Revision)}.Name(),
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
	hostname, err := os.Hostname()
	if err != nil {
		return nil, nil, fmt.Errorf("name this replica: %w", err)
	}
	options.Identity = identity(hostname, rand.Text())
	options.Hosts = append(serviceHosts(o), o.CertHosts...)
	keeper, err := certs.New(options)
	return keeper, files, err
}

// serviceHosts are the names by which the API server and sidecars call.
func serviceHosts(o Options) []string {
	service := o.Service
	if service == "" {
		service = revision.Revision(o.Revision).Name("outrider")
	}
	name := service + "." + o.Namespace
	return []string{name + ".svc", name, name + ".svc.cluster.local"}
}

// identity names a replica: the host, which is the pod's name in a cluster, and
// something random, for a container that starts again is another replica. It is
// part of an object's name.
func identity(hostname, random string) string {
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, strings.ToLower(hostname))
	return strings.Trim(clean[:min(len(clean), 63)], "-") + "-" + strings.ToLower(random[:6])
}
