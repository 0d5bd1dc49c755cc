package node

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// startTimeout bounds the time from the start of the process to its socket,
// which takes milliseconds.
const startTimeout = 20 * time.Second

// Options configure a node.
type Options struct {
	Dir     string           // the node's directory: absolute, not below /var/lib, /var/log or /run
	Program string           // the program of test/cluster/node/cmd/node
	Name    string           // its host name
	Forward string           // address in the node that connections to API go to
	API     *net.TCPListener // in the host's network; handed to the node
	Lock    *os.File         // held open by the node as long as it lives
	Alive   *os.File         // the read end of a pipe whose end ends the node; nil for none
}

// Start starts a node and returns the process id, in the caller's namespace, of
// its first process.
func Start(o Options) (pid int, err error) {
	api, err := o.API.File()
	if err != nil {
		return 0, fmt.Errorf("start the node: %w", err)
	}
	defer func() { _ = api.Close() }()
	log, err := os.Create(filepath.Join(o.Dir, "node.log"))
	if err != nil {
		return 0, fmt.Errorf("start the node: %w", err)
	}
	defer func() { _ = log.Close() }()

	cmd := exec.Command(o.Program, "-dir", o.Dir, "-name", o.Name, "-forward", o.Forward)
	cmd.Dir = o.Dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{api, o.Lock}
	if o.Alive != nil {
		cmd.Args = append(cmd.Args, "-alive")
		cmd.ExtraFiles = append(cmd.ExtraFiles, o.Alive)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS,
		Setsid:     true,
	}
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start the node: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }() // also reaps it when it ends later
	pid = cmd.Process.Pid
	if err := os.WriteFile(pidFile(o.Dir), []byte(strconv.Itoa(pid)), 0o644); err != nil {
		_ = cmd.Process.Kill()
		return 0, fmt.Errorf("start the node: %w", err)
	}
	for deadline := time.Now().Add(startTimeout); ; time.Sleep(10 * time.Millisecond) {
		if _, err = (Client{o.Dir}).Daemons(); err == nil {
			return pid, nil
		}
		select {
		case err = <-ended:
		default:
			if time.Now().Before(deadline) {
				continue
			}
			_ = cmd.Process.Kill()
		}
		output, _ := os.ReadFile(log.Name())
		return 0, fmt.Errorf("start the node: %w\n%s", err, output)
	}
}

func pidFile(dir string) string { return filepath.Join(dir, "node.pid") }

// PID is the process id of the live node with the directory, or 0. A number
// that the kernel has given to another process since is not taken for it.
func PID(dir string) int {
	data, err := os.ReadFile(pidFile(dir))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(string(data))
	if err != nil {
		return 0
	}
	// The command line of a process that has ended is empty, also while nobody
	// has waited for it.
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil || !strings.Contains(string(cmdline), "\x00-dir\x00"+dir+"\x00") {
		return 0
	}
	return pid
}
