package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// spoolMemory is how much of a result for standard output is kept in memory,
// enough for some 100 injected workloads of 10 KB; the rest is buffered in a
// temporary file, so that memory does not grow with the input.
const spoolMemory = 1 << 20

// spool holds a result back until it is complete: for a file beside it, for
// standard output in memory.
type spool struct {
	flag    string       // that named the target
	target  string       // path of the file to replace; empty for out
	pending *replacement // of target
	out     io.Writer    // the destination without a target
	memory  []byte
	file    *os.File // temporary, for what exceeds memory
	size    int64
	last    byte // the last byte written
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
		return nil, fmt.Errorf("-o %s: is a directory", target)
	case info != nil && !info.Mode().IsRegular():
		f, err := os.OpenFile(target, os.O_WRONLY, 0)
		if err != nil {
			return nil, fmt.Errorf("-o %s: %w", target, cause(err))
		}
		return &spool{out: f}, nil
	}
	return replacing("-o", target)
}

// newReplacement prepares the new content of a file.
func newReplacement(file string) (*spool, error) {
	target, info, err := resolve(file)
	if err == nil && info == nil {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("-f %s: %w", file, cause(err))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("-f %s: is not a regular file", file)
	}
	return replacing("-f", target)
}

// resolve follows links, so that a link stays one. The info of a file that does
// not exist is nil.
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

// replacing is the result that replaces the file target.
func replacing(flag, target string) (*spool, error) {
	pending, err := replace(target)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", flag, target, cause(err))
	}
	return &spool{flag: flag, target: target, pending: pending}, nil
}

func (s *spool) Write(p []byte) (int, error) {
	if len(p) > 0 {
		s.last = p[len(p)-1]
	}
	s.size += int64(len(p))
	if s.pending != nil {
		return s.pending.Write(p)
	}
	if s.file == nil && len(s.memory)+len(p) <= spoolMemory {
		s.memory = append(s.memory, p...)
		return len(p), nil
	}
	if s.file == nil {
		f, err := os.CreateTemp("", "outrider-*.yaml") // mode 0600
		if err != nil {
			return 0, fmt.Errorf("temporary file: %w", err)
		}
		// Without a name no other process can open it, and it is removed with the
		// process, however that exits. Where that is not possible, discard
		// removes it.
		_ = os.Remove(f.Name())
		s.file = f
	}
	return s.file.Write(p)
}

// sync writes a file's new content to the disk, so that one that does not fit is
// an error before the first file is replaced.
func (s *spool) sync() error {
	if s.pending == nil {
		return nil
	}
	if err := s.pending.Sync(); err != nil {
		return fmt.Errorf("%s %s: %w", s.flag, s.target, cause(err))
	}
	return nil
}

// commit replaces the file, or writes the result to out.
func (s *spool) commit() error {
	if s.pending != nil {
		if err := s.pending.CloseAtomicallyReplace(); err != nil {
			return fmt.Errorf("%s %s: %w", s.flag, s.target, cause(err))
		}
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

// discard drops a result that was not committed.
func (s *spool) discard() {
	if s.pending != nil {
		_ = s.pending.Cleanup()
	}
	if s.file != nil {
		_ = s.file.Close()
		_ = os.Remove(s.file.Name())
		s.file = nil
	}
}
