package soak

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// Report has the outcomes of a run.
type Report struct {
	Created    int            // with a sidecar
	Uninjected int            // without one
	Denied     map[string]int // by the webhook or because it was not reached, by message
	APIServer  map[string]int // the API server itself did not answer, or not yet, by message
	Skipped    int            // not sent: too many were on their way

	options   Options
	began     time.Time
	mu        sync.Mutex
	took      []time.Duration
	denials   []time.Time
	ends      []time.Time     // of webhook replicas
	counts    map[string]int  // of disturbances
	serving   map[string]bool // the serving certificates so far
	edits     []time.Duration
	editFails []error
	// before and after are the application's requests.
	before, after Tally
}

func newReport(o Options) *Report {
	return &Report{options: o, Denied: map[string]int{}, APIServer: map[string]int{}, counts: map[string]int{}, serving: map[string]bool{}}
}

// add counts a creation.
func (r *Report) add(o outcome) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case o.err == nil && o.uninjected:
		r.Uninjected++
	case o.err == nil:
		r.Created++
		r.took = append(r.took, o.took)
	case ours(o.err):
		r.Denied[group(o.err)]++
		r.denials = append(r.denials, o.at)
	default:
		r.APIServer[group(o.err)]++
	}
}

func (r *Report) skip() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Skipped++
}

func (r *Report) disturbed(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[what]++
	if strings.HasPrefix(what, "webhook replica") {
		r.ends = append(r.ends, time.Now())
	}
}

func (r *Report) served(certificate string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.serving[certificate] = true
}

func (r *Report) edited(took time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.edits = append(r.edits, took)
	if err != nil {
		r.editFails = append(r.editFails, err)
	}
}

// ours reports whether a denial is one of the product: the webhook has denied the pod,
// or the API server has not reached it. Everything else a client gets while the API
// server itself is down or starts; a status that is not one of these counts as ours, so
// that nothing unexpected is overlooked.
func ours(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false // no response of the API server
	}
	text := err.Error()
	return !slices.ContainsFunc(startingUp, func(s string) bool { return strings.Contains(text, s) })
}

// startingUp are what the API server answers by itself before it is ready, and while it
// ends.
var startingUp = []string{
	"not yet ready to handle request",
	"apiserver is shutting down",
	"etcdserver: ",
	"the server is currently unable to handle the request",
	`User "kubernetes-admin" cannot`, // before it has read the roles
}

var varying = regexp.MustCompile(`soak-[a-z0-9]+|\[?[0-9a-f]*(:[0-9a-f]*){3,}\]?(:[0-9]+)?|[0-9]+(\.[0-9]+){3}(:[0-9]+)?|[0-9]+`)

// group is an error's text without what differs from one to the next.
func group(err error) string { return varying.ReplaceAllString(err.Error(), "N") }

// Err is what must not have happened. Where replicas are killed, connections to them
// end, and pods are denied: then only a pod without its sidecar fails.
func (r *Report) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	bad := func(n int, what string) {
		if n > 0 {
			errs = append(errs, fmt.Errorf("%d %s", n, what))
		}
	}
	bad(r.Uninjected, "pods were admitted without a sidecar")
	if !r.options.Kill {
		bad(total(r.Denied), "pods were denied")
		bad(r.after.Failed-r.before.Failed, fmt.Sprintf("requests of the application failed: %q", r.after.Failures))
	}
	bad(len(r.editFails), fmt.Sprintf("edits did not arrive: %v", errors.Join(r.editFails...)))
	for what, n := range r.counts {
		if strings.HasSuffix(what, "(failed)") {
			bad(n, "times: "+what)
		}
	}
	if want := r.options.completed(); want > 0 && len(r.serving) <= want {
		errs = append(errs, fmt.Errorf("%d serving certificates for %d rotations", len(r.serving), want))
	}
	if r.options.Every > 0 && r.counts["webhook replica deleted"]+r.counts["webhook replica killed"] == 0 {
		errs = append(errs, errors.New("no replica of the webhook was ended"))
	}
	if r.Created == 0 {
		errs = append(errs, errors.New("no pod was created"))
	}
	if r.options.App != "" && r.after.OK <= r.before.OK {
		errs = append(errs, errors.New("the application has sent no request"))
	}
	return errors.Join(errs...)
}

// completed is how many rotations have the time to complete: within half a minute, of
// which 20 s are those of Quicken.
func (o Options) completed() (n int) {
	if o.Kill {
		return 0 // a leader that is killed is replaced when its Lease expires, and killed again
	}
	for i := range o.Rotations {
		every := o.Duration / time.Duration(o.Rotations)
		if every/4+time.Duration(i)*every+30*time.Second <= o.Duration {
			n++
		}
	}
	return n
}

func total(m map[string]int) (n int) {
	for _, c := range m {
		n += c
	}
	return n
}

// recoveries are, for each end of a webhook replica after which a pod was denied, how
// long it took until the last one was.
func (r *Report) recoveries() (out []time.Duration) {
	for i, end := range r.ends {
		next := end.Add(time.Hour)
		if i+1 < len(r.ends) {
			next = r.ends[i+1]
		}
		var last time.Duration
		for _, at := range r.denials {
			if at.After(end) && at.Before(next) {
				last = max(last, at.Sub(end))
			}
		}
		if last > 0 {
			out = append(out, last)
		}
	}
	return out
}

// String is the report for people.
func (r *Report) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b strings.Builder
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(&b, format+"\n", args...) }
	how := "deleted"
	if r.options.Kill {
		how = "killed"
	}
	line("%s at %d pods a second, replicas %s every %s", r.options.Duration, r.options.Rate, how, r.options.Every)
	for _, what := range slices.Sorted(maps.Keys(r.counts)) {
		line("  %4d x %s", r.counts[what], what)
	}
	line("  %4d serving certificates, one after the other", len(r.serving))
	line("pods created with a sidecar: %d %s", r.Created, percentiles(r.took))
	line("pods admitted without one: %d", r.Uninjected)
	groups(line, "pods denied", r.Denied)
	if ends := r.recoveries(); len(ends) > 0 {
		line("  after %d of %d ends of a webhook replica; the last one of each %s", len(ends), len(r.ends), percentiles(ends))
	}
	groups(line, "not sent, or not answered by the API server itself", r.APIServer)
	if r.Skipped > 0 {
		line("not sent, as too many were on their way: %d", r.Skipped)
	}
	if r.options.App != "" {
		line("requests through a running sidecar: %d succeeded, %d failed %q", r.after.OK-r.before.OK, r.after.Failed-r.before.Failed, r.after.Failures)
		line("edits that reached it: %d of %d %s", len(r.edits)-len(r.editFails), len(r.edits), percentiles(r.edits))
	}
	return b.String()
}

func groups(line func(string, ...any), what string, m map[string]int) {
	line("%s: %d", what, total(m))
	for _, text := range slices.SortedFunc(maps.Keys(m), func(a, b string) int { return cmp.Or(m[b]-m[a], strings.Compare(a, b)) }) {
		line("  %4d x %s", m[text], text)
	}
}

// percentiles are the median, the 99th percentile and the maximum.
func percentiles(took []time.Duration) string {
	if len(took) == 0 {
		return ""
	}
	took = slices.Sorted(slices.Values(took))
	at := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	return fmt.Sprintf("(p50 %s, p99 %s, max %s)", at(took[len(took)/2]), at(took[len(took)*99/100]), at(took[len(took)-1]))
}
