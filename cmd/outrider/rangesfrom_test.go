package main

import (
	"strings"
	"testing"
)

func TestRangesFrom(t *testing.T) {
	pod := write(t, "pod.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: app, image: i}]}\n")
	values := write(t, "values.yaml", "global: {proxy: {includeIPRanges: cluster}}\n")
	document := write(t, "aks.json", `{"networkProfile": {"networkPlugin": "kubenet", "podCidr": "10.244.0.0/16", "serviceCidr": "10.0.0.0/16"}}`)
	broken := write(t, "broken.json", `{"networkProfile": {"networkPlugin": "kubenet", "podCidr": "10.244.0.0/33"}}`)
	for _, c := range []struct {
		name     string
		args     []string
		in       string
		code     int
		out, err string
	}{
		{"a document", []string{"--ranges-from", document}, "", 0, "10.0.0.0/16,10.244.0.0/16", ""},
		{"standard input", []string{"--ranges-from", "-"}, `{"servicesIpv4Cidr": "10.1.0.0/20", "clusterIpv4Cidr": "10.4.0.0/14"}`, 0, "10.1.0.0/20,10.4.0.0/14", ""},
		{"nothing", nil, "", 1, "", `"cluster": cannot be resolved: no cluster is read when injecting files; pass --ranges-from FILE`},
		{"a range that is none", []string{"--ranges-from", broken}, "", 1, "", "--ranges-from: invalid documents:\n" + broken + ":1: networkProfile.podCidr"},
		{"no such file", []string{"--ranges-from", "/does/not/exist"}, "", 1, "", "--ranges-from /does/not/exist: no such file"},
		{"a cluster that cannot be read", []string{"--ranges-from", document, "--kubeconfig", "/does/not/exist"}, "", 1, "", "no such file"},
		{"standard input twice", []string{"-f", "-", "--ranges-from", "-"}, "", 2, "", "\"-\" (stdin) may be used only once"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := runWith(t, c.in, append([]string{"kube-inject", "-f", pod, "--valuesFile", values}, c.args...)...)
			if got.code != c.code || !strings.Contains(got.out, c.out) || c.code != 0 && got.out != "" || !strings.Contains(got.err, c.err) {
				t.Errorf("code %d\n%s\n%s\nwant %d, %q, %q", got.code, got.out, got.err, c.code, c.out, c.err)
			}
		})
	}
}
