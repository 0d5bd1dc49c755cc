//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/outrider-mesh/outrider/redirect"
)

const (
	// pollFast and pollSlow are between two requests to the proxy. A request takes 0.2 ms of
	// processor time, so that polling takes 4% of a processor, or 0.1%. A proxy that is not
	// ready after pollFastFor waits for something.
	pollFast, pollSlow = 5 * time.Millisecond, 250 * time.Millisecond
	pollFastFor        = 2 * time.Second

	// remindEvery is between two log lines about the proxy.
	remindEvery = 5 * time.Second

	// askTimeout bounds one request.
	askTimeout = 2 * time.Second
)

// proxyAddress is where the proxy answers the kubelet's probes, by the loopback
// interface: it does not listen on one address only.
var proxyAddress = net.JoinHostPort("127.0.0.1", fmt.Sprint(redirect.ReadinessPort))

// waitForProxy returns when the proxy is ready, without a limit: a pod that is never
// started again must not fail because its control plane is not available yet.
func waitForProxy(stdout io.Writer) error {
	began := time.Now()
	reminded := began
	for {
		missing := askProxy(proxyAddress)
		waited := time.Since(began)
		if missing == "" {
			_, err := fmt.Fprintf(stdout, "outrider-init: the proxy is ready, %s after the rules\n", waited.Round(10*time.Millisecond))
			return err
		}
		if time.Since(reminded) >= remindEvery {
			reminded = time.Now()
			if _, err := fmt.Fprintf(stdout, "outrider-init: waiting for the proxy for %s: %s\n", waited.Round(time.Second), missing); err != nil {
				return err
			}
		}
		if waited < pollFastFor {
			time.Sleep(pollFast)
		} else {
			time.Sleep(pollSlow)
		}
	}
}

// askProxy returns what keeps the proxy from being ready; "" is nothing. It makes the
// request of the kubelet's probes. HTTP is written by hand: net/http would double
// the size of the program.
func askProxy(address string) (missing string) {
	conn, err := net.DialTimeout("tcp", address, askTimeout)
	if errors.Is(err, syscall.ECONNREFUSED) {
		return "nothing listens on " + address + ". It listens when its control plane has sent its configuration; " +
			"see the log of container istio-proxy, and whether the control plane runs"
	}
	if err != nil {
		return err.Error()
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(askTimeout))
	if _, err := io.WriteString(conn, "GET /healthz/ready HTTP/1.1\r\nHost: "+address+"\r\nConnection: close\r\n\r\n"); err != nil {
		return err.Error()
	}
	const most = 4 << 10 // of a response; Envoy's has some hundred bytes
	answer, err := io.ReadAll(io.LimitReader(conn, most))
	status, _, _ := strings.Cut(string(answer), "\r\n")
	switch {
	case strings.HasPrefix(status, "HTTP/1.1 200 "):
		return ""
	case status == "" && err != nil:
		return "no response: " + err.Error()
	case status == "":
		return "no response"
	}
	_, body, _ := strings.Cut(string(answer), "\r\n\r\n")
	return fmt.Sprintf("it answers %q, %q", status, strings.TrimSpace(body))
}
