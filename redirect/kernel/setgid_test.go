//go:build linux

package kernel

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/outrider-mesh/outrider/test/kit/netns"
)

// connectTo makes this binary the program that TestSetGroupID runs.
const connectTo = "TEST_CONNECT_TO"

// A program with the set-group-ID bit runs in the group of its file, which can be any group of
// the container, such as that of fsGroup. It bypasses the proxy only where -g exempts the group.
func TestSetGroupID(t *testing.T) {
	if to := os.Getenv(connectTo); to != "" {
		answer, err := netns.Connect("tcp", netip.MustParseAddrPort(to), 0, 0)
		fmt.Println("gid", os.Getegid(), answer, err)
		return
	}
	program := setGroupID(t, 1337)
	for _, tt := range []struct {
		name, group, want string
		program           string
	}{
		{"no group is exempt", "", "gid 1337 proxy", program},
		{"the group is exempt", "1337", "gid 1337 world", program},
		{"another group is exempt", "1400", "gid 1337 proxy", program},
		{"without the bit", "1337", "gid 1000 proxy", setGroupID(t, -1)},
	} {
		pod := setup(t)
		apply(t, pod, config(t, "-u", "1337", "-g", tt.group, "-i", "*"))
		for _, to := range []string{"192.0.2.1:80", "[2001:db8::1]:80"} {
			command := exec.CommandContext(t.Context(), tt.program, "-test.run=^TestSetGroupID$")
			command.Env = []string{connectTo + "=" + to}
			command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000, Groups: []uint32{1337}}}
			var out []byte
			var err error
			pod.Do(func() { out, err = command.CombinedOutput() })
			if err != nil || !strings.Contains(string(out), tt.want) {
				t.Errorf("%s: %s: %s, %v; want %s", tt.name, to, out, err, tt.want)
			}
		}
	}
}

// setGroupID copies this binary, with a group and the set-group-ID bit, or without for -1.
func setGroupID(t *testing.T, group int) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "setgid") //nolint:usetesting // another user cannot enter the parent of t.TempDir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "program")
	mode := os.FileMode(0o755)
	if group >= 0 {
		mode |= os.ModeSetgid
	}
	for _, step := range []func() error{
		func() error { return os.Chmod(dir, 0o755) }, //nolint:gosec // another user runs the program
		func() error { return copyFile("/proc/self/exe", path) },
		func() error { return os.Chown(path, -1, group) },
		func() error { return os.Chmod(path, mode) },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func copyFile(from, to string) error {
	in, err := os.Open(from) //nolint:gosec // this binary
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.Create(to) //nolint:gosec // in the test's directory
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Close()
}
