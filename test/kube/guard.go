package kube

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// guardScript ends the servers of a process that could not do it itself. It
// waits on a pipe whose other end that process holds: the word "done" means
// that all is stopped, the bare end of the pipe that the process is gone. A
// process is only killed while its command line names the server's own
// directory, so a number that the kernel has reused is not touched.
const guardScript = `
read -r word && [ "$word" = done ] && exit 0
for file in "$1"/*.pid; do
	[ -f "$file" ] && pid=$(cat "$file") || continue
	[ -r "/proc/$pid/cmdline" ] && ! grep -qaF -- "$1" "/proc/$pid/cmdline" && continue
	kill -9 "$pid"
done
rm -rf -- "$1"
`

// guard is the watcher over the servers that live in one directory.
type guard struct {
	cmd   *exec.Cmd
	alive io.WriteCloser
}

func startGuard(dir string) (*guard, error) {
	cmd := exec.Command("/bin/sh", "-c", guardScript, "outrider-kube-guard", dir)
	cmd.SysProcAttr = ownSession()
	alive, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("guard the servers: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("guard the servers: %w", err)
	}
	return &guard{cmd, alive}, nil
}

// dismiss ends the guard, which has nothing left to watch, and waits for it.
func (g *guard) dismiss() error {
	_, err := io.WriteString(g.alive, "done\n")
	if closeErr := g.alive.Close(); err == nil {
		err = closeErr
	}
	if waitErr := g.cmd.Wait(); err == nil {
		err = waitErr
	}
	if err != nil {
		return fmt.Errorf("dismiss the guard: %w", err)
	}
	return nil
}

// wrap writes a starter for program into dir, which notes its process id where
// the guard looks and then becomes the program. envtest keeps the id to itself.
func wrap(dir, program string) (string, error) {
	path := filepath.Join(dir, filepath.Base(program)+".sh")
	note := filepath.Join(dir, filepath.Base(program)+".pid")
	script := fmt.Sprintf("#!/bin/sh\necho $$ > %s\nexec %s \"$@\"\n", shellQuote(note), shellQuote(program))
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		return "", fmt.Errorf("write the starter of %s: %w", filepath.Base(program), err)
	}
	return path, nil
}

func shellQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
