package webhook

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	kjson "sigs.k8s.io/json"
)

// sleepReview is the review of a pod of the sample Deployment sleep, as the API
// server sends it; each n is another pod.
func sleepReview(n, extraEnv int) []byte {
	name := fmt.Sprintf("sleep-%08x-", n)
	env := make([]corev1.EnvVar, 0, extraEnv)
	for i := range extraEnv {
		env = append(env, corev1.EnvVar{Name: fmt.Sprintf("VARIABLE_%d", i), Value: fmt.Sprintf("value of %d in %d", i, n)})
	}
	mount := corev1.VolumeMount{Name: "kube-api-access", ReadOnly: true, MountPath: "/var/run/secrets/kubernetes.io/serviceaccount"}
	pod := corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: name, UID: types.UID(fmt.Sprintf("6ad6b0a6-0000-4000-8000-%012d", n)),
			Labels: map[string]string{"app": "sleep", "pod-template-hash": fmt.Sprintf("%08x", n)},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: strings.TrimSuffix(name, "-"),
				UID: types.UID(fmt.Sprintf("7ad6b0a6-0000-4000-8000-%012d", n)), Controller: new(true), BlockOwnerDeletion: new(true)}},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kube-controller-manager", Operation: metav1.ManagedFieldsOperationUpdate,
				APIVersion: "v1", FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:generateName":{},"f:labels":{".":{},"f:app":{},"f:pod-template-hash":{}},` +
					`"f:ownerReferences":{".":{},"k:{\"uid\":\"x\"}":{}}},"f:spec":{"f:containers":{"k:{\"name\":\"sleep\"}":{".":{},"f:command":{},"f:image":{},"f:imagePullPolicy":{},` +
					`"f:name":{},"f:resources":{},"f:terminationMessagePath":{},"f:terminationMessagePolicy":{},"f:volumeMounts":{}}},"f:dnsPolicy":{},"f:restartPolicy":{},"f:schedulerName":{}}}`)}},
		},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "sleep", Image: "curlimages/curl", Command: []string{"/bin/sleep", "infinity"}, Env: env,
				ImagePullPolicy: corev1.PullIfNotPresent, TerminationMessagePath: "/dev/termination-log", TerminationMessagePolicy: "File",
				VolumeMounts: []corev1.VolumeMount{{Name: "secret-volume", MountPath: "/etc/sleep/tls"}, mount}}},
			Volumes: []corev1.Volume{
				{Name: "secret-volume", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "sleep-secret", Optional: new(true), DefaultMode: new(int32(420))}}},
				{Name: "kube-api-access", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{DefaultMode: new(int32(420)), Sources: []corev1.VolumeProjection{
					{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{ExpirationSeconds: new(int64(3607)), Path: "token"}},
					{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}, Items: []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}}}},
				}}}},
			},
			ServiceAccountName: "sleep", DeprecatedServiceAccount: "sleep", RestartPolicy: "Always", DNSPolicy: "ClusterFirst", SchedulerName: "default-scheduler",
			TerminationGracePeriodSeconds: new(int64(0)), SecurityContext: &corev1.PodSecurityContext{}, EnableServiceLinks: new(true),
			PreemptionPolicy: new(corev1.PreemptLowerPriority), Priority: new(int32(0)),
			Tolerations: []corev1.Toleration{{Key: "node.kubernetes.io/not-ready", Operator: "Exists", Effect: "NoExecute", TolerationSeconds: new(int64(300))},
				{Key: "node.kubernetes.io/unreachable", Operator: "Exists", Effect: "NoExecute", TolerationSeconds: new(int64(300))}},
		},
	}
	raw, err := json.Marshal(pod)
	if err != nil {
		panic(err)
	}
	return reviewOf(string(raw), func(r *admissionv1.AdmissionReview) {
		r.Request.UID = types.UID(fmt.Sprintf("5ad6b0a6-0000-4000-8000-%012d", n))
		r.Request.UserInfo.Username = "system:serviceaccount:kube-system:replicaset-controller"
		r.Request.UserInfo.Groups = []string{"system:serviceaccounts", "system:authenticated"}
		r.Request.DryRun = new(false)
		r.Request.RequestKind, r.Request.RequestResource = &r.Request.Kind, &r.Request.Resource
		r.Request.Options.Raw = []byte(`{"kind":"CreateOptions","apiVersion":"meta.k8s.io/v1"}`)
	})
}

