package deploy

import (
	"fmt"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/internal/revision"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

// webhookTemplate is the template that is generated from webhook/registration.
const webhookTemplate = "chart/templates/webhook-configurations.yaml"

// The values that the template replaces. All are valid names, so that they pass
// whatever builds the objects.
const (
	anyRevision  = "any-revision"
	anyNamespace = "any-namespace"
)

// placeholders are replaced in the YAML of the objects, the longer ones first.
var placeholders = strings.NewReplacer(
	"-"+anyRevision, "{{ .Suffix }}",
	anyRevision, "{{ .Revision | toYaml }}",
	anyNamespace, "{{ .Release.Namespace | toYaml }}",
)

// registered is a webhook configuration, whose entries are a list of YAML objects.
type registered struct {
	head     string
	names    []string
	webhooks map[string]string
}

func register(t testing.TB, object any) registered {
	t.Helper()
	text, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	var parsed struct{ Webhooks []struct{ Name string } }
	if err := yaml.Unmarshal(text, &parsed); err != nil {
		t.Fatal(err)
	}
	head, list, _ := strings.Cut(string(text), "\nwebhooks:\n- ")
	out := registered{head: head + "\nwebhooks:\n", webhooks: map[string]string{}}
	for i, entry := range strings.Split(list, "\n- admissionReviewVersions:") {
		entry = "admissionReviewVersions:" + strings.TrimPrefix(strings.TrimSuffix(entry, "\n"), "admissionReviewVersions:")
		out.names = append(out.names, parsed.Webhooks[i].Name)
		out.webhooks[parsed.Webhooks[i].Name] = "- " + entry + "\n"
	}
	return out
}

// webhookConfigurations is the text of the template. An entry that only the default
// revision has, or only an installation that injects every namespace, is in a
// condition.
func webhookConfigurations(t testing.TB) string {
	t.Helper()
	objects := func(r revision.Revision, auto bool) (out []registered) {
		o := registration.Options{
			Revision: r, Namespace: anyNamespace, Auto: auto,
			Service: revision.Revision(anyRevision).Name("outrider"), XDSService: revision.Revision(anyRevision).Name("outrider-xds"),
		}
		return []registered{register(t, o.Mutating()), register(t, o.Validating())}
	}
	every, byDefault, auto := objects(anyRevision, false), objects("", false), objects("", true)
	out := "{{- /* Generated from webhook/registration by `go test ./deploy -update`; do not edit. */ -}}\n{{- include \"outrider.init\" . -}}\n"
	for i, all := range auto {
		if i > 0 {
			out += "---\n"
		}
		out += placeholders.Replace(every[i].head)
		for _, name := range all.names {
			if entry, ok := every[i].webhooks[name]; ok {
				out += placeholders.Replace(entry)
				continue
			}
			condition := "eq .Revision \"default\""
			if _, ok := byDefault[i].webhooks[name]; !ok {
				condition = fmt.Sprintf("and (%s) .EveryNamespace", condition)
			}
			out += "{{- if " + condition + " }}\n" + placeholders.Replace(all.webhooks[name]) + "{{- end }}\n"
		}
	}
	return out
}
