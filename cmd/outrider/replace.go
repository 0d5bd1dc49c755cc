//go:build !windows

package main

import (
	"path/filepath"

	"github.com/google/renameio/v2"
)

// replacement is a temporary file that replaces its target in one step.
type replacement = renameio.PendingFile

// replace begins the replacement of a file, in the same directory and with the
// same mode. A new file has the usual mode, less the umask.
func replace(target string) (*replacement, error) {
	return renameio.NewPendingFile(target, renameio.WithTempDir(filepath.Dir(target)),
		renameio.WithPermissions(0o666), renameio.WithExistingPermissions())
}