// floor is what any such webhook has to do: decode review and pod, encode a
// response.
func floor(b testing.TB, body []byte) {
	var rv admissionv1.AdmissionReview
	if err := kjson.UnmarshalCaseSensitivePreserveInts(body, &rv); err != nil {
		b.Fatal(err)
	}
	var pod corev1.Pod
	if err := kjson.UnmarshalCaseSensitivePreserveInts(rv.Request.Object.Raw, &pod); err != nil {
		b.Fatal(err)
	}
	out, err := json.Marshal(admissionv1.AdmissionReview{TypeMeta: rv.TypeMeta, Response: &admissionv1.AdmissionResponse{UID: rv.Request.UID, Allowed: true}})
	if err != nil || len(out) == 0 {
		b.Fatal(err)
	}
}

// answerWriter keeps nothing but whether the request was allowed.
type answerWriter struct {
	header http.Header
	status int
	size   int
}

func (w *answerWriter) Header() http.Header             { return w.header }
func (w *answerWriter) WriteHeader(status int)          { w.status = status }
func (w *answerWriter) Write(p []byte) (int, error)     { w.size += len(p); return len(p), nil }
func (w *answerWriter) SetReadDeadline(time.Time) error { return nil }

// customTemplate reads the pod, so it has to be rendered for each.
const customTemplate = `templates:
  custom: |
    metadata:
      annotations:
        example.com/of: {{ .ObjectMeta.GenerateName | quote }}
    spec:
      containers:
      {{- range .Spec.Containers }}
      - name: {{ .Name }}
        env:
        - name: APP
          value: {{ index $.ObjectMeta.Labels "app" | quote }}
      {{- end }}
defaultTemplates: [sidecar, custom]
`

// BenchmarkHandler compares the whole handler, bytes in to bytes out and the
// log line with it, to the floor. Both take the same pods in turn, so a slow
// moment of the machine meets both; every pod is another one.
func BenchmarkHandler(b *testing.B) {
	for _, bb := range []struct {
		name, config string
		env          int
	}{
		{"default template", "", 0},
		{"custom template", customTemplate, 0},
		{"2000 variables", "", 2000},
	} {
		b.Run(bb.name, func(b *testing.B) {
			pods := 512
			if bb.env > 0 {
				pods = 32
			}
			bodies := make([][]byte, pods)
			for n := range bodies {
				bodies[n] = sleepReview(n, bb.env)
			}
			fixture := newFixture(b, compiled(b, bb.config))
			fixture.options.Log = logr.FromSlogHandler(slog.NewJSONHandler(io.Discard, nil))
			h := NewPodHandler(fixture.options)
			serve := func(body []byte) {
				w := &answerWriter{header: http.Header{}}
				h.ServeHTTP(w, requestOf(body))
				if w.status != http.StatusOK || w.size < 1000 {
					b.Fatalf("status %d, %d bytes", w.status, w.size)
				}
			}
			serve(bodies[0])
			floors, handlers := make([]time.Duration, 0, b.N), make([]time.Duration, 0, b.N)
			b.ResetTimer()
			for n := range b.N {
				body := bodies[n%pods]
				start := time.Now()
				floor(b, body)
				middle := time.Now()
				serve(body)
				floors, handlers = append(floors, middle.Sub(start)), append(handlers, time.Since(middle))
			}
			b.StopTimer()
			f, s := median(floors), median(handlers)
			b.ReportMetric(float64(f.Nanoseconds())/1000, "floor-µs")
			b.ReportMetric(float64(s.Nanoseconds())/1000, "handler-µs")
			b.ReportMetric(float64(s)/float64(f), "x-floor")
			b.ReportMetric(allocated(func(n int) { floor(b, bodies[n%pods]) })/1000, "floor-KB")
			b.ReportMetric(allocated(func(n int) { serve(bodies[n%pods]) })/1000, "handler-KB")
			if got := fixture.metric("sidecar_injection_requests_total", "result", "injected"); got == 0 {
				b.Fatal("nothing was injected")
			}
		})
	}
}

// allocated is the bytes a call allocates, on average over as many pods.
func allocated(call func(n int)) float64 {
	const calls = 200
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for n := range calls {
		call(n)
	}
	runtime.ReadMemStats(&after)
	return float64(after.TotalAlloc-before.TotalAlloc) / calls
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
