package egress

import (
	"fmt"
	"strings"

	networkingv1alpha3 "istio.io/api/networking/v1alpha3"

	"github.com/outrider-mesh/outrider/internal/problem"
)

func readRetries(s *networkingv1alpha3.HTTPRoute, path string, r reporter) {
	t := s.Retries
	if t == nil {
		return
	}
	switch {
	case t.Attempts < 0:
		r.add(problem.Negative(path+".attempts", fmt.Sprint(t.Attempts)).WithFix("use 0 to disable retries"))
	case t.Attempts == 0:
		readDisabledRetries(t, path, r)
	}
	if t.Attempts != 0 { // without attempts, it has a problem already
		readTime(t.PerTryTimeout, path+".perTryTimeout", false, r)
	}
	if whole := s.Timeout.AsDuration(); t.Attempts > 0 && whole > 0 && t.PerTryTimeout.AsDuration() > whole {
		r.add(problem.NoEffect(path+".perTryTimeout", t.PerTryTimeout.AsDuration().String(), "it is longer than the timeout of the route, "+whole.String(), "use a shorter duration"))
	}
	readTime(t.Backoff, path+".backoff", false, r)
	on, statuses, unknown := readRetryOn(t.RetryOn)
	for _, u := range unknown {
		r.error(path+".retryOn", u, "unknown retryOn condition", "use HTTP statuses and "+strings.Join(retryConditions(), ", "))
	}
	if t.RetryOn != "" && len(on)+len(statuses)+len(unknown) == 0 {
		r.error(path+".retryOn", t.RetryOn, "no condition", "remove it, or use a condition such as 5xx")
	}
}

// readDisabledRetries validates retries without attempts. Fields that were meant
// for some are an error, as in Istio: zero attempts, also by default, are none.
func readDisabledRetries(t *networkingv1alpha3.HTTPRetry, path string, r reporter) {
	var set []string
	for _, field := range []struct {
		name string
		set  bool
	}{{"retryOn", t.RetryOn != ""}, {"perTryTimeout", t.PerTryTimeout != nil}, {"retryRemoteLocalities", t.RetryRemoteLocalities != nil}} {
		if field.set {
			set = append(set, field.name)
		}
	}
	if len(set) > 0 {
		names := strings.Join(set, " and ")
		r.error(path+".attempts", "", "attempts is 0 or not set, which disables retries: it cannot be combined with "+names, fmt.Sprintf("set attempts, such as %d, or remove %s", DefaultRetryAttempts, names))
		return
	}
	const why, fix = "attempts is 0 or not set, which disables retries", "set attempts, or remove it"
	if t.Backoff != nil {
		r.add(problem.NoEffect(path+".backoff", "", why, fix))
	}
	if t.RetryIgnorePreviousHosts != nil {
		r.add(problem.NoEffect(path+".retryIgnorePreviousHosts", "", why, fix))
	}
}
