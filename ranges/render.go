package ranges

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// APIVersion is that of reports.
const APIVersion = "outrider.dev/v1"

// Report is a result for programs.
type Report struct {
	APIVersion      string     `json:"apiVersion"`
	Kind            string     `json:"kind"` // Ranges
	Platform        string     `json:"platform"`
	Service         []string   `json:"service"`
	Pod             []string   `json:"pod"`
	Undetermined    []Kind     `json:"undetermined"`
	Incomplete      []Kind     `json:"incomplete"`
	IncludeIPRanges *string    `json:"includeIPRanges"`
	Missing         []Missing  `json:"missing"`
	Evidence        []Reported `json:"evidence"`
	Warnings        []string   `json:"warnings"`
}

// Reported is a piece of evidence.
type Reported struct {
	Kind   Kind     `json:"kind"`
	Family Family   `json:"family"`
	Ranges []string `json:"ranges"`
	Value  string   `json:"value"`
	Source string   `json:"source"`
	Grade  Grade    `json:"grade"`
	Where  Place    `json:"where"`
	Status Status   `json:"verdict"`
	Reason string   `json:"reason,omitempty"`
}

// Report is the result for programs.
func (r *Result) Report() Report {
	out := Report{
		APIVersion: APIVersion, Kind: "Ranges",
		Platform: r.Platform, Service: texted(r.Service.Prefixes()), Pod: texted(r.Pod.Prefixes()),
		Undetermined: append([]Kind{}, r.Undetermined...), Incomplete: append([]Kind{}, r.Incomplete...),
		Missing: append([]Missing{}, r.Missing...), Evidence: []Reported{}, Warnings: append([]string{}, r.Warnings...),
	}
	if v, ok := r.IncludeIPRanges(); ok {
		out.IncludeIPRanges = &v
	}
	for _, e := range r.Evidence {
		out.Evidence = append(out.Evidence, Reported{e.Kind, e.Family, texted(e.Ranges.Prefixes()), e.Value, e.Source, e.Grade, e.Where, e.Status, e.Reason})
	}
	return out
}

// JSON is the report as a JSON document that ends with a newline.
func (r *Result) JSON() []byte {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r.Report()); err != nil { // strings and lists of them always encode
		return []byte("null\n")
	}
	return []byte(b.String())
}

func texted(ps []netip.Prefix) []string {
	out := make([]string, 0, len(ps))
	for _, p := range ps {
		out = append(out, p.String())
	}
	return out
}

// Table is the result for people: a line for each kind, how it is known, and
// what is missing. Warnings are not in it.
func (r *Result) Table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Platform: %s\n\n", r.Platform)
	w := tabwriter.NewWriter(&b, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "KIND\tRANGES\tCONFIDENCE\tSOURCE")
	for _, k := range []Kind{Service, Pod} {
		l := r.Of(k)
		if l.IsEmpty() {
			fmt.Fprintf(w, "%s\tunknown\tundetermined\t\n", k)
			continue
		}
		var grades, sources []string
		for _, e := range r.Evidence {
			if e.Kind == k && e.Status == Used {
				grades = addOnce(grades, string(e.Grade))
				sources = addOnce(sources, e.Source+" ("+e.Where.String()+")")
			}
		}
		confidence := strings.Join(grades, ", ")
		if slices.Contains(r.Incomplete, k) && !strings.Contains(confidence, string(Minimum)) {
			confidence += ", incomplete"
		}
		how := sources[0]
		if len(sources) > 1 {
			how = fmt.Sprintf("%s and %d more", how, len(sources)-1)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", k, strings.ReplaceAll(l.String(), ",", ", "), confidence, problem.Printable(how))
	}
	_ = w.Flush() // a strings.Builder takes everything
	if v, ok := r.IncludeIPRanges(); ok {
		fmt.Fprintf(&b, "\nincludeIPRanges: %q\n", v)
		if !r.Known() {
			b.WriteString("  incomplete; traffic to the missing range would bypass the sidecar\n")
		}
	} else {
		b.WriteString("\nincludeIPRanges: none; traffic to the missing range would bypass the sidecar\n")
	}
	for _, m := range r.Missing {
		fmt.Fprintf(&b, "\nmissing: %s ranges: %s\n", m.Kind, m.Why)
		if m.Command != "" {
			fmt.Fprintf(&b, "  provide the output of: %s\n", m.Command)
		}
	}
	return b.String()
}

// The key of Helm values and the annotation that take the ranges.
const (
	helmKey    = "global.proxy.includeIPRanges"
	annotation = "traffic.sidecar.istio.io/includeOutboundIPRanges"
)

// Helm is value as an argument of helm, quoted for a POSIX shell: Helm takes a
// plain comma for the end of the value.
func Helm(value string) string {
	return "--set '" + helmKey + "=" + strings.ReplaceAll(value, ",", `\,`) + "'\n"
}

// Annotation is value as a pod's annotation, in YAML.
func Annotation(value string) string { return fmt.Sprintf("%s: %q\n", annotation, value) }

// ConfigMapPatch is a merge patch, in YAML, of the injector's ConfigMap. values
// is the key "values" as it is now, of which all else stays; without it the
// patch sets the key to this one value, with a comment about it.
func ConfigMapPatch(values, value string) (string, error) {
	tree := map[string]any{}
	head := "# Replaces the whole \"values\" key; other settings revert to defaults.\n"
	if values != "" {
		head = ""
		dec := json.NewDecoder(strings.NewReader(values))
		dec.UseNumber()
		if err := dec.Decode(&tree); err != nil {
			return "", fmt.Errorf("key values of ConfigMap istio-sidecar-injector: not a JSON object: %w", err)
		}
	}
	at := tree
	for _, name := range []string{"global", "proxy"} {
		next, ok := at[name].(map[string]any)
		if !ok {
			if at[name] != nil {
				return "", fmt.Errorf("key values of ConfigMap istio-sidecar-injector: %s must be an object", name)
			}
			next = map[string]any{}
			at[name] = next
		}
		at = next
	}
	at["includeIPRanges"] = value
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("    ", "  ")
	if err := enc.Encode(tree); err != nil {
		return "", fmt.Errorf("write the values: %w", err)
	}
	return head + "data:\n  values: |-\n    " + b.String(), nil
}
