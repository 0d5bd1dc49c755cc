package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// entries reads an archive whole.
func entries(t *testing.T, archive []byte) (order []string, content map[string][]byte, headers map[string]*tar.Header) {
	t.Helper()
	content, headers = map[string][]byte{}, map[string]*tar.Header{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return order, content, headers
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		order, content[h.Name], headers[h.Name] = append(order, h.Name), data, h
	}
}

func TestWrite(t *testing.T) {
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("text of a program"), 0o600); err != nil {
		t.Fatal(err)
	}
	im := Image{
		Refs: []string{"localhost/a:1"}, User: "7", Entrypoint: []string{"/usr/local/bin/program"},
		Files: []File{
			{Path: "/usr/local/bin/program", From: program},
			{Path: "/tmp", Dir: true, Mode: 0o1777},
			{Path: "/bin", Link: "usr/local/bin"},
			{Path: "/etc/passwd", Data: []byte("root")},
		},
	}
	var first, second bytes.Buffer
	if err := im.Write(&first); err != nil {
		t.Fatal(err)
	}
	if err := im.Write(&second); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Errorf("the same image twice: other bytes, error %v", err)
	}
	_, outer, _ := entries(t, first.Bytes())
	var manifest []struct {
		Config           string
		RepoTags, Layers []string
	}
	if err := json.Unmarshal(outer["manifest.json"], &manifest); err != nil || len(manifest) != 1 || len(manifest[0].Layers) != 1 {
		t.Fatalf("manifest %s, error %v", outer["manifest.json"], err)
	}
	layer := outer[manifest[0].Layers[0]]
	var config struct {
		Config struct {
			User       string
			Entrypoint []string
		}
		RootFS struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	if err := json.Unmarshal(outer[manifest[0].Config], &config); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(layer)
	if want := "sha256:" + hex.EncodeToString(sum[:]); len(config.RootFS.DiffIDs) != 1 || config.RootFS.DiffIDs[0] != want {
		t.Errorf("diff IDs %v, want %s, the layer's own", config.RootFS.DiffIDs, want)
	}
	if config.Config.User != "7" || manifest[0].RepoTags[0] != "localhost/a:1" {
		t.Errorf("configuration %+v, tags %v", config, manifest[0].RepoTags)
	}

	order, inner, headers := entries(t, layer)
	if got, want := strings.Join(order, " "), "bin etc/ etc/passwd tmp/ usr/ usr/local/ usr/local/bin/ usr/local/bin/program"; got != want {
		t.Errorf("layer %q, want %q", got, want)
	}
	if h := headers["usr/local/bin/program"]; h.Mode != 0o755 || string(inner[h.Name]) != "text of a program" {
		t.Errorf("program: mode %o, content %q", h.Mode, inner[h.Name])
	}
	if headers["tmp/"].Mode != 0o1777 || headers["bin"].Linkname != "usr/local/bin" {
		t.Errorf("/tmp has mode %o, /bin leads to %q", headers["tmp/"].Mode, headers["bin"].Linkname)
	}
}

func TestWrite_Rejects(t *testing.T) {
	for _, f := range []File{{Path: "relative"}, {Path: "/a/../b"}, {Path: "/a", From: "/does/not/exist"}} {
		if err := (Image{Refs: []string{"localhost/a:1"}, Files: []File{f}}).Write(io.Discard); err == nil || !strings.Contains(err.Error(), "localhost/a:1") {
			t.Errorf("file %+v: error %v, want one that names the image", f, err)
		}
	}
}

// TestWriteOCI follows the descriptors of a layout down to the files, as who
// imports it does.
func TestWriteOCI(t *testing.T) {
	created := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	byArch := map[string]Image{}
	for _, arch := range []string{"arm64", "amd64"} {
		byArch[arch] = Image{
			User: "7", Entrypoint: []string{"/p"}, Files: []File{{Path: "/p", Data: []byte(arch)}},
			Labels: map[string]string{"org.opencontainers.image.version": "v1"},
		}
	}
	var first, second bytes.Buffer
	if err := WriteOCI(&first, "localhost:5000/a:v1", created, byArch); err != nil {
		t.Fatal(err)
	}
	if err := WriteOCI(&second, "localhost:5000/a:v1", created, byArch); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Errorf("the same layout twice: other bytes, error %v", err)
	}
	_, files, _ := entries(t, first.Bytes())
	type node struct {
		Manifests, Layers []descriptor
		Config            descriptor
	}
	follow := func(d descriptor) (n node) {
		t.Helper()
		data := files["blobs/sha256/"+strings.TrimPrefix(d.Digest, "sha256:")]
		if sum := sha256.Sum256(data); "sha256:"+hex.EncodeToString(sum[:]) != d.Digest || len(data) != d.Size {
			t.Fatalf("blob %+v is not there", d)
		}
		if d.MediaType != ociLayer {
			if err := json.Unmarshal(data, &n); err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
	var top node
	if err := json.Unmarshal(files["index.json"], &top); err != nil || len(top.Manifests) != 1 {
		t.Fatalf("index %s, error %v", files["index.json"], err)
	}
	if a := top.Manifests[0].Annotations; a["io.containerd.image.name"] != "localhost:5000/a:v1" || a["org.opencontainers.image.ref.name"] != "v1" {
		t.Errorf("annotations %v", a)
	}
	images := follow(top.Manifests[0]).Manifests
	if len(images) != 2 || *images[0].Platform != (platform{"amd64", "linux"}) || *images[1].Platform != (platform{"arm64", "linux"}) {
		t.Fatalf("images %+v", images)
	}
	for _, d := range images {
		image := follow(d)
		follow(image.Config)
		follow(image.Layers[0])
		config := string(files["blobs/sha256/"+strings.TrimPrefix(image.Config.Digest, "sha256:")])
		for _, want := range []string{d.Platform.Architecture, `"created":"2026-01-02T03:04:05Z"`, `"org.opencontainers.image.version":"v1"`, `"User":"7"`} {
			if !strings.Contains(config, want) {
				t.Errorf("configuration of %s lacks %s: %s", d.Platform.Architecture, want, config)
			}
		}
		layer, err := gzip.NewReader(bytes.NewReader(files["blobs/sha256/"+strings.TrimPrefix(image.Layers[0].Digest, "sha256:")]))
		if err != nil {
			t.Fatal(err)
		}
		plain, err := io.ReadAll(layer)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(plain)
		if !strings.Contains(config, hex.EncodeToString(sum[:])) {
			t.Errorf("configuration of %s does not have the layer's digest", d.Platform.Architecture)
		}
		if _, inner, _ := entries(t, plain); string(inner["p"]) != d.Platform.Architecture {
			t.Errorf("program of %s: %q", d.Platform.Architecture, inner["p"])
		}
	}
}

func TestWriteOCI_Rejects(t *testing.T) {
	for ref, want := range map[string]string{"localhost:5000/a": "the reference has no tag", "a:1": "relative"} {
		err := WriteOCI(io.Discard, ref, time.Time{}, map[string]Image{"amd64": {Files: []File{{Path: "relative"}}}})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), ref) {
			t.Errorf("%s: error %v, want %q", ref, err, want)
		}
	}
}
