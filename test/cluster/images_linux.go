package cluster

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/outrider-mesh/outrider/test/cluster/image"
	"github.com/outrider-mesh/outrider/test/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
)

// LoadProduct builds the product's two programs out of the checkout and loads
// their images, and Envoy's.
func (c *Cluster) LoadProduct(ctx context.Context) error {
	root, err := kit.Checkout()
	if err != nil {
		return fmt.Errorf("load the product: %w", err)
	}
	program, err := envoy.Binary(ctx, c.progress)
	if err != nil {
		return fmt.Errorf("load the product: %w", err)
	}
	proxy, err := image.Envoy(ctx, EnvoyRef, program)
	if err != nil {
		return fmt.Errorf("load the product: %w", err)
	}
	dir := filepath.Join(c.Dir, "product")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("load the product: %w", err)
	}
	for _, name := range []string{"outrider", "outrider-init"} {
		if err := compile(ctx, root, "-s -w", "./cmd/"+name, filepath.Join(dir, name), c.progress); err != nil {
			return fmt.Errorf("load the product: %w", err)
		}
	}
	// Users and paths are those of the Dockerfile.
	return c.load(ctx, proxy,
		image.Static(OutriderRef, filepath.Join(dir, "outrider"), "65532:65532"),
		image.Static(OutriderInitRef, filepath.Join(dir, "outrider-init"), "0:0"))
}

// LoadProgram builds a program of the checkout, by its package such as
// "./test/world/cmd/world", and loads it as the image of the reference. Nobody in
// particular runs it.
func (c *Cluster) LoadProgram(ctx context.Context, pkg, ref string) error {
	root, err := kit.Checkout()
	if err != nil {
		return fmt.Errorf("load %s: %w", pkg, err)
	}
	program := filepath.Join(c.Dir, "bin", filepath.Base(pkg))
	if err := compile(ctx, root, "-s -w", pkg, program, c.progress); err != nil {
		return fmt.Errorf("load %s: %w", pkg, err)
	}
	return c.load(ctx, image.Static(ref, program, "65532:65532"))
}

// LoadBinary loads a static program as the image of the reference, which the user, such
// as "65532:65532", runs.
func (c *Cluster) LoadBinary(ctx context.Context, program, ref, user string) error {
	return c.load(ctx, image.Static(ref, program, user))
}

// load gives containerd images as they are written.
func (c *Cluster) load(ctx context.Context, images ...image.Image) error {
	for _, im := range images {
		r, w := io.Pipe()
		go func() { _ = w.CloseWithError(im.Write(w)) }()
		err := c.LoadImage(ctx, r)
		_ = r.Close() // ends a writer whose reader gave up
		if err != nil {
			return fmt.Errorf("%s: %w", im.Refs[0], err)
		}
	}
	return nil
}
