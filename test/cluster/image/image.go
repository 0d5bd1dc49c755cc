// Package image writes container images with the standard library alone, of one
// layer, out of files that exist: the archive that `docker save` writes, and the
// archive of an OCI image layout for several architectures. Both are read by
// `ctr images import`, and equal files make equal archives.
package image

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"
)

// File is one file of an image: the content of the host's file From, or else a
// symbolic link to Link, or else Data.
type File struct {
	Path string // absolute
	Mode int64  // permission bits; 0 means 0755 for From and 0644 for Data
	From string
	Link string
	Data []byte
	Dir  bool
}

// Image is a container image. Write makes one for the platform that this program
// runs on.
type Image struct {
	Refs       []string // full references, such as docker.io/curlimages/curl:latest
	Files      []File   // directories above a file need not be listed
	Entrypoint []string
	Cmd        []string
	Env        []string
	User       string
	Labels     map[string]string
}

// config is the configuration of the image with the layer of that digest, in the
// form that Docker and OCI share.
func (im Image) config(arch string, created time.Time, diffID string) ([]byte, error) {
	config := map[string]any{"Entrypoint": im.Entrypoint, "Cmd": im.Cmd, "Env": im.Env, "User": im.User}
	if im.Labels != nil {
		config["Labels"] = im.Labels
	}
	return json.Marshal(map[string]any{
		"architecture": arch, "os": "linux", "created": created.UTC(), "config": config,
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{diffID}},
	})
}

// epoch is the time of every file, so that equal files make an equal image.
var epoch = time.Unix(0, 0).UTC()

// Write writes the archive. It reads the files twice, once for the layer's
// hash, and fails if they change in between.
func (im Image) Write(w io.Writer) error {
	if err := im.write(w); err != nil {
		return fmt.Errorf("write image %s: %w", strings.Join(im.Refs, ", "), err)
	}
	return nil
}

func (im Image) write(w io.Writer) error {
	hash, size := sha256.New(), new(counter)
	if err := im.layer(io.MultiWriter(hash, size)); err != nil {
		return err
	}
	id := hex.EncodeToString(hash.Sum(nil))
	config, err := im.config(runtime.GOARCH, epoch, "sha256:"+id)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(config)
	name := hex.EncodeToString(sum[:]) + ".json"
	manifest, err := json.Marshal([]any{map[string]any{"Config": name, "RepoTags": im.Refs, "Layers": []string{id + "/layer.tar"}}})
	if err != nil {
		return err
	}
	t := tar.NewWriter(w)
	for _, f := range []struct {
		name string
		data []byte
	}{{"manifest.json", manifest}, {name, config}} {
		if err := add(t, tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.data))}, bytes.NewReader(f.data)); err != nil {
			return err
		}
	}
	if err := t.WriteHeader(&tar.Header{Name: id + "/layer.tar", Mode: 0o644, Size: int64(*size), ModTime: epoch}); err != nil {
		return err
	}
	if err := im.layer(t); err != nil {
		return err
	}
	return t.Close()
}

type counter int64

func (c *counter) Write(p []byte) (int, error) { *c += counter(len(p)); return len(p), nil }

// layer writes the files, each after the directories above it.
func (im Image) layer(w io.Writer) error {
	t := tar.NewWriter(w)
	seen := map[string]bool{"/": true}
	files := slices.SortedFunc(slices.Values(im.Files), func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	for _, f := range files {
		if !path.IsAbs(f.Path) || path.Clean(f.Path) != f.Path {
			return fmt.Errorf("file %q: want a clean absolute path", f.Path)
		}
		if seen[f.Path] {
			continue
		}
		if err := parents(t, path.Dir(f.Path), seen); err != nil {
			return err
		}
		seen[f.Path] = true
		if err := f.write(t); err != nil {
			return err
		}
	}
	return t.Close()
}

func parents(t *tar.Writer, dir string, seen map[string]bool) error {
	if seen[dir] {
		return nil
	}
	if err := parents(t, path.Dir(dir), seen); err != nil {
		return err
	}
	seen[dir] = true
	return File{Path: dir, Dir: true}.write(t)
}

func (f File) write(t *tar.Writer) error {
	h := tar.Header{Name: f.Path[1:], Mode: f.Mode}
	switch {
	case f.Dir:
		h.Name, h.Typeflag, h.Mode = h.Name+"/", tar.TypeDir, max(f.Mode, 0o755)
		return add(t, h, nil)
	case f.Link != "":
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, f.Link, 0o777
		return add(t, h, nil)
	case f.From == "":
		h.Size, h.Mode = int64(len(f.Data)), max(f.Mode, 0o644)
		return add(t, h, bytes.NewReader(f.Data))
	}
	in, err := os.Open(f.From)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	h.Size, h.Mode = info.Size(), max(f.Mode, 0o755)
	return add(t, h, in)
}

func add(t *tar.Writer, h tar.Header, content io.Reader) error {
	h.ModTime = epoch
	if err := t.WriteHeader(&h); err != nil {
		return err
	}
	if content == nil {
		return nil
	}
	_, err := io.Copy(t, content)
	return err
}
