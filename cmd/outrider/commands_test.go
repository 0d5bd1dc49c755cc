package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/outrider-mesh/outrider/internal/kubeconfig"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube"
)

// commandTable is what each command has of the flags that are the same everywhere.
var commandTable = map[string]struct {
	cluster bool // it reads one, selected by kubectl's flags
	flags   string
	schema  string // of -o json
}{
	"check":          {true, "n o", "check"},
	"config history": {true, "o", "history"},
	"config restore": {true, "", ""},
	"egress allow":   {true, "n", ""},
	"egress hosts":   {true, "A n l o", "egress-hosts"},
	"egress propose": {true, "n", ""},
	"egress verify":  {true, "n", ""},
	"explain":        {true, "f n o", "explain"},
	"kube-inject":    {true, "f R n o", ""}, // -o is a file, as it is for istioctl
	"options":        {false, "", ""},
	"preview":        {true, "A f n l o", "preview"},
	"ranges":         {true, "f o", "ranges"},
	"serve":          {false, "", ""}, // a server
	"status":         {true, "A n l o w", "status"},
	"uninject":       {false, "f R n o", ""},
	"uninstall":      {true, "", ""},
	"validate":       {false, "f R n o", "validate"},
	"verify-install": {true, "n", ""},
	"version":        {false, "o", "version"},
}

// longNames are the names of kubectl's short flags.
var longNames = map[string]string{"A": "all-namespaces", "f": "filename", "n": "namespace", "l": "selector", "o": "output", "R": "recursive", "w": "watch"}

// eachCommand calls test for the commands that do something.
func eachCommand(t *testing.T, test func(t *testing.T, name string, cmd *cobra.Command)) {
	t.Helper()
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		if cmd.Hidden {
			return // it is for pods of the program's own
		}
		for _, child := range cmd.Commands() {
			walk(child)
		}
		_, name, _ := strings.Cut(cmd.CommandPath(), " ")
		if !cmd.HasSubCommands() && !strings.HasPrefix(name, "completion") && name != "help" {
			t.Run(name, func(t *testing.T) { test(t, name, cmd) })
		}
	}
	walk(rootCommand("outrider", stdio{}))
}

// TestCommands: each command has kubectl's flags by kubectl's names, examples that it accepts,
// one error for an unknown output format, and a schema of its JSON.
func TestCommands(t *testing.T) {
	seen := 0
	eachCommand(t, func(t *testing.T, name string, cmd *cobra.Command) {
		want, ok := commandTable[name]
		if !ok {
			t.Fatal("the command is not in the table")
		}
		seen++
		for _, short := range strings.Fields(want.flags) {
			if flag := cmd.Flags().Lookup(longNames[short]); flag == nil || flag.Shorthand != short {
				t.Errorf("no flag -%s, --%s", short, longNames[short])
			}
		}
		cmd.Flags().VisitAll(func(flag *pflag.Flag) {
			if long := longNames[flag.Shorthand]; long != "" && (long != flag.Name || !slices.Contains(strings.Fields(want.flags), flag.Shorthand)) {
				t.Errorf("-%s, --%s is not in the table", flag.Shorthand, flag.Name)
			}
			if flag.Usage == "" || strings.HasSuffix(flag.Usage, ".") && !rare(flag) {
				t.Errorf("--%s: %q", flag.Name, flag.Usage)
			}
		})
		var a kubeconfig.Access
		var all pflag.FlagSet
		addAccess(&all, &a)
		all.VisitAll(func(of *pflag.Flag) {
			if flag := cmd.Flags().Lookup(of.Name); name != "serve" && want.cluster != (flag != nil) || flag != nil && flag.Shorthand != of.Shorthand {
				t.Errorf("--%s: %v", of.Name, flag)
			}
		})
		for long, short := range map[string]string{"revision": "r", "istioNamespace": "i"} {
			if flag := cmd.Flags().Lookup(long); name != "serve" && flag != nil && flag.Shorthand != short {
				t.Errorf("--%s has -%s in other commands", long, short)
			}
		}
		checkFormats(t, name, cmd, want.schema)
	})
	if seen != len(commandTable) {
		t.Errorf("%d commands of %d in the table", seen, len(commandTable))
	}
}

