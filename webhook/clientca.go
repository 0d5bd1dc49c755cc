package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
)

// ClientCA authenticates the API server by its client certificate. It is a manager's
// runnable, which reads the file of CA certificates again when it changes.
type ClientCA struct {
	file  string
	names []string
	log   logr.Logger

	text []byte // of the file
	pool atomic.Pointer[x509.CertPool]
}

// clientCAInterval is how often the file is read.
const clientCAInterval = 30 * time.Second

// NewClientCA authenticates clients by the CA certificates in a file; by none, if it has
// no name. Names are those of the certificate of which one is required; none means any.
func NewClientCA(file string, names []string, log logr.Logger) *ClientCA {
	return &ClientCA{file: file, names: names, log: log}
}

// NeedLeaderElection is false: every replica authenticates.
func (c *ClientCA) NeedLeaderElection() bool { return false }

// Start reads the file until ctx is done. One that cannot be read leaves the
// certificates as they are.
func (c *ClientCA) Start(ctx context.Context) error {
	if c.file == "" {
		return nil
	}
	tick := time.NewTicker(clientCAInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := c.read(); err != nil {
				c.log.Error(err, "client CA certificates not reloaded")
			}
		}
	}
}

func (c *ClientCA) read() error {
	text, err := os.ReadFile(c.file)
	if err != nil {
		return fmt.Errorf("read client CA file: %w", err)
	}
	if bytes.Equal(text, c.text) {
		return nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return fmt.Errorf("client CA file %s: no certificate in PEM", c.file)
	}
	c.pool.Store(pool)
	c.text = text
	c.log.Info("client CA certificates loaded", "file", c.file)
	return nil
}

// configure verifies the certificates of clients that have one. The debug endpoints of
// the same port are for users, who have a token instead.
func (c *ClientCA) configure(config *tls.Config) error {
	if c == nil || c.file == "" {
		return nil
	}
	if err := c.read(); err != nil {
		return err
	}
	base := config.Clone()
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		verifying := base.Clone()
		verifying.ClientAuth, verifying.ClientCAs = tls.VerifyClientCertIfGiven, c.pool.Load()
		return verifying, nil
	}
	return nil
}

// Authenticate returns the check of a connection; nil where clients are not
// authenticated.
func (c *ClientCA) Authenticate() func(*tls.ConnectionState) error {
	if c.file == "" {
		return nil
	}
	return func(s *tls.ConnectionState) error {
		if s == nil || len(s.VerifiedChains) == 0 {
			return errors.New("a client certificate is required; set it for this webhook in the API server's --admission-control-config-file")
		}
		leaf := s.VerifiedChains[0][0]
		if len(c.names) == 0 || slices.Contains(c.names, leaf.Subject.CommonName) {
			return nil
		}
		for _, name := range leaf.DNSNames {
			if slices.Contains(c.names, name) {
				return nil
			}
		}
		return fmt.Errorf("the client certificate's name %q is not one of --client-name: %s", leaf.Subject.CommonName, strings.Join(c.names, ", "))
	}
}
