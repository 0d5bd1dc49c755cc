package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/outrider-mesh/outrider/test/kube"
)

// pods in a stream, and text that is none.
const (
	jsonPod = `{"apiVersion":"v1","kind":"Pod","metadata":{"name":"NAME"},"spec":{"containers":[{"name":"app","image":"example.com/app:1"}]}}`
	flowPod = `{apiVersion: v1, kind: Pod, metadata: {name: NAME}, spec: {containers: [{name: app, image: "example.com/app:1"}]}}`
	yamlPod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: NAME\nspec:\n  containers:\n  - name: app\n    image: example.com/app:1\n"
)

// pretty is a JSON pod over several lines, without a line break at the end.
var pretty = strings.NewReplacer("{", "{\n ", "}", "\n}", ",", ",\n ").Replace(jsonPod)

// streams are texts about whose documents two readers may differ. J, P, F and B are
// pods as JSON, JSON over several lines, a flow mapping and block YAML.
var streams = []string{
	// JSON objects one after the other.
	"JJ", "J J", "J\nJ", "J\n\n\tJ\n", "PP", "P\nP", "PPP\n", "JP\nJ", "P J\nPJ", "J\r\nJ\r\n", "\n\n JJ", "\ufeffJJ", "\ufeff J\nJ",
	"J,J", "J;J", "J}J", "J]", "J\x00J", "J\u00a0J", "J\u2028J", "J\ufeffJ", "JnullJ", "J null J", "J[]J", "J \"text\" J", "J1J", "JtrueJ", "[]J", "nullJ", "null\nJ", "[J,J]", "[J]\n[J]",
	"J{}", "{}J", "{}{}J", "J{}J",
	// JSON beside comments, separators and BAML.
	"# c\nJJ", "# c\nJ\nJ", "# c\nPP", "J# c\nJ", "J # c\nJ", "J\n# c\nJ", "J\n# c\nJJ", "JJ # c", "J # c\n", "JJ\n# c\n",
	"J\n---\nJ", "J---\nJ", "J ---\nJ", "J\n---\nJJ", "J\n---\nJ\nJ", "JJ\n---\nJ", "J\nJ\n---\nB", "J\nB", "J\n\nB", "JB", "B\nJ", "BJ", "J\n---\nB", "J\n---\nB---\nJ", "B---\nJJ", "B---\nJ\nJ", "B---\nPP", "---\nJJ", "---\nJ", "---\nJ\nJ",
	"J\n...\nJ", "J\n...\nB", "J\n---\n# c\nJ", "J\n--- # c\nJ", "J\n---#c\nJ",
	// Flow mappings.
	"F", "FF", "F\nF", "F F", "F\n---\nF", "FJ", "JF", "J\nF", "F\nJ", "F,\n", "F\n# c\nF", "F\nB", "B---\nFF", "B---\nF\nF",
	// Separators.
	"B---\nB", "B---#c\nB", "B--- #c\nB", "B---\t# c\nB", "B---  \nB", "B---\r\nB", "B---\u00a0\nB", "B---\x0c\nB", "B---##\nB", "---#c\nB", "---#c\n---#d\nB", "---#c", "B---#c", "B---#", "B---\n---\n---\nB", "B --- \nB", "B ---\nB", "\n---\n\n---\nB",
	"---B", "B---B", "B---J", "B--- J", "--- J", "--- F", "B--- F\n---\nB", "B--- B", "--- text\n---\nB", "B--- |\n  text\n---\nB", "B--- !!map\n---\nB", "B--- &a\nB", "B----\nB", "B-----x-----\n", "B---\ufeff\nB", "B\ufeff---\nB", "B---\n\ufeffB", "\ufeffB---\nB", "\ufeff---\nB", "\ufeff---#c\nB", "B---,\nB", "B---\"a\"\nB",
	"x: |\n  ---\n  a\n---\nB", "x: |\n ---#c\n---\nB", "x: \"a\n---\nb\"\n", "x: 'a\n---#c\nb'\n", "# ---\nB", "B# ---\n# ---\n", "B#---\n---\nB",
	// The end of a document.
	"B...\n", "B...\nB", "B...\n# c\nB", "B...\n---\nB", "B...\n# c\n---\nB", "B... # c\n---\nB", "B...#c\n---\nB", "B... B", "B...\n...\n---\nB", "B...\n...\nB", "...\nB", "# c\n...\nB", "---\n...\nB", "---\n...\n---\nB", "B.... \nB", "B...\nJ", "B...\r\nB", "x: |\n  a\n...\nB",
	// Directives.
	"%YAML 1.1\n---\nB", "# c\n%YAML 1.1\n---\nB", "%YAML 1.1\nB", "B...\n%YAML 1.1\n---\nB", "B---\n%YAML 1.1\n---\nB", "%TAG ! x:\n---\nB", "B%YAML 1.1\n---\nB",
	// Line breaks.
	"B---\rB", "\rB", "B\r---\nB", "B\u0085---\nB", "B\u2028---\nB",
	// kubectl's own document has no line yet.
	"B---\n---#c\nB", "B---\n---\n---#c\nB", "J---#c\nJ", "J\n\n---#c\nJ", "# c\n---#c\nB", "J\n---\n---#c\nJ", "\n---#c\nB", "B---\n---\u00a0\nB", "B---\n# c\n\ufeff---\nB", "B---\n\ufeff---\nB", "J\n\ufeffJ", "J\nJ\n\ufeffJ",
	"J\n\"apiVersion\": v1\nkind: Pod\n", "J\nnullJ", "J\ntrue\n---\nB", "JJ\n\n\n", "J\n\n\n---\n\n\nJ\n\n",
	"", "\n", "# c\n", "---\n", "---", "\ufeff", "\ufeff\n", "null\n", "~", "a: b\n---\nB",
}

