package page

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const root = "../.."

var (
	code    = regexp.MustCompile("`([A-Za-z0-9_./-]+)`")
	link    = regexp.MustCompile(`\]\(([^)#:\s]*)(#[^)\s]*)?\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

// TestContributingPaths checks the table "Where to change what": every path in
// it exists.
func TestContributingPaths(t *testing.T) {
	_, section, _ := strings.Cut(read(t, "CONTRIBUTING.md"), "\n## Where to change what\n")
	section, _, _ = strings.Cut(section, "\n## ")
	paths := 0
	for _, m := range code.FindAllStringSubmatch(section, -1) {
		if !strings.ContainsAny(m[1], "/.") || strings.HasPrefix(m[1], "-") || strings.HasPrefix(m[1], "istio.io") {
			continue
		}
		if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
			t.Errorf("CONTRIBUTING.md names %s: %v", m[1], err)
		}
		paths++
	}
	if paths < 40 {
		t.Errorf("%d paths found, want at least 40", paths)
	}
}

// TestLinks checks the links between the pages: files and headings exist.
func TestLinks(t *testing.T) {
	links := 0
	for _, file := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(read(t, file), -1) {
			target := file
			if m[1] != "" {
				target = filepath.Join(filepath.Dir(file), m[1])
			}
			links++
			if _, err := os.Stat(filepath.Join(root, target)); err != nil {
				t.Errorf("%s links to %s: %v", file, m[1], err)
			} else if m[2] != "" && !anchors(read(t, target))[m[2]] {
				t.Errorf("%s links to %s%s, but there is no such heading", file, m[1], m[2])
			}
		}
	}
	if links < 20 {
		t.Errorf("%d links found, want at least 20", links)
	}
}

func pages(t *testing.T) (files []string) {
	t.Helper()
	files = []string{"README.md", "CONTRIBUTING.md"}
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, _ fs.DirEntry, err error) error {
		if err == nil && filepath.Ext(path) == ".md" {
			path, err = filepath.Rel(root, path)
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// anchors are the anchors of the headings, as GitHub makes them.
func anchors(text string) map[string]bool {
	out := map[string]bool{}
	for _, h := range heading.FindAllStringSubmatch(text, -1) {
		name := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(h[1]), "")
		out["#"+strings.ReplaceAll(name, " ", "-")] = true
	}
	return out
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
