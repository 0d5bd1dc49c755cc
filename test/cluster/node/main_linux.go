package node

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// Main is the program of the node's first process. It returns only on an error.
func Main(args []string) error {
	flags := flag.NewFlagSet("node", flag.ContinueOnError)
	dir := flags.String("dir", "", "the node's `directory`")
	name := flags.String("name", "", "the node's host `name`")
	forward := flags.String("forward", "", "`address` that the inherited listener's connections go to")
	alive := flags.Bool("alive", false, "end when the inherited pipe does")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if os.Getpid() != 1 {
		return fmt.Errorf("process %d, want process 1 of a PID namespace: it is started by cluster.Up", os.Getpid())
	}
	api, err := net.FileListener(os.NewFile(3, "api"))
	if err != nil {
		return fmt.Errorf("take the inherited listener: %w", err)
	}
	for fd := 3; fd <= 5; fd++ { // none of them is for a daemon to keep
		syscall.CloseOnExec(fd)
	}
	if *alive {
		go func() {
			_, _ = io.Copy(io.Discard, os.NewFile(5, "alive"))
			os.Exit(0)
		}()
	}
	if err := prepare(*dir, *name); err != nil {
		return err
	}
	control, err := net.Listen("unix", filepath.Join(*dir, socket))
	if err != nil {
		return err
	}
	s := newSupervisor(filepath.Join(*dir, "logs"))
	go relay(api, *forward)
	for {
		conn, err := control.Accept()
		if err != nil {
			return err
		}
		go s.serve(conn)
	}
}

// relay hands each connection of the listener to address.
func relay(l net.Listener, address string) {
	for {
		from, err := l.Accept()
		if err != nil {
			log.Print(err)
			return
		}
		go func() {
			defer func() { _ = from.Close() }()
			to, err := net.Dial("tcp", address)
			if err != nil {
				return // the caller sees its connection closed, as with a server that is down
			}
			go func() {
				_, _ = io.Copy(to, from)
				_ = to.(*net.TCPConn).CloseWrite()
			}()
			_, _ = io.Copy(from, to)
			_ = to.Close()
		}()
	}
}

// serve answers one request.
func (s *supervisor) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	var q request
	if err := json.NewDecoder(conn).Decode(&q); err != nil {
		log.Printf("read a request: %v", err)
		return
	}
	var r reply
	var err error
	switch {
	case q.Start != nil:
		r.Daemons = make([]Daemon, 1)
		r.Daemons[0], err = s.start(*q.Start)
	case len(q.Run) > 0:
		r.Output, err = s.run(q.Stdin, q.Run)
	default:
		r.Daemons = s.list()
	}
	if err != nil {
		r.Error = err.Error()
	}
	if err := json.NewEncoder(conn).Encode(r); err != nil {
		log.Printf("answer a request: %v", err)
	}
}