func expand(stream string) string {
	var b strings.Builder
	n := 0
	for _, r := range stream {
		text := map[rune]string{'J': jsonPod, 'P': pretty, 'F': flowPod, 'B': yamlPod}[r]
		if text == "" {
			b.WriteRune(r)
			continue
		}
		b.WriteString(strings.ReplaceAll(text, "NAME", "pod-"+string(rune('a'+n))))
		n++
	}
	return b.String()
}

// kubectlPods are the pods that kubectl reads from a file, by name, and whether each
// has a sidecar.
func kubectlPods(t *testing.T, server *kube.Server, text string) (names []string, sidecars []bool, err error) {
	t.Helper()
	file := write(t, "in.yaml", text)
	cmd := server.Kubectl(t.Context(), "create", "--dry-run=client", "-o", "json", "-f", file)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && !strings.Contains(errs.String(), "no objects passed to create") {
		return nil, nil, errors.New(strings.TrimSpace(errs.String()))
	}
	for d := json.NewDecoder(&out); ; {
		var pod struct {
			Metadata struct{ Name string }
			Spec     struct {
				InitContainers []struct{ Name string }
			}
		}
		if err := d.Decode(&pod); errors.Is(err, io.EOF) {
			return names, sidecars, nil
		} else if err != nil {
			t.Fatal(err)
		}
		sidecar := slices.ContainsFunc(pod.Spec.InitContainers, func(c struct{ Name string }) bool { return c.Name == "istio-proxy" })
		names, sidecars = append(names, pod.Metadata.Name), append(sidecars, sidecar)
	}
}

