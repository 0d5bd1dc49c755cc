package xds

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statusv3 "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/egress/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
)

// simulated is a simulated sidecar. It rejects a response if any resource has a text.
type simulated struct {
	mu      sync.Mutex
	rejects []string
	silent  bool          // it does not answer trials
	asked   chan struct{} // closed with the first trial, which is answered once answer is closed; nil: at once
	answer  <-chan struct{}
	has     map[string][]byte // accepted resources, by name
	start   []byte            // the first accepted routes of port 80
	first   []byte            // the first of them with a declared host
	nacks   int
	trials  int
	bytes   int
	stop    context.CancelFunc
}

// simulate starts one for "namespace/pod".
func (s *served) simulate(t testing.TB, token string, rejects ...string) *simulated {
	t.Helper()
	c := &simulated{rejects: rejects}
	s.run(t, token, c)
	return c
}

// run starts a simulated sidecar.
func (s *served) run(t testing.TB, token string, c *simulated) {
	t.Helper()
	c.has = map[string][]byte{}
	conn, err := grpc.NewClient(s.address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: s.roots})),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
	kit.Must(t, err)
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer "+token))
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	kit.Must(t, err)
	for typeURL, names := range map[string][]string{envoy.TypeCluster: nil, envoy.TypeListener: nil, envoy.TypeRoute: {"80", "443", "catchall"}} {
		kit.Must(t, stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: typeURL, ResourceNamesSubscribe: names}))
	}
	done := make(chan struct{})
	c.stop = func() { cancel(); <-done; _ = conn.Close() }
	t.Cleanup(c.stop)
	go func() {
		defer close(done)
		for {
			r, err := stream.Recv()
			if err != nil {
				return
			}
			if reply := c.receive(r); reply != nil && stream.Send(reply) != nil {
				return
			}
		}
	}()
}

func (c *simulated) receive(r *discoveryv3.DeltaDiscoveryResponse) *discoveryv3.DeltaDiscoveryRequest {
	c.mu.Lock()
	defer c.mu.Unlock()
	reply := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.TypeUrl, ResponseNonce: r.Nonce}
	c.bytes += proto.Size(r)
	for _, x := range r.Resources {
		if x.Name == envoy.TrialListener {
			if c.trials++; c.trials == 1 && c.asked != nil {
				close(c.asked)
				<-c.answer
			}
			if c.silent {
				return nil
			}
		}
		for _, text := range c.rejects {
			if bytes.Contains(x.Resource.Value, []byte(text)) {
				c.nacks++
				reply.ErrorDetail = &statusv3.Status{Message: "no such thing as " + text}
				return reply
			}
		}
	}
	for _, x := range r.Resources {
		c.has[x.Name] = x.Resource.Value
		if x.Name == "80" && c.start == nil {
			c.start = x.Resource.Value
		}
		if x.Name == "80" && c.first == nil && bytes.Contains(x.Resource.Value, []byte(".test")) {
			c.first = x.Resource.Value
		}
	}
	for _, name := range r.RemovedResources {
		delete(c.has, name)
	}
	return reply
}

// routes reports whether the accepted routes of port 80 have a text.
func (c *simulated) routes(text string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Contains(c.has["80"], []byte(text))
}

func (c *simulated) counted() (nacks, trials int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.nacks, c.trials
}

// judgment is what the authors of objects get: a line for each.
func (s *served) judgment() (out []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.judged {
		state := "rejected"
		if r.Disputed {
			state = "disputed"
		}
		out = append(out, state+" "+r.Object.Source()+" "+r.Reason)
	}
	return out
}

func (s *served) wantJudgment(t testing.TB, want ...string) {
	t.Helper()
	took := kit.EventuallyTrue(t, fmt.Sprintf("judged %q", want), func() bool { return slices.Equal(s.judgment(), want) })
	t.Logf("judged %q after %s", want, took.Round(time.Millisecond))
}

// declares is a model of one host for each object, written as namespace/name; the host
// is name.namespace.test.
func declares(t testing.TB, objects ...string) *egress.Model {
	t.Helper()
	var parts []func(*egress.Input)
	for _, o := range objects {
		namespace, name, _ := strings.Cut(o, "/")
		parts = append(parts, entryOf(t, namespace, name,
			fmt.Sprintf(`{"hosts": ["%s.%s.test"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}], "resolution": "DNS"}`, name, namespace)))
	}
	return modelOf(t, "REGISTRY_ONLY", parts...)
}

