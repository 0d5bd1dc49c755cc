package webhook

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"

	"sigs.k8s.io/controller-runtime/pkg/healthz"
)

// StartedChecker tries a handshake with the port.
func (s *Server) StartedChecker() healthz.Checker {
	host, port, _ := net.SplitHostPort(s.options.Address)
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	// The certificate is verified by a check of its own.
	dialer := &tls.Dialer{NetDialer: &net.Dialer{Timeout: headerTimeout}, Config: &tls.Config{InsecureSkipVerify: true}}
	return func(r *http.Request) error {
		if !s.started.Load() {
			return errors.New("the webhook's port is not served yet")
		}
		c, err := dialer.DialContext(r.Context(), "tcp", net.JoinHostPort(host, port))
		if err != nil {
			return fmt.Errorf("connect to the webhook's port: %w", err)
		}
		return c.Close()
	}
}
