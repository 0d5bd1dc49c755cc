package webhook

import (
	"encoding/json"
	"testing"

	admissionv1 "k8s.io/api/admission/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/outrider-mesh/outrider/inject"
	"github.com/outrider-mesh/outrider/internal/jsontree"
)

// reference encodes r by the API's own type.
func reference(t *testing.T, r *response) string {
	t.Helper()
	out := &admissionv1.AdmissionResponse{UID: types.UID(r.uid), Allowed: r.allowed, Warnings: r.warnings}
	if r.status != nil {
		out.Result = &metav1.Status{Status: metav1.StatusFailure, Code: r.status.code, Message: r.status.message, Reason: reasonOf(r.status.code)}
	}
	if len(r.patch) > 0 {
		out.Patch = inject.AppendPatch(nil, r.patch)
		out.PatchType = new(admissionv1.PatchTypeJSONPatch)
	}
	out.AuditAnnotations = map[string]string{}
	for k, v := range map[string]string{"config": r.config, "reason": r.reason} {
		if v != "" {
			out.AuditAnnotations[k] = v
		}
	}
	b, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"}, Response: out,
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestResponseIsEncodedLikeTheAPIType(t *testing.T) {
	ops := []inject.Operation{
		{Op: "add", Path: "/spec/containers/-", Value: jsontree.Parse(`{"name":"istio-proxy"}`)},
		{Op: "remove", Path: "/metadata/annotations/a~1b"},
	}
	texts := []string{"", "plain", "new\nline", `qu"ote\`, "<&>", "ü ", "\xff broken", "\x00\x1f\x7f", "日本語"}
	var scratch, buf []byte
	for _, text := range texts {
		for _, st := range []*status{nil, {400, text}, {422, text}, {500, text}, {503, text}} {
			for _, patch := range [][]inject.Operation{nil, ops[:1], ops} {
				for _, warnings := range [][]string{nil, {text}, {text, "two"}} {
					r := &response{uid: "uid" + text, allowed: st == nil, status: st, patch: patch, warnings: warnings, config: text, reason: "a" + text}
					buf = r.append(buf[:0], &scratch)
					if want := reference(t, r); string(buf) != want {
						t.Fatalf("got  %s\nwant %s", buf, want)
					}
				}
			}
		}
	}
	r := &response{uid: "u", allowed: true}
	if got, want := string(r.append(nil, &scratch)), reference(t, r); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func FuzzResponseString(f *testing.F) {
	f.Add("plain")
	f.Add("\u2028<\"\xff")
	f.Fuzz(func(t *testing.T, s string) {
		want, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(appendString(nil, s)); got != string(want) {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}
