package node

import (
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// restartAfter is the pause before a daemon that ended is started again.
const restartAfter = time.Second

// supervisor starts processes and waits for every child of process 1, its own
// and the orphans that the kernel gives it. os/exec's own waiting would compete
// with that for the same children and is never used.
type supervisor struct {
	logs string

	mu       sync.Mutex // also keeps the reaper away from a child not yet noted
	children map[int]chan syscall.WaitStatus
	daemons  []*Daemon
}

func newSupervisor(logs string) *supervisor {
	s := &supervisor{logs: logs, children: map[int]chan syscall.WaitStatus{}}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGCHLD)
	go func() {
		for range ended {
			for s.reap() {
			}
		}
	}()
	return s
}

// reap waits for one child that has ended, and reports whether there was one.
func (s *supervisor) reap() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	var status syscall.WaitStatus
	pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
	for errors.Is(err, syscall.EINTR) {
		pid, err = syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
	}
	if err != nil || pid <= 0 {
		return false
	}
	if ended, ok := s.children[pid]; ok {
		ended <- status
		delete(s.children, pid)
	}
	return true
}

// spawn starts a command whose streams are files; its end comes on the channel.
func (s *supervisor) spawn(cmd *exec.Cmd) (pid int, ended <-chan syscall.WaitStatus, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, nil, err
	}
	pid = cmd.Process.Pid
	status := make(chan syscall.WaitStatus, 1)
	s.children[pid] = status
	return pid, status, cmd.Process.Release()
}

// start starts a daemon and keeps it running.
func (s *supervisor) start(d Daemon) (Daemon, error) {
	s.mu.Lock()
	for _, other := range s.daemons {
		if other.Name == d.Name {
			s.mu.Unlock()
			return Daemon{}, errors.New("it is started already")
		}
	}
	s.mu.Unlock()
	kept := &d
	ended, err := s.launch(kept)
	if err != nil {
		return Daemon{}, err
	}
	s.mu.Lock()
	s.daemons = append(s.daemons, kept)
	answer := *kept
	s.mu.Unlock()
	go s.keep(kept, ended)
	return answer, nil
}

// keep starts a daemon again whenever it ends.
func (s *supervisor) keep(d *Daemon, ended <-chan syscall.WaitStatus) {
	for {
		status := describe(<-ended)
		s.mu.Lock()
		d.PID, d.Exit = 0, status
		s.mu.Unlock()
		log.Printf("%s ended: %s", d.Name, status)
		if d.Once {
			return
		}
		for {
			time.Sleep(restartAfter)
			var err error
			if ended, err = s.launch(d); err == nil {
				break
			}
			log.Printf("restart %s: %v", d.Name, err)
		}
		s.mu.Lock()
		d.Restarts++
		s.mu.Unlock()
	}
}

func (s *supervisor) launch(d *Daemon) (<-chan syscall.WaitStatus, error) {
	out, err := os.OpenFile(filepath.Join(s.logs, d.Name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	cmd := exec.Command(d.Args[0], d.Args[1:]...)
	cmd.Env = append(os.Environ(), d.Env...)
	cmd.Stdout, cmd.Stderr = out, out
	pid, ended, err := s.spawn(cmd)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	d.PID = pid
	s.mu.Unlock()
	return ended, nil
}

// run runs a program to its end.
func (s *supervisor) run(stdin string, args []string) (output string, err error) {
	in, toIn, err := os.Pipe()
	if err != nil {
		return "", err
	}
	fromOut, out, err := os.Pipe()
	if err != nil {
		return "", errors.Join(err, in.Close(), toIn.Close())
	}
	defer func() { _ = fromOut.Close() }()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, out, out
	_, ended, err := s.spawn(cmd)
	_, _ = in.Close(), out.Close()
	if err != nil {
		return "", errors.Join(err, toIn.Close())
	}
	go func() {
		_, _ = io.Copy(toIn, strings.NewReader(stdin))
		_ = toIn.Close()
	}()
	text, err := io.ReadAll(fromOut)
	if status := <-ended; status != 0 {
		err = errors.Join(err, errors.New(describe(status)))
	}
	return string(text), err
}

func (s *supervisor) list() []Daemon {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]Daemon, len(s.daemons))
	for i, d := range s.daemons {
		all[i] = *d
	}
	return all
}

func describe(status syscall.WaitStatus) string {
	if status.Signaled() {
		return fmt.Sprintf("signal %s", status.Signal())
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}
