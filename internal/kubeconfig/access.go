package kubeconfig

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/clientcmd/api"
)

// Access selects a cluster, as kubectl's flags do.
type Access struct {
	// Kubeconfig is a file; empty means $KUBECONFIG, ~/.kube/config, or the
	// pod's service account.
	Kubeconfig string
	// Context is the context of the kubeconfig; empty means its current one.
	Context string
	// Overrides take the places of what the kubeconfig has.
	Overrides clientcmd.ConfigOverrides
	// UserExtra are those of the user to impersonate, as KEY=VALUE.
	UserExtra []string
}

// RequestTimeout bounds one request, unless a flag does. The API server answers a read of
// one object in milliseconds; after this time no answer is to be expected.
const RequestTimeout = 10 * time.Second

// Config is the client's configuration.
func (a Access) Config() (*rest.Config, error) {
	loader, err := a.load()
	if err != nil {
		return nil, err
	}
	c, err := loader.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("load kubeconfig: %w (see --kubeconfig, --context)", err)
	}
	if a.Overrides.Timeout == "" {
		c.Timeout = RequestTimeout
	}
	return c, nil
}

// Namespace is that of the context, or default.
func (a Access) Namespace() (string, error) {
	loader, err := a.load()
	if err != nil {
		return "", err
	}
	name, _, err := loader.Namespace()
	if err != nil {
		return "", fmt.Errorf("load kubeconfig: %w (see --kubeconfig, --context)", err)
	}
	return name, nil
}

// Raw is all that the kubeconfig has.
func (a Access) Raw() (api.Config, error) {
	loader, err := a.load()
	if err != nil {
		return api.Config{}, err
	}
	return loader.RawConfig()
}

// load is the kubeconfig with the overrides.
func (a *Access) load() (clientcmd.ClientConfig, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = a.Kubeconfig
	o, err := a.overrides()
	if err != nil {
		return nil, err
	}
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, o), nil
}

// Selected reports whether anything but the defaults selects a cluster, or a user of it.
func (a *Access) Selected() bool {
	o := a.Overrides
	o.Timeout = ""
	if len(o.AuthInfo.ImpersonateGroups) == 0 {
		o.AuthInfo.ImpersonateGroups = nil
	}
	return a.Context != "" || a.Kubeconfig != "" || len(a.UserExtra) > 0 || !reflect.DeepEqual(o, clientcmd.ConfigOverrides{})
}

// overrides are those of the kubeconfig.
func (a *Access) overrides() (*clientcmd.ConfigOverrides, error) {
	o := a.Overrides
	o.CurrentContext = a.Context
	if len(a.UserExtra) > 0 {
		o.AuthInfo.ImpersonateUserExtra = map[string][]string{}
	}
	for _, text := range a.UserExtra {
		key, value, found := strings.Cut(text, "=")
		if !found || key == "" {
			return nil, fmt.Errorf("--as-user-extra: %q: must be KEY=VALUE", text)
		}
		o.AuthInfo.ImpersonateUserExtra[key] = append(slices.Clip(o.AuthInfo.ImpersonateUserExtra[key]), value)
	}
	return &o, nil
}
