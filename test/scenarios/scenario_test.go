package scenarios

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/problem"
	"github.com/outrider-mesh/outrider/ranges"
)

// options are the conditions of a scenario.
type options struct {
	// KubernetesVersion is the server's; empty means unknown.
	KubernetesVersion string `json:"kubernetesVersion"`
	// Namespace is kube-inject's --namespace, and that of the admission.
	Namespace string `json:"namespace"`
	// NamespaceAnnotations are the namespace's annotations that the webhook reads.
	NamespaceAnnotations map[string]string `json:"namespaceAnnotations"`
	// WebhookOnly returns why kube-inject cannot have the same result.
	WebhookOnly string `json:"webhookOnly"`
	// FullBootstrap keeps the proxy's bootstrap in want.yaml.
	FullBootstrap bool `json:"fullBootstrap"`
	// Served makes the pods of the input, after the earlier injection, what the
	// API server makes of them: with defaults, a status and a token's volume.
	Served bool `json:"served"`
}

// scenario is one file of testdata.
type scenario struct {
	name    string
	comment string
	files   []file
	options options
}

type file struct{ name, text string }

// sections are the names a scenario may have, in the order in which people
// want to read them.
var sections = []string{
	"input.yaml", "input.json", "ranges.yaml", "config.yaml", "values.yaml", "mesh.yaml",
	"earlier-config.yaml", "earlier-values.yaml", "earlier-mesh.yaml",
	"options.yaml", "want.yaml", "want.txt",
}

func (s *scenario) path() string { return filepath.Join("testdata", s.name+".txtar") }

func (s *scenario) get(name string) (string, bool) {
	for _, f := range s.files {
		if f.name == name {
			return f.text, true
		}
	}
	return "", false
}

// set replaces a section; the empty text removes it.
func (s *scenario) set(name, text string) {
	at := slices.IndexFunc(s.files, func(f file) bool { return f.name == name })
	switch {
	case at >= 0 && text == "":
		s.files = slices.Delete(s.files, at, at+1)
	case at >= 0:
		s.files[at].text = text
	case text != "":
		s.files = append(s.files, file{name, text})
	}
}

// input is the file given to kube-inject: its name and text.
func (s *scenario) input() (name, text string) {
	for _, name := range []string{"input.yaml", "input.json"} {
		if text, ok := s.get(name); ok {
			return name, text
		}
	}
	return "", ""
}

// texts are the configuration; prefix is "" or "earlier-".
func (s *scenario) texts(prefix string) (t config.Texts, l config.Labels) {
	for _, f := range []struct {
		name        string
		text, label *string
	}{
		{"config.yaml", &t.Config, &l.Config}, {"values.yaml", &t.Values, &l.Values}, {"mesh.yaml", &t.Mesh, &l.Mesh},
	} {
		if text, ok := s.get(prefix + f.name); ok {
			*f.text, *f.label = text, prefix+f.name
		}
	}
	return t, l
}

func (s *scenario) hasEarlier() bool {
	return slices.ContainsFunc(s.files, func(f file) bool { return strings.HasPrefix(f.name, "earlier-") })
}

// compiled is the configuration as the webhook uses it. The injector is nil
// where it is rejected.
func (s *scenario) compiled(t *testing.T, prefix string) (*inject.Injector, problem.List) {
	t.Helper()
	cfg, problems := config.Parse(s.texts(prefix))
	if cfg == nil {
		return nil, problems
	}
	env := s.environment(t)
	env.Ranges = s.rangeNames(t, cfg)
	injector, more := inject.Compile(cfg, env)
	return injector, append(problems, more...)
}

// rangeNames are those that the section ranges.yaml gives evidence for.
func (s *scenario) rangeNames(t *testing.T, cfg *config.Config) *ranges.NamedRanges {
	t.Helper()
	text, ok := s.get("ranges.yaml")
	if !ok {
		return ranges.NoCluster("no cluster is read when injecting files; pass --ranges-from FILE")
	}
	data, err := ranges.Read([]ranges.Document{{Name: "ranges.yaml", Text: text}})
	if err != nil {
		t.Fatal(err)
	}
	return inject.RangeNames(cfg, data, false)
}

func (s *scenario) environment(t *testing.T) (env inject.Environment) {
	t.Helper()
	if v := s.options.KubernetesVersion; v != "" {
		var err error
		if env.Kubernetes, err = inject.ParseVersion(v); err != nil {
			t.Fatal(err)
		}
	}
	return env
}

// load reads a file of testdata.
func load(path string) (*scenario, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	archive := txtar.Parse(text)
	s := &scenario{name: strings.TrimSuffix(filepath.Base(path), ".txtar"), comment: string(archive.Comment)}
	for _, f := range archive.Files {
		s.files = append(s.files, file{f.Name, string(f.Data)})
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

func (s *scenario) check() error {
	if strings.TrimSpace(s.comment) == "" {
		return fmt.Errorf("has no comment at its beginning that describes it")
	}
	var seen []string
	for _, f := range s.files {
		if !slices.Contains(sections, f.name) {
			return fmt.Errorf("unknown section %q; there are: %s", f.name, strings.Join(sections, ", "))
		}
		if slices.Contains(seen, f.name) {
			return fmt.Errorf("section %q is there twice", f.name)
		}
		seen = append(seen, f.name)
	}
	if name, _ := s.input(); name == "" {
		return fmt.Errorf("has no section input.yaml or input.json")
	}
	text, _ := s.get("options.yaml")
	if err := yaml.UnmarshalStrict([]byte(text), &s.options); err != nil {
		return fmt.Errorf("options.yaml: %w", err)
	}
	return nil
}

// save rewrites the file, sections in their order.
func (s *scenario) save() error {
	archive := &txtar.Archive{Comment: []byte(s.comment)}
	for _, name := range sections {
		if text, ok := s.get(name); ok {
			archive.Files = append(archive.Files, txtar.File{Name: name, Data: []byte(text)})
		}
	}
	text := txtar.Format(archive)
	if old, err := os.ReadFile(s.path()); err == nil && bytes.Equal(old, text) {
		return nil
	}
	return os.WriteFile(s.path(), text, 0o644)
}

// loadAll reads testdata; everything in it must be a scenario.
func loadAll(t *testing.T) []*scenario {
	t.Helper()
	entries, err := os.ReadDir("testdata")
	if err != nil {
		t.Fatal(err)
	}
	var all []*scenario
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), ".txtar") {
			t.Errorf("testdata/%s is no scenario: only files NAME.txtar belong there", e.Name())
			continue
		}
		s, err := load(filepath.Join("testdata", e.Name()))
		if err != nil {
			t.Error(err)
			continue
		}
		all = append(all, s)
	}
	return all
}
