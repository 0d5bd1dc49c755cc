package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// extensions are those of the manifests in a directory, as for kubectl.
var extensions = []string{".json", ".yaml", ".yml"}

// inputs expands the arguments of -f: a directory becomes the manifests in it, in
// the order of their names, and a repeated file is read once. The error holds all
// problems. command is the one whose arguments they are.
func inputs(command string, named []string, recursive bool) ([]string, error) {
	var files []string
	var failed []error
	for _, name := range named {
		if isURL(name) {
			failed = append(failed, fmt.Errorf("-f %s: a URL is not a file; use curl -fsSL %s | outrider %s -f -", name, shellWord(name), command))
			continue
		}
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) && strings.ContainsAny(name, "*?[") {
			failed = append(failed, fmt.Errorf("-f %s: no such file; the shell expands patterns without quotes only, and -f takes one file: repeat it, or use a directory", name))
			continue
		}
		if name == "-" || err != nil || !info.IsDir() {
			files = append(files, name) // an error is reported when it is opened
			continue
		}
		found, err := manifestsIn(name, recursive)
		if err == nil && len(found) == 0 {
			hint := ""
			if !recursive {
				hint = "; use -R to recurse"
			}
			err = fmt.Errorf("-f %s: no manifests (*.yaml, *.yml, *.json) found%s", name, hint)
		}
		failed = append(failed, err)
		files = append(files, found...)
	}
	return unique(files), errors.Join(failed...)
}

// isURL reports whether an argument is a URL, as kubectl reads it.
func isURL(name string) bool { return urlScheme.MatchString(name) }

// notAFile is the error of a flag that takes a file and has a URL.
func notAFile(flag, url string) error {
	return fmt.Errorf("%s %s: a URL is not a file; download it first: curl -fsSLO %s", flag, url, shellWord(url))
}

var urlScheme = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]+://`)

// shellWord is a word of a shell command.
func shellWord(text string) string {
	if plainWord.MatchString(text) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

var plainWord = regexp.MustCompile(`^[\w@%+=:,./-]+$`)

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

// unique removes duplicates.
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

// openInput opens the file of a flag, or standard input for "-", and returns its
// name for messages.
func openInput(flag, file string, in io.Reader) (io.ReadCloser, string, error) {
	if file == "-" {
		return io.NopCloser(in), nameOf(file), nil
	}
	if isURL(file) {
		return nil, "", notAFile(flag, file)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, "", fmt.Errorf("%s %s: %w", flag, file, cause(err))
	}
	return f, file, nil
}

// nameOf is the name of a file in messages.
func nameOf(file string) string {
	if file == "-" {
		return "standard input"
	}
	return file
}

// cause is an error of the file system without the path, which the message repeats.
func cause(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}
