package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Media types of the OCI image specification, v1.
const (
	ociIndex    = "application/vnd.oci.image.index.v1+json"
	ociManifest = "application/vnd.oci.image.manifest.v1+json"
	ociConfig   = "application/vnd.oci.image.config.v1+json"
	ociLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
)

// descriptor names a blob. The order of its fields is that of the specification.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Platform    *platform         `json:"platform,omitempty"`
}

type platform struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
}

// WriteOCI writes the archive of an OCI image layout: one index, of the reference
// ref, with an image for each architecture. created is the time in the images.
func WriteOCI(w io.Writer, ref string, created time.Time, byArch map[string]Image) error {
	if err := writeOCI(w, ref, created, byArch); err != nil {
		return fmt.Errorf("write image %s: %w", ref, err)
	}
	return nil
}

func writeOCI(w io.Writer, ref string, created time.Time, byArch map[string]Image) error {
	colon := strings.LastIndexByte(ref, ':')
	if colon < strings.LastIndexByte(ref, '/') || colon < 0 {
		return fmt.Errorf("the reference has no tag")
	}
	blobs := blobs{}
	var manifests []descriptor
	for _, arch := range slices.Sorted(maps.Keys(byArch)) {
		d, err := blobs.image(byArch[arch], arch, created)
		if err != nil {
			return err
		}
		manifests = append(manifests, d)
	}
	index, err := blobs.add(ociIndex, map[string]any{"schemaVersion": 2, "mediaType": ociIndex, "manifests": manifests})
	if err != nil {
		return err
	}
	// containerd names the image by the first annotation; the second is the
	// specification's, which has room for a tag alone.
	index.Annotations = map[string]string{"io.containerd.image.name": ref, "org.opencontainers.image.ref.name": ref[colon+1:]}
	top, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": ociIndex, "manifests": []descriptor{index}})
	if err != nil {
		return err
	}
	return blobs.write(w, top)
}

// blobs are the blobs of a layout by their digests, without "sha256:".
type blobs map[string][]byte

func (b blobs) image(im Image, arch string, created time.Time) (descriptor, error) {
	var layer bytes.Buffer
	hash := sha256.New()
	compressed := gzip.NewWriter(&layer)
	if err := im.layer(io.MultiWriter(hash, compressed)); err != nil {
		return descriptor{}, err
	}
	if err := compressed.Close(); err != nil {
		return descriptor{}, err
	}
	text, err := im.config(arch, created, "sha256:"+hex.EncodeToString(hash.Sum(nil)))
	if err != nil {
		return descriptor{}, err
	}
	d, err := b.add(ociManifest, map[string]any{
		"schemaVersion": 2, "mediaType": ociManifest,
		"config": b.put(ociConfig, text), "layers": []descriptor{b.put(ociLayer, layer.Bytes())},
		"annotations": im.Labels,
	})
	d.Platform = &platform{Architecture: arch, OS: "linux"}
	return d, err
}

func (b blobs) add(mediaType string, content any) (descriptor, error) {
	data, err := json.Marshal(content)
	if err != nil {
		return descriptor{}, err
	}
	return b.put(mediaType, data), nil
}

func (b blobs) put(mediaType string, data []byte) descriptor {
	sum := sha256.Sum256(data)
	name := hex.EncodeToString(sum[:])
	b[name] = data
	return descriptor{MediaType: mediaType, Digest: "sha256:" + name, Size: len(data)}
}

func (b blobs) write(w io.Writer, index []byte) error {
	t := tar.NewWriter(w)
	put := func(name string, data []byte) error {
		return add(t, tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}, bytes.NewReader(data))
	}
	if err := put("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`)); err != nil {
		return err
	}
	if err := put("index.json", index); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(b)) {
		if err := put("blobs/sha256/"+name, b[name]); err != nil {
			return err
		}
	}
	return t.Close()
}
