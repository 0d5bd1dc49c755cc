package deploy

import (
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/outrider-mesh/outrider/internal/revision"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

// The templates that are generated from webhook/registration.
const (
	webhookTemplate = "chart/templates/webhook-configurations.yaml"
	tagTemplate     = "chart/templates/revision-tags-mwc.yaml" // Istio's name
)

// The values that the templates replace. All are valid names, so that they pass
// whatever builds the objects.
const (
	anyRevision  = "any-revision"
	anyNamespace = "any-namespace"
	anyTag       = "any-tag"
)

// placeholders are replaced in the YAML of the objects, the longer ones first.
var placeholders = strings.NewReplacer(
	"-"+anyRevision, "{{ $.Suffix }}",
	anyRevision, "{{ $.Revision | toYaml }}",
	anyNamespace, "{{ $.Release.Namespace | toYaml }}",
	"-"+anyTag, "-{{ $tag }}",
	anyTag+".", "{{ $tag }}.",
	anyTag, "{{ $tag | toYaml }}",
	"reinvocationPolicy: IfNeeded", "reinvocationPolicy: {{ $.V.sidecarInjectorWebhook.reinvocationPolicy }}",
	"metadata:\n", "metadata:\n  {{- with $.WebhookAnnotations }}\n"+annotations+"    {{- include \"outrider.strings\" . | nindent 4 }}\n  {{- end }}\n",
)

const annotations = "  annotations:\n"

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
	if len(parsed.Webhooks) == 0 {
		return out
	}
	for i, entry := range strings.Split(list, "\n- admissionReviewVersions:") {
		entry = "admissionReviewVersions:" + strings.TrimPrefix(strings.TrimSuffix(entry, "\n"), "admissionReviewVersions:")
		out.names = append(out.names, parsed.Webhooks[i].Name)
		out.webhooks[parsed.Webhooks[i].Name] = "- " + entry + "\n"
	}
	return out
}

// register lists the objects of an installation, with the names of any revision.
func registerAll(t testing.TB, o registration.Options) (mutating, validating registered, tags []registered) {
	t.Helper()
	o.Namespace = anyNamespace
	o.Service, o.XDSService = revision.Revision(anyRevision).Name("outrider"), revision.Revision(anyRevision).Name("outrider-xds")
	for _, c := range o.TagConfigurations() {
		tags = append(tags, register(t, c))
	}
	return register(t, o.Mutating()), register(t, o.Validating()), tags
}

const generated = "{{- /* Generated from webhook/registration by `go test ./deploy -update`; do not edit. */ -}}\n{{- include \"outrider.init\" . -}}\n"

// conditional is the template's text of an entry that only some installations have.
func conditional(condition, entry string) string {
	entry = placeholders.Replace(entry)
	if condition == "" {
		return entry
	}
	return "{{- if " + condition + " }}\n" + entry + "{{- end }}\n"
}

// installations are those that differ by a condition, one kind of object of each.
type installations struct{ other, otherDefault, former, byDefault, auto registered }

func installationsOf(t testing.TB) (mutating, validating installations) {
	t.Helper()
	for _, i := range []struct {
		o    registration.Options
		m, v *registered
	}{
		{registration.Options{Revision: anyRevision}, &mutating.other, &validating.other},
		{registration.Options{Revision: anyRevision, DefaultRevision: anyRevision}, &mutating.otherDefault, &validating.otherDefault},
		{registration.Options{DefaultRevision: anyRevision, Auto: true}, &mutating.former, &validating.former},
		{registration.Options{}, &mutating.byDefault, &validating.byDefault},
		{registration.Options{Auto: true}, &mutating.auto, &validating.auto},
	} {
		*i.m, *i.v, _ = registerAll(t, i.o)
	}
	return mutating, validating
}

// injecting is the text of an entry of the revision's own mutating configuration. While
// another revision is the default one, those of the revision "default" select nothing.
func (i installations) injecting(name string) string {
	own, all := i.other.webhooks[name], i.auto.webhooks[name]
	if own == "" {
		own = all
	}
	before, selecting, after := selectorsOf(own)
	_, never, _ := selectorsOf(i.former.webhooks[name])
	text := before + "{{- if $.Selects }}\n" + selecting + "{{- else }}\n" + never + "{{- end }}\n" + after
	switch {
	case i.other.webhooks[name] != "":
		return conditional("", text)
	case i.byDefault.webhooks[name] != "":
		return conditional("eq $.Revision \"default\"", text)
	}
	return conditional("and (eq $.Revision \"default\") $.EveryNamespace", text)
}

