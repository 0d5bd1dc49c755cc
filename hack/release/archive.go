package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"time"
)

// entry is a file of an archive.
type entry struct {
	name string
	mode int64
	data []byte
}

// writeTarGz writes an archive without anything of the machine: no names of users
// and one time for all files. The entries keep their order.
func writeTarGz(w io.Writer, at time.Time, entries []entry) error {
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	for _, e := range entries {
		h := tar.Header{Name: e.name, Mode: e.mode, Size: int64(len(e.data)), ModTime: at.UTC(), Format: tar.FormatUSTAR}
		if err := t.WriteHeader(&h); err != nil {
			return err
		}
		if _, err := t.Write(e.data); err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), z.Close())
}

// writeZip is the same for Windows.
func writeZip(w io.Writer, at time.Time, entries []entry) error {
	z := zip.NewWriter(w)
	for _, e := range entries {
		h := zip.FileHeader{Name: e.name, Method: zip.Deflate, Modified: at.UTC()}
		f, err := z.CreateHeader(&h)
		if err != nil {
			return err
		}
		if _, err := f.Write(e.data); err != nil {
			return err
		}
	}
	return z.Close()
}

// readTarGz reads the regular files of an archive.
func readTarGz(r io.Reader) ([]entry, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return nil, err
	}
	var entries []entry
	for t := tar.NewReader(z); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, err
		}
		if h.Typeflag != tar.TypeReg {
			return nil, fmt.Errorf("%s: is not a regular file", h.Name)
		}
		data, err := io.ReadAll(t)
		if err != nil {
			return nil, err
		}
		entries = append(entries, entry{h.Name, h.Mode, data})
	}
}
