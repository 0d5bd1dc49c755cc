package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// extensions are those of the manifests in a directory, as for kubectl.
var extensions = []string{".json", ".yaml", ".yml"}

// inputs are the files that -f names, directories replaced by the manifests in
// them, in the order of their names. A file that is named again later is left
// out then. The error holds all that is wrong.
func inputs(named []string, recursive bool) ([]string, error) {
	var files []string
	var failed []error
	for _, name := range named {
		info, err := os.Stat(name)
		if name == "-" || err != nil || !info.IsDir() {
			files = append(files, name) // to open it says what is wrong
			continue
		}
		found, err := manifestsIn(name, recursive)
		if err == nil && len(found) == 0 {
			hint := ""
			if !recursive {
				hint = "; -R looks in the directories below it too"
			}
			err = fmt.Errorf("-f %s: no manifest in this directory: their names end in .yaml, .yml or .json%s", name, hint)
		}
		failed = append(failed, err)
		files = append(files, found...)
	}
	return unique(files), errors.Join(failed...)
}

// manifestsIn lists a directory's manifests.
func manifestsIn(dir string, recursive bool) (files []string, err error) {
	var failed []error
	walk := func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			failed = append(failed, fmt.Errorf("-f %s: %w", path, cause(err)))
			if entry != nil && entry.IsDir() {
				return fs.SkipDir
			}
		case entry.IsDir() && path != dir && !recursive:
			return fs.SkipDir
		case !entry.IsDir() && slices.Contains(extensions, filepath.Ext(path)):
			files = append(files, path)
		}
		return nil
	}
	// A link to a directory is followed where -f names it, as by kubectl.
	if real, err := filepath.EvalSymlinks(dir); err == nil && real != filepath.Clean(dir) {
		dir += string(filepath.Separator)
	}
	if err := filepath.WalkDir(dir, walk); err != nil {
		failed = append(failed, fmt.Errorf("-f %s: %w", dir, cause(err)))
	}
	return files, errors.Join(failed...)
}

// unique leaves out what is there already.
func unique(files []string) (out []string) {
	seen := map[string]bool{}
	for _, file := range files {
		if clean := filepath.Clean(file); !seen[clean] {
			seen[clean] = true
			out = append(out, file)
		}
	}
	return out
}

// openInput opens the file that a flag has, or standard input for "-", and says
// what to call it.
func openInput(flag, file string, in io.Reader) (io.ReadCloser, string, error) {
	if file == "-" {
		return io.NopCloser(in), nameOf(file), nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, "", fmt.Errorf("%s %s: %w", flag, file, cause(err))
	}
	return f, file, nil
}

// nameOf is what messages call a file.
func nameOf(file string) string {
	if file == "-" {
		return "standard input"
	}
	return file
}

// cause is an error of the file system without the path, which the message has.
func cause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
