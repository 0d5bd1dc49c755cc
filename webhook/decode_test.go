package webhook

import (
	"reflect"
	"strings"
	"testing"

	jsonv2 "github.com/go-json-experiment/json"
	corev1 "k8s.io/api/core/v1"
	kjson "sigs.k8s.io/json"
)

// reviewPlaces put a value in every place of a review that is decoded, and some that
// are not.
var reviewPlaces = []string{
	`%s`, `{"kind":%s}`, `{"apiVersion":%s}`, `{"request":%s}`, `{"Request":%s}`, `{"request":null,"request":%s}`, `{"response":%s}`,
	`{"request":{"uid":%s}}`, `{"request":{"UID":%s,"uid":"u"}}`, `{"request":{"uid":"u","kind":%s}}`, `{"request":{"kind":{"group":%s}}}`,
	`{"request":{"resource":%s}}`, `{"request":{"resource":{"resource":%s}}}`, `{"request":{"subResource":%s}}`, `{"request":{"namespace":%s}}`,
	`{"request":{"operation":%s}}`, `{"request":{"dryRun":%s}}`, `{"request":{"object":%s}}`, `{"request":{"object": %s , "oldObject":1}}`,
	`{"request":{"object":{"a":%s}}}`, `{"request":{"object":{},"object":%s}}`, `{"request":{"oldObject":%s}}`, `{"request":{"userInfo":{"extra":%s}}}`,
	`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u","object":%s}}`,
	`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"object":{"metadata":{"name":"a"}} ,"uid":"u","object":%s}}`,
	`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u","object" : {"spec":%s, "metadata":{"labels":{"a":"b"}}} }}`,
	`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u"},"request":{"uid":"v","object":%s}}`,
	`{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"u","object":{"metadata":{"name":"a","managedFields":[%s],"uid":"b"}}}}`,
	`{"request":{"":%s}}`, `{"request":{"object\u0000":%s}}`, `{"request":{"o\u0062ject":%s}}`, `{"request":{"body":%s}}`,
}

var oddValues = []string{
	`null`, `true`, `"text"`, `""`, `0`, `-0`, `1e3`, `1.0`, `9007199254740993`, `1e400`, `[]`, `[null]`, `{}`, ` { "a" : 1 } `, `{"":null}`,
	`{"a":1,"a":2}`, `{"spec":{"containers":[]},"spec":null}`, `{"Kind":"Pod","kind":"Pod"}`, `"\u0000"`, `"\ud800"`, "\"\xff\"", "{\"\xff\":1}",
	`"\u2028"`, `"\/"`, "\"\t\"", ``, `01`, `{"a":1,}`, `nul`, `{"version":"v1","Version":"v2"}`, `"` + strings.Repeat("x", 5000) + `"`,
	strings.Repeat("[", 9998) + strings.Repeat("]", 9998), strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001),
}

// decodedAlike is a property: a review that the fast decoder accepts is the same as by
// the API server's decoder. What it rejects is decided by the API server's.
func decodedAlike(t *testing.T, text []byte) (fast bool) {
	t.Helper()
	var got, want review
	decodedPodAlike(t, text)
	if jsonv2.Unmarshal(text, &got, anyNames) != nil {
		return false
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(text, &want); err != nil {
		t.Errorf("accepted, while the API server's decoder rejects: %v\n%.300q", err, text)
	} else if !reflect.DeepEqual(got, want) {
		t.Errorf("decoded to %+v, want %+v\n%.300q", got, want, text)
	}
	return true
}

// decodedPodAlike is the same property of reviews with pods: the request and the object's
// text are as without the pod, and the pod is what the text decodes to.
func decodedPodAlike(t *testing.T, text []byte) {
	t.Helper()
	got, gotErr := decodePodReview(text)
	want, wantErr := decodeReview(text)
	if (gotErr == nil) != (wantErr == nil) || gotErr != nil && *gotErr != *wantErr {
		t.Fatalf("with the pod: %v, without: %v\n%.300q", gotErr, wantErr, text)
	}
	if gotErr != nil {
		return
	}
	defer got.release()
	pod := got.pod
	if plain := (request{requestHead: got.requestHead, Object: got.text()}); !reflect.DeepEqual(&plain, want) {
		t.Errorf("decoded to %+v, want %+v\n%.300q", plain, want, text)
	}
	if pod == nil {
		return
	}
	var of corev1.Pod
	err := kjson.UnmarshalCaseSensitivePreserveInts(want.Object, &of)
	if err != nil && strings.Contains(string(text), "managedFields") {
		return // the API server's own, not decoded
	}
	if err != nil {
		t.Errorf("the pod is decoded, while its text is not: %v\n%.300q", err, text)
	} else if of.ManagedFields = nil; !reflect.DeepEqual(*pod, of) {
		t.Errorf("the pod is %+v, want %+v\n%.300q", *pod, of, text)
	}
}

func TestDecodeReview_Alike(t *testing.T) {
	fast, all := 0, 0
	for _, place := range reviewPlaces {
		for _, value := range oddValues {
			if decodedAlike(t, []byte(strings.Replace(place, "%s", value, 1))) {
				fast++
			}
			all++
		}
	}
	t.Logf("%d of %d texts are accepted by the fast decoder", fast, all)
	if fast < all/20 || fast == all {
		t.Error("the texts do not try both decoders")
	}
}

// FuzzDecodeReview looks for more.
func FuzzDecodeReview(f *testing.F) {
	for _, place := range reviewPlaces {
		for _, value := range oddValues[:28] {
			f.Add([]byte(strings.Replace(place, "%s", value, 1)))
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) { decodedAlike(t, text) })
}
