package envoy

import (
	"os"
	"path/filepath"
	"testing"
)

// What ConfigMap outrider-ca holds for the sidecar beside ca.pem. A file holds
// one resource: Envoy rejects a file with two.
const (
	sdsToken = `resources:
- "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
  name: xds-token
  generic_secret: {secret: {filename: ` + secrets + `/token}}
`
	sdsCA = `resources:
- "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret
  name: xds-ca
  validation_context: {trusted_ca: {filename: ` + secrets + `/ca.pem}, watched_directory: {path: ` + secrets + `}}
`
)

// fillSecrets writes a version of the projected volume into dir in the
// kubelet's way: the files in a directory of their own, ..data as a link to it,
// which is swapped in one step, and each name a link through ..data.
func fillSecrets(t testing.TB, dir, version string, files map[string]string) {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Helper()
			t.Fatal(err)
		}
	}
	must(os.Mkdir(filepath.Join(dir, version), 0o755))
	for name, content := range files {
		must(os.WriteFile(filepath.Join(dir, version, name), []byte(content), 0o644))
		if err := os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)); err != nil && !os.IsExist(err) {
			t.Fatal(err)
		}
	}
	must(os.Symlink(version, filepath.Join(dir, "..data_tmp")))
	must(os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
}
