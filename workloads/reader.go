package workloads

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// pageSize is how many objects a page has: an injected pod takes some 10 KB, so that a page
// is near 5 MB, and 5,000 pods are ten requests.
const pageSize = 500

// maxAnswer bounds one answer. A tenant may make pods of 1.5 MiB, of which a page would have
// 750 MiB; a page of 500 has at most 50 KB for each pod.
const maxAnswer = 24 << 20

// smaller is the factor by which a page is smaller than one that was too large: 500, 62, 7, 1.
const smaller = 8

// errTooLarge ends the reading of an answer.
var errTooLarge = errors.New("answer of the API server is too large")

// Pages bound what is read at once.
type Pages struct {
	Objects int64 // of a page
	Bytes   int   // of an answer
}

// Reader reads a cluster.
type Reader struct {
	Client   kubernetes.Interface
	pages    Pages
	requests atomic.Int64
}

// New makes a reader. Its lists are paged, and read once, so that it has no rate limit of
// its own.
func New(c *rest.Config) (*Reader, error) { return NewPaged(c, Pages{pageSize, maxAnswer}) }

// NewPaged makes a reader with pages of other sizes.
func NewPaged(c *rest.Config, pages Pages) (*Reader, error) {
	r := &Reader{pages: pages}
	c = rest.CopyConfig(c)
	c.QPS = -1
	c.AcceptContentTypes, c.ContentType = "application/vnd.kubernetes.protobuf,application/json", "application/vnd.kubernetes.protobuf"
	c.Wrap(func(next http.RoundTripper) http.RoundTripper { return counting{next, &r.requests, pages.Bytes} })
	var err error
	if r.Client, err = kubernetes.NewForConfig(c); err != nil {
		return nil, fmt.Errorf("create Kubernetes client: %w", err)
	}
	return r, nil
}

// Requests is how many requests were sent.
func (r *Reader) Requests() int { return int(r.requests.Load()) }

// counting counts requests, and bounds their answers.
type counting struct {
	next     http.RoundTripper
	requests *atomic.Int64
	bytes    int
}

func (c counting) RoundTrip(q *http.Request) (*http.Response, error) {
	c.requests.Add(1)
	answer, err := c.next.RoundTrip(q)
	if answer != nil && answer.Body != nil {
		answer.Body = &bounded{answer.Body, c.bytes, c.bytes}
	}
	return answer, err
}

// bounded is a body that ends with an error where it is too long.
type bounded struct {
	io.ReadCloser
	left, limit int
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, fmt.Errorf("%w: it exceeds %d MiB", errTooLarge, b.limit>>20)
	}
	return n, err
}

// pages lists page by page. A list that takes so long that its version is gone goes on with
// a newer one.
func pages[L metav1.ListInterface](ctx context.Context, o metav1.ListOptions, list func(context.Context, metav1.ListOptions) (L, error), each func(L) error) error {
	if o.Limit == 0 {
		o.Limit = pageSize
	}
	for {
		page, err := list(ctx, o)
		var status apierrors.APIStatus
		switch {
		case errors.Is(err, errTooLarge) && o.Limit > 1:
			o.Limit = max(1, o.Limit/smaller)
			continue
		case apierrors.IsResourceExpired(err) && errors.As(err, &status) && status.Status().Continue != "" && status.Status().Continue != o.Continue:
			o.Continue = status.Status().Continue
			continue
		case err != nil:
			return err
		}
		if err := each(page); err != nil {
			return err
		}
		if o.Continue = page.GetContinue(); o.Continue == "" {
			return nil
		}
	}
}
