package kube

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/outrider-mesh/outrider/test/kube/programs"
)

// assetsEnv is envtest's variable: a directory that holds the three programs.
const assetsEnv = "KUBEBUILDER_ASSETS"

// Assets returns a directory with kube-apiserver, etcd and kubectl. It is the
// value of KUBEBUILDER_ASSETS where that is set. Otherwise it is that of package
// programs, and what is not yet there is built, which takes some minutes the first
// time. Progress is written a line at a time to progress; nil discards it.
func Assets(ctx context.Context, progress io.Writer) (string, error) {
	if progress == nil {
		progress = io.Discard
	}
	if dir := os.Getenv(assetsEnv); dir != "" {
		if missing := missingIn(dir); len(missing) > 0 {
			return "", fmt.Errorf("use %s=%s: it has no %s; name a directory with kube-apiserver, etcd and kubectl, or unset the variable to have them built",
				assetsEnv, dir, strings.Join(missing, ", "))
		}
		return dir, nil
	}
	set, err := programs.Find()
	if err == nil {
		err = set.Build(ctx, progress, programs.Server)
	}
	if err != nil {
		return "", fmt.Errorf("%w; or set %s to a directory with kube-apiserver, etcd and kubectl", err, assetsEnv)
	}
	return set.Dir(programs.Server), nil
}

// missingIn lists the programs that dir does not hold as executable files.
func missingIn(dir string) []string {
	var missing []string
	for _, name := range programs.Server.Programs {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.IsDir() || info.Mode()&0o111 == 0 {
			missing = append(missing, name)
		}
	}
	return missing
}
