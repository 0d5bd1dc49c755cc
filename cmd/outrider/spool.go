package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
)

// spoolMemory is how much of a result for standard output is kept in memory,
// enough for some 100 injected workloads of 10 KB; the rest waits in a temporary
// file, so that memory does not grow with the input.
const spoolMemory = 1 << 20

// spool holds a result back until it is known to be whole: for a file beside it,
// for standard output in memory.
type spool struct {
	flag   string    // that named the target
	target string    // path of the file to replace; empty for out
	out    io.Writer // where the result goes without a target
	memory []byte
	file   *os.File // temporary
	closed bool     // file is written and closed
	size   int64
	last   byte // the last byte written
}

// newSpool prepares the result for the file target, or for out when target is
// empty or "-".
func newSpool(target string, out io.Writer) (*spool, error) {
	if target == "" || target == "-" {
		return &spool{out: out}, nil
	}
	target, info, err := resolve(target)
	switch {
	case err != nil:
		return nil, fmt.Errorf("-o %s: %w", target, cause(err))
	case info != nil && info.IsDir():
		return nil, fmt.Errorf("-o %s: is a directory; name a file in it", target)
	case info != nil && !info.Mode().IsRegular():
		f, err := os.OpenFile(target, os.O_WRONLY, 0)
		if err != nil {
			return nil, fmt.Errorf("-o %s: %w", target, cause(err))
		}
		return &spool{out: f}, nil
	}
	return beside("-o", target, info)
}

// newReplacement prepares what a file is replaced by.
func newReplacement(file string) (*spool, error) {
	target, info, err := resolve(file)
	if err == nil && info == nil {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("-f %s: %w", file, cause(err))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("-f %s: is no regular file, which --in-place could change", file)
	}
	return beside("-f", target, info)
}

// resolve follows links, so that a link stays one. There is no info about a
// file that does not exist.
func resolve(path string) (string, fs.FileInfo, error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return path, nil, nil
	}
	return path, info, err
}

// beside makes the result's file in the directory of target, whose info is nil
// where it does not exist yet.
func beside(flag, target string, info fs.FileInfo) (*spool, error) {
	mode := fs.FileMode(0o666) // less the umask
	if info != nil {
		mode = info.Mode().Perm()
	}
	s := &spool{flag: flag, target: target}
	var err error
	if s.file, err = createBeside(target, mode); err != nil {
		return nil, fmt.Errorf("%s %s: %w", flag, target, cause(err))
	}
	if info != nil {
		// The mode as it was, whatever the umask.
		if err := s.file.Chmod(mode); err != nil {
			s.discard()
			return nil, fmt.Errorf("%s %s: keep its mode: %w", flag, target, cause(err))
		}
	}
	return s, nil
}

// createBeside creates a new file in the directory of target.
func createBeside(target string, mode fs.FileMode) (*os.File, error) {
	for try := 0; ; try++ {
		name := target + "." + strconv.FormatUint(uint64(rand.Uint32()), 36) + ".tmp"
		f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
		if err == nil || try == 100 || !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
}

func (s *spool) Write(p []byte) (int, error) {
	if len(p) > 0 {
		s.last = p[len(p)-1]
	}
	s.size += int64(len(p))
	if s.file == nil && len(s.memory)+len(p) <= spoolMemory {
		s.memory = append(s.memory, p...)
		return len(p), nil
	}
	if s.file == nil {
		f, err := os.CreateTemp("", "outrider-*.yaml") // mode 0600
		if err != nil {
			return 0, fmt.Errorf("temporary file: %w", err)
		}
		// Without a name nobody else finds it, and it is gone with the process,
		// however that ends. Where that is not possible, discard removes it.
		_ = os.Remove(f.Name())
		s.file = f
	}
	return s.file.Write(p)
}

// close ends the writing: a result that waits beside its target needs no open
// file, of which a process may have 1,024.
func (s *spool) close() error {
	if s.closed || s.target == "" {
		return nil
	}
	s.closed = true
	if err := s.file.Close(); err != nil {
		return fmt.Errorf("%s %s: %w", s.flag, s.target, cause(err))
	}
	return nil
}

// commit hands the result over.
func (s *spool) commit() error {
	if s.target != "" {
		if err := s.close(); err != nil {
			return err
		}
		if err := os.Rename(s.file.Name(), s.target); err != nil {
			return fmt.Errorf("%s %s: %w", s.flag, s.target, cause(err))
		}
		s.file = nil
		return nil
	}
	if _, err := s.out.Write(s.memory); err != nil {
		return fmt.Errorf("write the result: %w", cause(err))
	}
	if s.file == nil {
		return nil
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("temporary file: %w", err)
	}
	if _, err := io.Copy(s.out, s.file); err != nil {
		return fmt.Errorf("write the result: %w", cause(err))
	}
	return nil
}

// discard drops what was not handed over.
func (s *spool) discard() {
	if s.file == nil {
		return
	}
	if !s.closed {
		_ = s.file.Close()
	}
	_ = os.Remove(s.file.Name())
	s.file = nil
}