// checkFormats: a command with JSON has a schema, with a version, and YAML as well.
func checkFormats(t *testing.T, name string, cmd *cobra.Command, schema string) {
	t.Helper()
	flag := cmd.Flags().Lookup("output")
	if flag == nil || flag.Annotations[valuesKey] == nil {
		if schema != "" {
			t.Error("no -o with formats")
		}
		return
	}
	values := flag.Annotations[valuesKey]
	if slices.Contains(values, asJSON) != (schema != "") || slices.Contains(values, asYAML) != (schema != "") || flag.DefValue != values[0] {
		t.Errorf("-o has %v, by default %s", values, flag.DefValue)
	}
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", schema+".schema.json"))
	kit.Must(t, err)
	var read struct {
		Properties struct {
			APIVersion struct{ Enum []string }
		}
	}
	kit.Must(t, json.Unmarshal(text, &read))
	if !slices.Equal(read.Properties.APIVersion.Enum, []string{outputVersion}) {
		t.Errorf("docs/%s.schema.json has apiVersion %v", schema, read.Properties.APIVersion)
	}
	got := runWith(t, "", append(append(strings.Fields(name), flagsFor[name]...), "-o", "nothing")...)
	if want := `error: -o: "nothing": unknown output format; use ` + values[0]; got.code != exitUsage || !strings.HasPrefix(got.err, want) {
		t.Errorf("%+v, want %s", got, want)
	}
}

// flagsFor are arguments that a command requires.
var flagsFor = map[string][]string{"explain": {"a"}, "validate": {"-f", "a"}, "preview": {"--set", "a=b"}}

// TestExamples: the help of each command has examples, and the command has their flags.
func TestExamples(t *testing.T) {
	eachCommand(t, func(t *testing.T, name string, _ *cobra.Command) {
		help := runWith(t, "", append(strings.Fields(name), "--help")...)
		_, examples, _ := strings.Cut(help.out, "\nExamples:\n")
		examples, _, _ = strings.Cut(examples, "\n\nFlags:")
		count := 0
		for line := range strings.Lines(examples) {
			_, line, found := strings.Cut(strings.TrimSpace(line), "outrider ")
			if !found {
				continue
			}
			line, _, _ = strings.Cut(line, " | ")
			line, _, _ = strings.Cut(line, " > ")
			root := rootCommand("outrider", stdio{})
			cmd, rest, err := root.Find(strings.Fields(line))
			if err == nil {
				err = cmd.ParseFlags(rest)
			}
			if err == nil && cmd.Args != nil {
				err = cmd.Args(cmd, cmd.Flags().Args())
			}
			if err != nil {
				t.Errorf("%s: %v", line, err)
			}
			if _, path, _ := strings.Cut(cmd.CommandPath(), " "); path == name {
				count++
			}
		}
		if count == 0 {
			t.Errorf("no example:\n%s", help.out)
		}
	})
}

// kubectlOnly are flags of kubectl that are about kubectl itself, or that no API server
// accepts any more.
var kubectlOnly = []string{"cache-dir", "kuberc", "log-flush-frequency", "match-server-version", "password", "profile", "profile-output", "username", "v", "version", "vmodule", "warnings-as-errors"}

// TestKubectlFlags compares the flags with those that a real kubectl has.
func TestKubectlFlags(t *testing.T) {
	server := kube.Require(t)
	text, err := server.Kubectl(t.Context(), "options").CombinedOutput()
	kit.Must(t, err)
	all := commandFlags(t, "status")
	count := 0
	for _, m := range regexp.MustCompile(`(?m)^ +(?:-(\w), )?--([\w-]+)=`).FindAllStringSubmatch(string(text), -1) {
		if slices.Contains(kubectlOnly, m[2]) {
			continue
		}
		count++
		if flag := all.Lookup(m[2]); flag == nil || flag.Shorthand != m[1] {
			t.Errorf("kubectl has -%s, --%s", m[1], m[2])
		}
	}
	if count < 19 {
		t.Errorf("%d flags in %s", count, text)
	}
}

// commandFlags are those of a command.
func commandFlags(t *testing.T, name string) *pflag.FlagSet {
	t.Helper()
	cmd, _, err := rootCommand("outrider", stdio{}).Find(strings.Fields(name))
	kit.Must(t, err)
	return cmd.Flags()
}
