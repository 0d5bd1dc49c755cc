package node

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"
)

// socket is the name of the node's control socket in its directory. A socket
// with a path is reached from every network namespace.
const socket = "node.sock"

// ResolvConf is the file in the node's directory that is the node's
// /etc/resolv.conf. It is there before the node starts.
const ResolvConf = "config/resolv.conf"

// Daemon is a program that the node keeps running.
type Daemon struct {
	Name string   // also the name of its log: Name.log in the node's logs
	Args []string // program and arguments
	Env  []string `json:",omitempty"` // added to the node's own
	// Once leaves the program as it is when it ends. Others are restarted.
	Once bool `json:",omitempty"`

	// Set by the node:
	PID      int    `json:",omitempty"` // in the node's PID namespace; 0 when it does not run
	Restarts int    `json:",omitempty"`
	Exit     string `json:",omitempty"` // how it last ended
}

// request and reply are what goes over the control socket: one of each per
// connection, as JSON.
type request struct {
	Start *Daemon  `json:",omitempty"`
	Run   []string `json:",omitempty"`
	Stdin string   `json:",omitempty"`
}

type reply struct {
	Error   string
	Output  string
	Daemons []Daemon
}

// Client talks to the node whose directory it names.
type Client struct{ Dir string }

// StartDaemon has the node start a daemon and returns it with its process id.
func (c Client) StartDaemon(d Daemon) (Daemon, error) {
	r, err := c.do(request{Start: &d})
	if err != nil {
		return Daemon{}, fmt.Errorf("start %s: %w", d.Name, err)
	}
	return r.Daemons[0], nil
}

// Run runs a program to its end inside the node and returns what it wrote to
// both its outputs.
func (c Client) Run(stdin string, args ...string) (string, error) {
	r, err := c.do(request{Run: args, Stdin: stdin})
	if err != nil {
		return r.Output, fmt.Errorf("run %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(r.Output))
	}
	return r.Output, nil
}

// Daemons lists the daemons in the order they were started.
func (c Client) Daemons() ([]Daemon, error) {
	r, err := c.do(request{})
	return r.Daemons, err
}

func (c Client) do(q request) (reply, error) {
	conn, err := net.Dial("unix", filepath.Join(c.Dir, socket))
	if err != nil {
		return reply{}, fmt.Errorf("reach the node: %w", err)
	}
	defer func() { _ = conn.Close() }()
	if err := json.NewEncoder(conn).Encode(q); err != nil {
		return reply{}, fmt.Errorf("ask the node: %w", err)
	}
	var r reply
	if err := json.NewDecoder(conn).Decode(&r); err != nil {
		return reply{}, fmt.Errorf("hear from the node: %w", err)
	}
	if r.Error != "" {
		return r, fmt.Errorf("%s", r.Error)
	}
	return r, nil
}