// TestStreamsAreReadAsByKubectl: kube-inject injects exactly the objects that kubectl
// reads, or fails.
func TestStreamsAreReadAsByKubectl(t *testing.T) {
	server := kube.Require(t)
	for _, stream := range streams {
		text := expand(stream)
		want, _, kubectlErr := kubectlPods(t, server, text)
		file := filepath.Join(t.TempDir(), "in.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got := runWith(t, "", "kube-inject", "-f", file)
		t.Logf("%q: kubectl %v %v; kube-inject %d %s", stream, want, kubectlErr, got.code, strings.ReplaceAll(got.err, file, "f"))
		if got.code != 0 {
			continue
		}
		names, sidecars, err := kubectlPods(t, server, got.out)
		switch {
		case kubectlErr != nil && strings.Contains(kubectlErr.Error(), "error validating"):
			// Something is no object; that is not for kube-inject to report.
		case kubectlErr != nil:
			t.Errorf("%q: kubectl reports %v; kube-inject reports nothing", stream, kubectlErr)
		case err != nil:
			t.Errorf("%q: kubectl does not read the result: %v\n%s", stream, err, got.out)
		case !slices.Equal(names, want) || slices.Contains(sidecars, false):
			t.Errorf("%q: kubectl reads %v, and after kube-inject %v with sidecars %v\n%s", stream, want, names, sidecars, got.out)
		}
	}
}

// TestJoinedStreamsAreReadByKubectl: kubectl reads the result of several files as it
// reads the files one by one.
func TestJoinedStreamsAreReadByKubectl(t *testing.T) {
	server := kube.Require(t)
	for _, files := range [][]string{
		{"J", "J"}, {"JJ", "B"}, {"B", "JJ"}, {"B", "J\nJ\n"}, {"J\nJ", "J\n"}, {"PP", "P\nPP"}, {"\ufeffB", "\ufeffJJ"}, {"\ufeff---\nB", "\ufeff---\nB"},
		{"B---#c\nB", "---\nB"}, {"B...\n", "B"}, {"J\nB", "J\nB"}, {"# c\n", "J J J", "# c\n---#c\nB"}, {"J\n\n", "\n\nJ\n\n\nJ"}, {"F", "J\nF"},
	} {
		args := []string{"kube-inject"}
		n, want := 0, []string(nil)
		for _, stream := range files {
			text := expand(stream)
			for i := strings.Count(text, "pod-") - 1; i >= 0; i-- {
				text = strings.Replace(text, "pod-"+string(rune('a'+i)), "pod-"+string(rune('a'+n+i)), 1)
			}
			n += strings.Count(text, "pod-")
			names, _, err := kubectlPods(t, server, text)
			if err != nil {
				t.Fatalf("%q: %v", stream, err)
			}
			want = append(want, names...)
			args = append(args, "-f", write(t, "in.yaml", text))
		}
		got := runWith(t, "", args...)
		names, sidecars, err := kubectlPods(t, server, got.out)
		if got.code != 0 || err != nil || !slices.Equal(names, want) || slices.Contains(sidecars, false) {
			t.Errorf("%q: %d %s: kubectl reads %v, and after kube-inject %v %v, %v\n%s", files, got.code, got.err, want, names, sidecars, err, got.out)
		}
	}
}

// TestListsAreReadAsByKubectl: the items of a list have its kind where they have none,
// as in the answers of the API server.
func TestListsAreReadAsByKubectl(t *testing.T) {
	server := kube.Require(t)
	const item = "{metadata: {name: a}, spec: {containers: [{name: app, image: i}]}}"
	whole := strings.Replace(item, "{", "{apiVersion: v1, kind: Pod, ", 1)
	for _, text := range []string{
		"apiVersion: v1\nkind: PodList\nitems: [" + item + "]\n",
		"apiVersion: v1\nkind: PodList\nitems:\n- " + item + "\n- " + strings.Replace(whole, "name: a", "name: b", 1) + "\n",
		`{"apiVersion":"v1","kind":"PodList","items":[{"metadata":{"name":"a"},"spec":{"containers":[{"name":"app","image":"i"}]}}]}`,
	} {
		want, _, err := kubectlPods(t, server, text)
		if err != nil || len(want) == 0 {
			t.Fatalf("%s: %v %v", text, want, err)
		}
		got := runWith(t, text, "kube-inject", "-f", "-")
		names, sidecars, err := kubectlPods(t, server, got.out)
		if got.code != 0 || got.err != "" || err != nil || !slices.Equal(names, want) || slices.Contains(sidecars, false) {
			t.Errorf("%s: %d %s: kubectl reads %v, and after kube-inject %v %v, %v", text, got.code, got.err, want, names, sidecars, err)
		}
	}
}