// TestRejectedObject_Sidecars has an object that all sidecars reject: it is omitted from
// all of them, and all else is applied; a new sidecar gets what is accepted first.
func TestRejectedObject_Sidecars(t *testing.T) {
	s := serve(t)
	const bad = "bad.evil.test"
	s.Publish(declares(t, "shop/a", "bank/b"))
	var all []*simulated
	for i := range 12 {
		all = append(all, s.simulate(t, fmt.Sprintf("namespace-%d/pod-%d", i%4, i), bad))
	}
	every := func(what string, holds func(*simulated) bool) {
		t.Helper()
		kit.EventuallyTrue(t, what, func() bool { return !slices.ContainsFunc(all, func(c *simulated) bool { return !holds(c) }) })
	}
	every("the first configuration", func(c *simulated) bool { return c.routes("a.shop.test") && c.routes("b.bank.test") })
	s.Publish(declares(t, "shop/a", "bank/b", "evil/bad", "shop/new"))
	every("the newest configuration of others", func(c *simulated) bool { return c.routes("new.shop.test") && c.routes("b.bank.test") })
	s.wantJudgment(t, "rejected ServiceEntry evil/bad no such thing as "+bad)

	late := s.simulate(t, "namespace-9/late", bad)
	all = append(all, late)
	every("the configuration of a new sidecar", func(c *simulated) bool { return c.routes("new.shop.test") })
	if !bytes.Contains(late.first, []byte("new.shop.test")) || bytes.Contains(late.first, []byte(bad)) {
		t.Error("the first routes of a new sidecar are not those that others have accepted")
	}
	s.Publish(declares(t, "shop/a", "evil/bad", "shop/newer"))
	every("a change of others", func(c *simulated) bool { return c.routes("newer.shop.test") && !c.routes("b.bank.test") })
	s.Publish(declares(t, "shop/a"))
	s.wantJudgment(t)
}

// TestRejectedObject_Start: a sidecar that is the first to reject an object has routes
// at once: first those without any object, then all that it accepts.
func TestRejectedObject_Start(t *testing.T) {
	s := serve(t)
	s.Publish(declares(t, "shop/a", "evil/bad", "bank/b"))
	c := s.simulate(t, "shop/first", "bad.evil.test")
	kit.EventuallyTrue(t, "the routes that are accepted", func() bool { return c.routes("a.shop.test") && c.routes("b.bank.test") })
	if !bytes.Contains(c.start, []byte(egress.RouteBlockAll)) || bytes.Contains(c.start, []byte(".test")) {
		t.Error("its first routes are not the policy alone")
	}
	s.wantJudgment(t, "rejected ServiceEntry evil/bad no such thing as bad.evil.test")
}

// TestRejectedObject_Lies has sidecars that reject what is right. Nobody else loses it,
// and its author gets no rejection.
func TestRejectedObject_Lies(t *testing.T) {
	const victim, disputed = "victim.shop.test", "disputed ServiceEntry shop/victim no such thing as victim.shop.test"
	for name, c := range map[string]struct {
		liars []string // namespaces
		lies  []string
		want  []string
	}{
		"about a neighbor":         {[]string{"evil"}, []string{victim}, []string{disputed}},
		"by several pods":          {[]string{"evil", "evil", "evil", "evil", "evil"}, []string{victim}, []string{disputed}},
		"about everything":         {[]string{"evil"}, []string{""}, nil},
		"about objects and policy": {[]string{"evil"}, []string{victim, egress.RouteBlockAll}, nil},
		"about all objects": {[]string{"evil"}, []string{".test"}, []string{
			"disputed ServiceEntry bank/b no such thing as .test", "rejected ServiceEntry evil/own no such thing as .test",
			"disputed ServiceEntry shop/a no such thing as .test", "disputed ServiceEntry shop/victim no such thing as .test",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t)
			s.Publish(declares(t, "shop/a"))
			var honest []*simulated
			for _, pod := range []string{"shop/1", "shop/2", "bank/1"} {
				honest = append(honest, s.simulate(t, pod))
			}
			for i, namespace := range c.liars {
				s.simulate(t, fmt.Sprintf("%s/liar-%d", namespace, i), c.lies...)
			}
			s.Publish(declares(t, "shop/a", "shop/victim", "bank/b", "evil/own"))
			have := func() bool {
				return !slices.ContainsFunc(honest, func(c *simulated) bool { return !c.routes(victim) || !c.routes("b.bank.test") })
			}
			kit.EventuallyTrue(t, "others have it", have)
			s.wantJudgment(t, c.want...)
			time.Sleep(judgeDelay + judgeDelay/2)
			if got := s.judgment(); !slices.Equal(got, c.want) || !have() {
				t.Errorf("judged %q", got)
			}
			late := s.simulate(t, "gym/late")
			kit.EventuallyTrue(t, "a new sidecar has it", func() bool { return late.routes(victim) })
			if nacks, _ := late.counted(); nacks > 0 || !bytes.Contains(late.first, []byte(victim)) {
				t.Error("a new sidecar did not get it at first")
			}
		})
	}
}

