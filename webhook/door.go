package webhook

import (
	"fmt"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/semaphore"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

// Options are what a door works with.
type Options struct {
	// Settings holds the injector in force.
	Settings *Settings
	// NamespaceAnnotations returns a namespace's annotations, nil where they
	// are not known. May be nil itself: only OpenShift needs them.
	NamespaceAnnotations func(namespace string) map[string]string
	// ConfigMaps says how the two ConfigMaps are judged. May be nil: then edits
	// of them pass unseen.
	ConfigMaps *ConfigMaps
	// Objects are the mesh configuration and the objects in force, for what an
	// object means beside others; false where they are not known yet. May be nil.
	Objects func() (egress.Input, bool)
	// Log gets one line an admission.
	Log logr.Logger
	// Metrics counts.
	Metrics *Metrics
	// MaxConcurrent is how many requests may be worked on at once, 0 for
	// DefaultMaxConcurrent. A body of more than 256 KiB counts as several.
	MaxConcurrent int
}

// Handlers are all doors by their paths.
func Handlers(o Options) map[string]http.Handler {
	return map[string]http.Handler{
		registration.InjectPath: NewHandler(o), registration.WarnPath: NewWorkloadHandler(o),
		registration.ValidatePath: NewObjectHandler(o), registration.ConfigurationPath: NewConfigMapHandler(o),
	}
}

// DefaultMaxConcurrent keeps the bodies being read below 16 MiB.
const DefaultMaxConcurrent = 64

// outcome is what one request came to.
type outcome struct {
	response
	result string
	http   *httpError // set where the answer is no review
	err    error      // why, for the log, where the answer does not say it
	stack  []byte     // of a panic
	all    []string   // the warnings, before they were limited

	resource string // of the request, as it came
}

// door turns HTTP into requests and outcomes into HTTP.
type door struct {
	Options
	name        string
	places      *semaphore.Weighted
	bodyTimeout time.Duration
	// judge answers one decoded request. It may panic.
	judge func(*request) outcome
	// failed is the answer where judge panicked.
	failed func(uid string) outcome
	count  func(*outcome, time.Duration)
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	b := pool.Get().(*buffers)
	defer b.release()

	req, o := d.answer(w, r, b)
	if o.http == nil {
		b.out = o.append(b.out[:0], &b.patch)
		write(w, b.out)
	} else {
		writeError(w, o.http)
	}
	took := time.Since(start)
	d.count(&o, took)
	d.log(req, &o, took)
}

// answer reads and judges one request. req is nil where there was none.
func (d *door) answer(w http.ResponseWriter, r *http.Request, b *buffers) (req *request, o outcome) {
	if e := checkHeaders(r); e != nil {
		return nil, broken(e)
	}
	leave, e := enter(r, d.places, int64(d.MaxConcurrent))
	if e != nil {
		return nil, broken(e)
	}
	defer leave()

	// A client that sends slowly must not keep its place. Recorders of tests
	// have no deadline to set; a server's connection always has.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(d.bodyTimeout))
	b.body, e = read(r, b.body)
	if e != nil {
		return nil, broken(e)
	}

	defer func() {
		if p := recover(); p != nil {
			o = d.recovered(req, p)
		}
	}()
	req, e = decodeReview(b.body)
	if e != nil {
		return nil, broken(e)
	}
	req.body = b.body
	o = d.judge(req)
	o.uid, o.resource = req.UID, req.Resource.Resource
	if len(o.all) > 0 {
		o.warnings = limitWarnings(o.all)
	}
	return req, o
}

// broken is the outcome of a request that is no review.
func broken(e *httpError) outcome {
	return outcome{result: resultError, http: e, response: response{reason: e.reason}}
}

// recovered is the outcome of a panic: this request's end, not the process's.
func (d *door) recovered(req *request, p any) outcome {
	d.Metrics.panics.Inc()
	o := broken(&httpError{http.StatusInternalServerError, "panic", "internal error; the webhook's log has the details"})
	if req != nil {
		o = d.failed(req.UID)
		o.uid, o.resource = req.UID, req.Resource.Resource
		o.warnings = limitWarnings(o.all)
	}
	o.result, o.reason = resultError, "panic"
	o.err, o.stack = fmt.Errorf("panic: %v", p), debug.Stack()
	return o
}

func newDoor(o Options, name string) *door {
	if o.MaxConcurrent <= 0 {
		o.MaxConcurrent = DefaultMaxConcurrent
	}
	return &door{Options: o, name: name, places: semaphore.NewWeighted(int64(o.MaxConcurrent)), bodyTimeout: bodyTimeout}
}

// namespaceAnnotations is nil where nobody knows them.
func (d *door) namespaceAnnotations(namespace string) map[string]string {
	if d.NamespaceAnnotations == nil {
		return nil
	}
	return d.NamespaceAnnotations(namespace)
}
