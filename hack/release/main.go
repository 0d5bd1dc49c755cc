// Command release builds the files of a release from a checkout, without a container
// engine, and without network once the modules are in the cache. The same commit
// and the same version of Go make the same bytes, on any machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/outrider-mesh/outrider/test/cache"
	"github.com/outrider-mesh/outrider/test/helm"
	"github.com/outrider-mesh/outrider/test/kit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:], os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "release: %v\n", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string, stderr io.Writer) error {
	flags := flag.NewFlagSet("release", flag.ContinueOnError)
	flags.SetOutput(stderr)
	version := flags.String("version", "", "version, such as v1.2.3; by default that of the commit's tag")
	out := flags.String("out", "dist", "directory for the files; must be empty or absent")
	url := flags.String("url", "", "where the files can be downloaded, for krew's manifest; by default the release page of "+homepage)
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	root, err := kit.Checkout()
	if err != nil {
		return err
	}
	r, previous, log, err := fromGit(ctx, root, *version)
	if err != nil {
		return err
	}
	if r.baseURL = *url; r.baseURL == "" {
		r.baseURL = homepage + "/releases/download/" + r.version
	}
	dir, err := emptyDir(*out)
	if err != nil {
		return err
	}
	b := builder{release: r, root: root, out: dir, platforms: allPlatforms, log: stderr, helm: helm.Program, cyclonedx: cyclonedx}
	if err := b.build(ctx, previous, log); err != nil {
		return err
	}
	fmt.Fprintf(stderr, "release: %s is in %s\n", r.version, dir)
	return nil
}

// cyclonedx returns the path of the program that writes SBOMs.
func cyclonedx(ctx context.Context, progress io.Writer) (string, error) {
	return cache.Program{
		Name: "cyclonedx-gomod", What: "the writer of SBOMs", Takes: "a minute on 2 cores",
		Module: "hack/release/tools/sbom", Package: "github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod", Flags: "-s -w",
	}.Path(ctx, progress)
}

// emptyDir makes a directory. One with files is rejected: they would get into the
// checksums.
func emptyDir(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	entries, err := os.ReadDir(dir)
	if err == nil && len(entries) > 0 {
		return "", fmt.Errorf("directory %s: is not empty; remove it, or choose another with -out", dir)
	}
	return dir, err
}

// fromGit reads what is released: the version, commit and time, and the changes
// since the previous tag, the newest first.
func fromGit(ctx context.Context, root, version string) (r release, previous string, log []change, err error) {
	git := func(args ...string) string {
		if err != nil {
			return ""
		}
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Dir = root
		out, failed := cmd.Output()
		if failed != nil {
			var exit *exec.ExitError
			if errors.As(failed, &exit) {
				failed = fmt.Errorf("%w: %s", failed, strings.TrimSpace(string(exit.Stderr)))
			}
			err = fmt.Errorf("git %s: %w", strings.Join(args, " "), failed)
		}
		return strings.TrimSpace(string(out))
	}
	const tags = "v[0-9]*"
	changed := git("status", "--porcelain")
	r.commit = git("rev-parse", "HEAD")
	seconds := git("log", "-1", "--format=%ct")
	count := git("rev-list", "--count", "HEAD")
	if err != nil {
		return r, "", nil, err
	}
	if changed != "" {
		return r, "", nil, fmt.Errorf("the tree differs from its commit; commit the changes, or remove them:\n%s", changed)
	}
	if r.time, err = releaseTime(os.Getenv("SOURCE_DATE_EPOCH"), seconds); err != nil {
		return r, "", nil, err
	}
	// Without a tag these fail, which is no error.
	description := git("describe", "--tags", "--long", "--abbrev=12", "--match", tags)
	err = nil
	previous = git("describe", "--tags", "--abbrev=0", "--match", tags, "HEAD^")
	err = nil
	if r.version = version; version == "" {
		n, _ := strconv.Atoi(count)
		if r.version, err = versionOf(description, n, r.commit); err != nil {
			return r, "", nil, err
		}
	}
	if err := checkVersion(r.version); err != nil {
		return r, "", nil, err
	}
	since := "HEAD"
	if previous != "" {
		since = previous + "..HEAD"
	}
	return r, previous, parseLog(git("log", "--no-merges", "--abbrev=12", "--format="+logFormat, since)), err
}

// logFormat separates commits by the byte 30 and their fields by 31.
const logFormat = "%h%x1f%s%x1f%b%x1e"

func parseLog(text string) (log []change) {
	for record := range strings.SplitSeq(text, "\x1e") {
		if f := strings.SplitN(strings.TrimSpace(record), "\x1f", 3); len(f) == 3 {
			log = append(log, change{f[0], f[1], strings.TrimSpace(f[2])})
		}
	}
	return log
}

// releaseTime is the time in archives and images: https://reproducible-builds.org/docs/source-date-epoch/
func releaseTime(env, commit string) (time.Time, error) {
	text, source := commit, "time of the commit"
	if env != "" {
		text, source = env, "SOURCE_DATE_EPOCH"
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	// A zip archive has no time before 1980.
	if earliest := time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC).Unix(); err != nil || seconds < earliest {
		return time.Time{}, fmt.Errorf("%s: %q: must be seconds since 1970, at least %d", source, text, earliest)
	}
	return time.Unix(seconds, 0).UTC(), nil
}