// TestRejectedObject_Published: a model that is published during a search has another object
// that the sidecar rejects. It is found, too, by a search of its own.
func TestRejectedObject_Published(t *testing.T) {
	s := serve(t)
	s.Publish(declares(t, "evil/first"))
	answer, release := context.WithCancel(t.Context())
	c := &simulated{rejects: []string{".evil.test"}, asked: make(chan struct{}), answer: answer.Done()}
	s.run(t, "shop/1", c)
	<-c.asked
	s.Publish(declares(t, "evil/first", "evil/second", "shop/new"))
	kit.EventuallyTrue(t, "the second model is sent during the search", func() bool {
		all := s.Status()
		return len(all) == 1 && all[0].Generation == s.current.Load().number
	})
	release()
	kit.EventuallyTrue(t, "what it accepts of the second model", func() bool { return c.routes("new.shop.test") })
	s.wantJudgment(t, "rejected ServiceEntry evil/first no such thing as .evil.test", "rejected ServiceEntry evil/second no such thing as .evil.test")
}

// TestRejectedObject_Silence: a sidecar that does not answer trials does not keep others
// from theirs.
func TestRejectedObject_Silence(t *testing.T) {
	s := serve(t)
	const bad = "bad.evil.test"
	s.Publish(declares(t, "shop/a"))
	quiet := s.simulate(t, "shop/quiet", bad)
	quiet.silent = true
	honest := s.simulate(t, "shop/honest", bad)
	kit.EventuallyTrue(t, "both are connected", func() bool { return quiet.routes("a.shop.test") && honest.routes("a.shop.test") })
	s.Publish(declares(t, "shop/a", "evil/bad", "shop/new"))
	took := kit.EventuallyTrue(t, "the newest configuration", func() bool { return honest.routes("new.shop.test") })
	t.Logf("after %s", took)
	kit.EventuallyTrue(t, "the search of the other ends", func() bool {
		s.searches.mu.Lock()
		defer s.searches.mu.Unlock()
		return len(s.searches.running) == 0
	})
}

// BenchmarkRejectedObject has one object among many that all sidecars reject: the time
// until all have the newest object of another namespace.
//
//	go test ./egress/xds -run ^$ -bench RejectedObject -benchtime 1x
func BenchmarkRejectedObject(b *testing.B) {
	const sidecars, objects = 1000, 1000
	s := serve(b)
	var others []string
	for i := range objects {
		others = append(others, fmt.Sprintf("namespace-%d/n%d", i%50, i))
	}
	s.Publish(declares(b, others...))
	var all []*simulated
	for i := range sidecars {
		all = append(all, s.simulate(b, fmt.Sprintf("namespace-%d/pod-%d", i%50, i), "bad.evil.test"))
	}
	wait := func(host string) {
		kit.EventuallyTrue(b, host, func() bool { return !slices.ContainsFunc(all, func(c *simulated) bool { return !c.routes(host) }) })
	}
	wait("n0.namespace-0.test")
	for i := 0; b.Loop(); i++ {
		plain, bad := declares(b, append(others, fmt.Sprintf("shop/plain%d", i))...), declares(b, append(others, "evil/bad", fmt.Sprintf("shop/new%d", i))...)
		start := time.Now()
		s.Publish(plain)
		wait(fmt.Sprintf("plain%d.shop.test", i))
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "without-ms")
		trials, bytes := totals(all)
		start = time.Now()
		s.Publish(bad)
		wait(fmt.Sprintf("new%d.shop.test", i))
		b.ReportMetric(float64(time.Since(start).Milliseconds()), "with-ms")
		moreTrials, moreBytes := totals(all)
		b.ReportMetric(float64(moreTrials-trials), "trials")
		b.ReportMetric(float64(moreBytes-bytes)/sidecars/1024, "KB/sidecar")
	}
	b.ReportMetric(peakMB(b), "peak-MB")
}

func totals(all []*simulated) (trials, bytes int) {
	for _, c := range all {
		c.mu.Lock()
		trials, bytes = trials+c.trials, bytes+c.bytes
		c.mu.Unlock()
	}
	return trials, bytes
}