// selectorsOf splits the text of an entry at its two selectors.
func selectorsOf(entry string) (before, selectors, after string) {
	before, rest, _ := strings.Cut(entry, "  namespaceSelector:\n")
	selectors, after, _ = strings.Cut(rest, "  reinvocationPolicy:")
	return before, "  namespaceSelector:\n" + selectors, "  reinvocationPolicy:" + after
}

// entry is the text of an entry of the revision's own configurations, in its condition.
func (i installations) entry(name string) string {
	own, all := i.other.webhooks[name], i.auto.webhooks[name]
	switch {
	case own != "" && i.former.webhooks[name] != "" && strings.Contains(own, "matchConditions") && !strings.HasPrefix(name, "configuration."):
		return perRevision(placeholders.Replace(own), placeholders.Replace(all))
	case own != "" && i.former.webhooks[name] != "":
		return conditional("", own)
	case own != "":
		return conditional("$.Selects", own)
	case i.otherDefault.webhooks[name] != "":
		return conditional("$.Default", all)
	case i.byDefault.webhooks[name] != "":
		return conditional("and $.Selects (eq $.Revision \"default\")", all)
	}
	return conditional("and $.Selects (eq $.Revision \"default\") $.EveryNamespace", all)
}

// webhookConfigurations is the text of the template. An entry that only the default
// revision has, or only an installation that injects every namespace, is in a
// condition.
func webhookConfigurations(t testing.TB) string {
	t.Helper()
	mutating, validating := installationsOf(t)
	_, tagged, _ := registerAll(t, registration.Options{Revision: anyRevision, Tags: []revision.Tag{anyTag}})
	_, byDefault, _ := registerAll(t, registration.Options{Revision: anyRevision, Tags: []revision.Tag{revision.DefaultTag}, Auto: true})

	out := generated + placeholders.Replace(mutating.other.head)
	for _, name := range mutating.auto.names {
		out += mutating.injecting(name)
	}
	out += "---\n" + placeholders.Replace(validating.other.head)
	for _, name := range validating.auto.names {
		if strings.HasPrefix(name, "ephemeral.") { // the first that pods are not selected for
			out += "{{- range $tag := $.Tags }}\n" + tagEntries(tagged, byDefault, "default.tag.") + "{{- end }}\n"
		}
		out += validating.entry(name)
	}
	return out
}

// perRevision is an entry that has one text for the default revision and another one for
// the others.
func perRevision(other, byDefault string) string {
	return "{{- if eq $.Revision \"default\" }}\n" + byDefault + "{{- else }}\n" + other + "{{- end }}\n"
}

// tagEntries are the entries of a tag: those of every tag, and those that the tag
// "default" has as well. Their names begin with prefix in byDefault.
func tagEntries(tagged, byDefault registered, prefix string) (out string) {
	for _, name := range byDefault.names {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		own := strings.Replace(name, "default.tag.", anyTag+".tag.", 1)
		entry, when := tagged.webhooks[own], ""
		if entry == "" {
			entry, when = strings.Replace(byDefault.webhooks[name], name, own, 1), "eq $tag \"default\""
		}
		if strings.Contains(name, "auto.") {
			when = "and (" + when + ") $.EveryNamespace"
		}
		out += conditional(when, entry)
	}
	return out
}

// tagConfigurations is the text of the template of the tags. A tag that is moved to a
// revision gets the CA bundle of that revision at once, where Helm reaches the cluster:
// until the control plane has seen the move, pods would be denied. Helm keeps the
// object where a release has no such tag any more, which another release may have by then.
func tagConfigurations(t testing.TB) string {
	t.Helper()
	_, _, tagged := registerAll(t, registration.Options{Revision: anyRevision, Tags: []revision.Tag{anyTag}})
	_, _, byDefault := registerAll(t, registration.Options{Revision: anyRevision, Tags: []revision.Tag{revision.DefaultTag}, Auto: true})
	const with = "  {{- with $.WebhookAnnotations }}\n"
	head := strings.Replace(placeholders.Replace(tagged[0].head), with+annotations, annotations+"    helm.sh/resource-policy: keep\n"+with, 1)
	entries := strings.ReplaceAll(tagEntries(tagged[0], byDefault[0], ""), "  clientConfig:\n", "  clientConfig:\n    {{- with $.Bundle }}\n    caBundle: {{ . }}\n    {{- end }}\n")
	return generated + "{{- include \"outrider.bundle\" . -}}\n{{- range $tag := $.Tags }}\n---\n" + head + entries + "{{- end }}\n"
}
