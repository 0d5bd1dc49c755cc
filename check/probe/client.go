package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/outrider-mesh/outrider/check"
)

// ClientOptions configure Connect.
type ClientOptions struct {
	Probes []check.Probe
	// Kernel is the socket of the reader of the kernel's counters; empty without one.
	Kernel string
	// Admin is the address of the sidecar's administration interface.
	Admin string
	Out   io.Writer
}

// Observation is a line of the client's output.
type Observation struct {
	Probe   check.Probe    `json:"probe"`
	Seen    check.Seen     `json:"seen"`
	Arrival *check.Arrival `json:"arrival,omitempty"`
	// Done is set in the last line, which has nothing else.
	Done bool `json:"done,omitempty"`
}

const (
	// connectTimeout bounds a connection with its response: Envoy's own limit for a connection
	// to the destination is 10 s by default.
	connectTimeout = 12 * time.Second
	// readTimeout bounds the reading of counters.
	readTimeout = 3 * time.Second
	// kernelWait is how long the other container of the pod may take to start.
	kernelWait  = 15 * time.Second
	maxResponse = 64 << 10
	maxStats    = 32 << 20
)

// Connect makes the connections, and prints an Observation of each.
func Connect(ctx context.Context, o ClientOptions) error {
	c := &client{ClientOptions: o}
	c.waitForKernel(ctx)
	out := json.NewEncoder(o.Out)
	for _, p := range o.Probes {
		observation := c.observe(ctx, p)
		if err := out.Encode(observation); err != nil {
			return fmt.Errorf("write the observation: %w", err)
		}
	}
	return out.Encode(Observation{Done: true})
}

type client struct{ ClientOptions }

func (c *client) waitForKernel(ctx context.Context) {
	for began := time.Now(); c.Kernel != "" && time.Since(began) < kernelWait && ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		if _, err := c.counters(ctx); err == nil {
			return
		}
	}
}

// observe makes one connection, between two readings of the counters.
func (c *client) observe(ctx context.Context, p check.Probe) Observation {
	stats, statsErr := c.stats(ctx) // first and last: its connection is counted, too
	kernel, kernelErr := c.counters(ctx)
	seen, arrival := c.connect(ctx, p)
	seen.Kernel, seen.KernelError = grown(ctx, kernel, kernelErr, c.counters)
	seen.Sidecar, seen.SidecarError = grown(ctx, stats, statsErr, c.stats)
	return Observation{Probe: p, Seen: seen, Arrival: arrival}
}

func grown(ctx context.Context, before map[string]uint64, err error, read func(context.Context) (map[string]uint64, error)) (map[string]uint64, string) {
	if err != nil {
		return nil, err.Error()
	}
	after, err := read(ctx)
	if err != nil {
		return nil, err.Error()
	}
	return check.Changes(before, after), ""
}

// connect makes a connection and a request.
func (c *client) connect(ctx context.Context, p check.Probe) (seen check.Seen, arrival *check.Arrival) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", p.Address)
	if err != nil {
		seen.Error = plain(err)
		return seen, nil
	}
	defer func() { _ = conn.Close() }()
	seen.Local = conn.LocalAddr().String()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	if p.Protocol == "tls" {
		// The token identifies the server; the response of another one is not used.
		conn = tls.Client(conn, &tls.Config{ServerName: p.Name, InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}}) //nolint:gosec // see above
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Name+"/", nil)
	if err != nil {
		seen.Error = err.Error()
		return seen, nil
	}
	request.Header.Set("User-Agent", "outrider-check")
	request.Close = true
	if err := request.Write(conn); err != nil {
		seen.Error = plain(err)
		return seen, nil
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), request)
	if err != nil {
		seen.Error = plain(err)
		return seen, nil
	}
	defer func() { _ = response.Body.Close() }()
	seen.Status, seen.Server = response.StatusCode, response.Header.Get("Server")
	body, _ := io.ReadAll(io.LimitReader(response.Body, maxResponse))
	var a Arrived
	if p.Token != "" && json.Unmarshal(body, &a) == nil && a.Token == p.Token {
		return seen, &a.Arrival
	}
	if p.Token != "" && seen.Status == http.StatusOK {
		seen.Error = "the response is that of another server"
	}
	return seen, nil
}

// plain is an error in the words of its cause.
func plain(err error) string {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection was closed"
	case errors.Is(err, syscall.ECONNRESET):
		return "the connection was reset"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens at the address"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Sprintf("no response after %s", connectTimeout)
	}
	return err.Error()
}

// counters asks the reader of the kernel's counters.
func (c *client) counters(ctx context.Context) (map[string]uint64, error) {
	if c.Kernel == "" {
		return nil, errors.New("no container reads it")
	}
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", c.Kernel)
	if err != nil {
		return nil, errors.New("the container that reads it does not respond: " + err.Error())
	}
	defer func() { _ = conn.Close() }()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	var answer counted
	if err := json.NewDecoder(io.LimitReader(conn, maxResponse)).Decode(&answer); err != nil {
		return nil, fmt.Errorf("read the kernel's counters: %w", err)
	}
	if answer.Error != "" {
		return nil, errors.New(answer.Error)
	}
	return answer.Counters, nil
}

// counted is the answer of the reader.
type counted struct {
	Counters map[string]uint64 `json:"counters"`
	Error    string            `json:"error,omitempty"`
}

// stats reads the sidecar's statistics that a connection changes.
func (c *client) stats(ctx context.Context) (map[string]uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.Admin+"/stats", nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, errors.New("its administration interface does not respond: " + plain(err))
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxStats))
	if err != nil {
		return nil, err
	}
	out := check.ReadStats(body)
	for name := range out {
		if !check.Relevant(name) {
			delete(out, name)
		}
	}
	return out, nil
}

// ReadObservations reads the output of a client; done reports that it is complete.
func ReadObservations(text string) (out []Observation, done bool) {
	for line := range strings.Lines(text) {
		var o Observation
		if json.Unmarshal([]byte(line), &o) != nil {
			continue
		}
		if o.Done {
			return out, true
		}
		out = append(out, o)
	}
	return out, false
}

// ReadArrivals reads the log of a server.
func ReadArrivals(text string) (out []Arrived) {
	for line := range strings.Lines(text) {
		var a Arrived
		if json.Unmarshal([]byte(line), &a) == nil && a.From != "" {
			out = append(out, a)
		}
	}
	return slices.Clip(out)
}
