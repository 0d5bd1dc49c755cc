package main

import (
	"errors"
	"os"
	"path/filepath"
)

// replacement is a temporary file that replaces its target. renameio does
// not support Windows, where a rename is not guaranteed to be atomic.
type replacement struct {
	*os.File
	target string
	done   bool
}

func replace(target string) (*replacement, error) {
	f, err := os.CreateTemp(filepath.Dir(target), "."+filepath.Base(target))
	return &replacement{File: f, target: target}, err
}

// CloseAtomicallyReplace replaces the target.
func (r *replacement) CloseAtomicallyReplace() error {
	if err := errors.Join(r.Sync(), r.Close()); err != nil {
		return err
	}
	err := os.Rename(r.Name(), r.target)
	r.done = err == nil
	return err
}

// Cleanup removes the file unless it has replaced the target.
func (r *replacement) Cleanup() error {
	if r.done {
		return nil
	}
	_ = r.Close()
	return os.Remove(r.Name())
}
