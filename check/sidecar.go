package check

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/outrider-mesh/outrider/status"
)

// ProxyContainer and InitContainer are the containers of an injected pod.
const (
	ProxyContainer = "istio-proxy"
	InitContainer  = "istio-init"
)

// Sidecar is what was read of one pod with a sidecar.
type Sidecar struct {
	Pod *corev1.Pod
	// InitLog is the end of the log of istio-init.
	InitLog string
	// ProxyLog is the end of the log of istio-proxy.
	ProxyLog string
	// Admin is what the sidecar's administration interface responds; nil where it was not
	// read. Silent is why it does not respond.
	Admin  *Admin
	Silent string
	// Trusted are the CA certificates of the ConfigMap that the pod mounts, as PEM; empty
	// where there is none.
	Trusted string
	// Compared is the comparison of the pod with the active settings, and what the control
	// plane reports of its sidecar; nil where it was not made.
	Compared *status.Report
}

// Admin is what Envoy's administration interface responds.
type Admin struct {
	// Time is the time of the pod's node, and Now that of this machine at the same moment.
	Time, Now time.Time
	State     string // such as LIVE
	Version   string
	Stats     map[string]uint64
	// Certificates are the CA certificates that verify the control plane.
	Certificates []Certificate
	Rejected     []RejectedResource
}

// Certificate is a CA certificate of a sidecar.
type Certificate struct {
	Serial  string // hexadecimal
	Expires time.Time
}

// RejectedResource is a resource of which Envoy has rejected a newer version.
type RejectedResource struct{ Name, Details string }

// Paths are the paths of the administration interface that are read, for Read.
func (a *Admin) Paths() []string {
	return []string{"/server_info", "/stats", "/certs", "/config_dump?resource=dynamic_listeners", "/config_dump?resource=dynamic_active_clusters", "/config_dump?resource=dynamic_warming_clusters", "/config_dump?resource=dynamic_route_configs"}
}

// Read takes a response.
func (a *Admin) Read(path string, body []byte) error {
	switch path {
	case "/server_info":
		var info struct{ Version, State string }
		if err := json.Unmarshal(body, &info); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		a.Version, a.State = info.Version, info.State
		if parts := strings.Split(info.Version, "/"); len(parts) > 1 { // commit/version/…
			a.Version = parts[1]
		}
	case "/stats":
		a.Stats = ReadStats(body)
	case "/certs":
		return a.certs(body)
	default:
		return a.dump(path, body)
	}
	return nil
}

// ReadStats reads Envoy's statistics in their text form. Histograms are omitted.
func ReadStats(body []byte) map[string]uint64 {
	out := map[string]uint64{}
	for lines := bufio.NewScanner(bytes.NewReader(body)); lines.Scan(); {
		i := strings.LastIndex(lines.Text(), ": ")
		if i < 0 {
			continue
		}
		if n, err := strconv.ParseUint(lines.Text()[i+2:], 10, 64); err == nil {
			out[lines.Text()[:i]] = n
		}
	}
	return out
}

func (a *Admin) certs(body []byte) error {
	var read struct {
		Certificates []struct {
			CACert []struct {
				Serial  string    `json:"serial_number"`
				Expires time.Time `json:"expiration_time"`
			} `json:"ca_cert"`
		}
	}
	if err := json.Unmarshal(body, &read); err != nil {
		return fmt.Errorf("/certs: %w", err)
	}
	a.Certificates = []Certificate{}
	for _, c := range read.Certificates {
		for _, ca := range c.CACert {
			a.Certificates = append(a.Certificates, Certificate{Serial: strings.ToLower(ca.Serial), Expires: ca.Expires})
		}
	}
	return nil
}

// dump finds the resources of which a version was rejected.
func (a *Admin) dump(path string, body []byte) error {
	type state struct {
		Details string `json:"details"`
	}
	var read struct {
		Configs []struct {
			Name    string                `json:"name"`
			Cluster struct{ Name string } `json:"cluster"`
			Route   struct{ Name string } `json:"route_config"`
			Error   *state                `json:"error_state"`
		}
	}
	if err := json.Unmarshal(body, &read); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, c := range read.Configs {
		if c.Error == nil {
			continue
		}
		name := c.Name + c.Cluster.Name + c.Route.Name // one of the three
		a.Rejected = append(a.Rejected, RejectedResource{Name: name, Details: c.Error.Details})
	}
	return nil
}

// container is the status of a container of the pod, also of one of its init containers;
// nil before it has one.
func (s *Sidecar) container(name string) *corev1.ContainerStatus {
	for _, list := range [][]corev1.ContainerStatus{s.Pod.Status.InitContainerStatuses, s.Pod.Status.ContainerStatuses} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

// has is a container of the pod's specification, also one of its init containers; nil if
// there is none.
func (s *Sidecar) has(name string) *corev1.Container {
	for _, list := range [][]corev1.Container{s.Pod.Spec.InitContainers, s.Pod.Spec.Containers} {
		for i := range list {
			if list[i].Name == name {
				return &list[i]
			}
		}
	}
	return nil
}

// Runs reports that the sidecar's container runs.
func (s *Sidecar) Runs() bool {
	c := s.container(ProxyContainer)
	return c != nil && c.State.Running != nil
}
