package workloads

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestPages: a page that is too large is read again in smaller ones, a list whose version is
// gone goes on with a newer one, and every other error ends it.
func TestPages(t *testing.T) {
	expired := apierrors.NewResourceExpired("too old")
	expired.ErrStatus.Continue = "newer"
	failed := errors.New("failed")
	for name, tt := range map[string]struct {
		answers []any // a page's continue token, or an error
		want    []string
		err     error
	}{
		"one":             {[]any{""}, []string{"500 "}, nil},
		"two":             {[]any{"a", ""}, []string{"500 ", "500 a"}, nil},
		"too large":       {[]any{errTooLarge, "a", errTooLarge, errTooLarge, ""}, []string{"500 ", "62 ", "62 a", "7 a", "1 a"}, nil},
		"one too large":   {[]any{errTooLarge, errTooLarge, errTooLarge, errTooLarge}, []string{"500 ", "62 ", "7 ", "1 "}, errTooLarge},
		"expired":         {[]any{"a", expired, ""}, []string{"500 ", "500 a", "500 newer"}, nil},
		"expired forever": {[]any{"a", expired, expired}, []string{"500 ", "500 a", "500 newer"}, expired},
		"an error":        {[]any{"a", failed}, []string{"500 ", "500 a"}, failed},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			read := 0
			err := pages(t.Context(), metav1.ListOptions{}, func(_ context.Context, o metav1.ListOptions) (*corev1.PodList, error) {
				got = append(got, fmt.Sprintf("%d %s", o.Limit, o.Continue))
				switch a := tt.answers[len(got)-1].(type) {
				case error:
					return nil, fmt.Errorf("list: %w", a)
				default:
					return &corev1.PodList{ListMeta: metav1.ListMeta{Continue: fmt.Sprint(a)}}, nil
				}
			}, func(*corev1.PodList) error { read++; return nil })
			if !slices.Equal(got, tt.want) || !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Errorf("%q, %v", got, err)
			}
		})
	}
}

// TestBounded: an answer that is too large ends with an error that has the limit.
func TestBounded(t *testing.T) {
	body := &bounded{io.NopCloser(strings.NewReader(strings.Repeat("x", 3<<20))), 2 << 20, 2 << 20}
	n, err := io.Copy(io.Discard, body)
	if !errors.Is(err, errTooLarge) || err.Error() != "answer of the API server is too large: it exceeds 2 MiB" || n > 2<<20 {
		t.Errorf("%d bytes, %v", n, err)
	}
}
