package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	_ "net/http/pprof" // of the test binary as the program
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kube"
)

// BenchmarkReportLoad has 1,000 sidecars in 100 namespaces report 50 connections a second
// each, for -benchtime seconds, to the program as Deployment outrider-xds runs it, on a
// real API server. It prints the processor time and the anonymous memory of the program;
// then each connection is to another host, of which there are 10^6. The sidecars share
// the machine's processors with it.
//
//	go test ./cmd/outrider -run ^$ -bench ReportLoad -benchtime 180x
func BenchmarkReportLoad(b *testing.B) {
	const namespaces, each, perSecond = 100, 10, 50
	w := newLoadWorld(b, kube.Require(b))
	pods := w.addPods(namespaces, each)
	w.addEntries(100, namespaces)
	kit.Must(b, w.setMesh("load"))
	plane := startLoad(b, w, loadProgram(b))
	time.Sleep(5 * time.Second)
	b.Logf("no sidecar: %d MiB anonymous", plane.anonymous(b))
	f := newLoadFleet(w, plane.xds)
	var took time.Duration
	most := plane.mostAnonymous(b, func() {
		took = f.connect(pods)
		time.Sleep(2 * loadFlush) // all have sent counts
	})
	b.Logf("%d sidecars are connected after %s; %d MiB anonymous at most until they have sent counts", len(pods), took.Round(time.Millisecond), most)
	b.Logf("idle: %d MiB anonymous, %.0fm CPU", plane.anonymous(b), plane.cpuFor(b, loadFlush))
	for b.Loop() { // what is measured is below
	}
	for _, l := range []loadReport{{perSecond, 50, false, loadStart}, {perSecond, 50, true, loadStart}, {perSecond, 0, false, loadStart}} {
		ctx, stop := context.WithCancel(b.Context())
		f.report(ctx, l)
		b.Log("the beginning of: " + plane.reportLoad(b, f, l, loadStart+loadFlush)) // all are connected, and count
		b.Log(plane.reportLoad(b, f, l, time.Duration(max(b.N, 5))*time.Second))
		stop()
		time.Sleep(3 * time.Second)
	}
	b.ReportMetric(0, "ns/op")
}

// reportLoad is the text of what reports take for a while.
func (s *loadServer) reportLoad(b *testing.B, f *loadFleet, l loadReport, d time.Duration) string {
	b.Helper()
	counted := s.metric(b, "outrider_egress_reported_total")
	before, began, cpu := f.entries.Load(), time.Now(), s.cpu(b)
	messages, countedThere := f.messages.Load(), f.counted.Load()
	var memory []int
	most := s.mostAnonymous(b, func() {
		for time.Since(began) < d {
			time.Sleep(time.Second)
			memory = append(memory, s.anonymous(b))
		}
	})
	seconds := time.Since(began).Seconds()
	return fmt.Sprintf("%s: %.0f entries/s in %.0f messages/s are sent and %.0f connections/s are counted by sidecars, %.0f connections/s are received, %.0fm CPU, anonymous memory %d MiB at first, %d in the middle, %d at the end, %d at most, %.0f writes; %d connections of worker threads, %.0f sidecars have counters, %d streams of reports were opened again",
		l, float64(f.entries.Load()-before)/seconds, float64(f.messages.Load()-messages)/seconds, float64(f.counted.Load()-countedThere)/seconds,
		(s.metric(b, "outrider_egress_reported_total")-counted)/seconds, (s.cpu(b)-cpu)*1000/seconds,
		memory[0], memory[len(memory)/2], memory[len(memory)-1], most, s.metric(b, "outrider_egress_report_writes_total"), f.reporters.Load(), s.metric(b, `outrider_xds_reporting{mode="counters"}`), f.reconnects.Load())
}

// loadServer is the control plane of a simulation.
type loadServer struct {
	*served
	metrics string
}

// startLoad starts the program, with limits for more sidecars than the default ones are
// for.
func startLoad(t testing.TB, w *loadWorld, program loadBinary) *loadServer {
	t.Helper()
	metrics := kit.FreeAddress(t)
	args := append([]string{"--metrics-address", metrics}, loadLimits...)
	return &loadServer{startProgram(t, program, w.server, "xds", args...), metrics}
}

var loadLimits = []string{"--xds-max-streams", "12000", "--xds-max-bytes", strconv.Itoa(512 << 20), "--xds-max-connections", "4000"}

// metric is the sum of a metric over its labels, or one series.
func (s *loadServer) metric(t testing.TB, name string) (sum float64) {
	t.Helper()
	r, err := http.Get("http://" + s.metrics + "/metrics")
	kit.Must(t, err)
	defer func() { _ = r.Body.Close() }()
	text, err := io.ReadAll(r.Body)
	kit.Must(t, err)
	for line := range strings.Lines(string(text)) {
		of, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if series, _, _ := strings.Cut(of, "{"); series == name || of == name {
			if _, after, has := strings.Cut(value, "} "); has {
				value = after
			}
			n, err := strconv.ParseFloat(value[strings.LastIndexByte(value, ' ')+1:], 64)
			kit.Must(t, err)
			sum += n
		}
	}
	return sum
}

// profileEnv is the address of the profiles of the program, where it is set: then it is
// the test binary that runs.
const profileEnv = "OUTRIDER_LOAD_PROFILE"

// loadProgram is the program as "make build" builds it.
func loadProgram(b *testing.B) loadBinary {
	b.Helper()
	if address := os.Getenv(profileEnv); address != "" {
		return loadBinary{os.Args[0], []string{programEnv + "=1", profileEnv + "=" + address}}
	}
	return loadBinary{path: buildProgram(b)}
}

// serveProfiles serves the profiles of the test binary as the program.
func serveProfiles() {
	if address := os.Getenv(profileEnv); address != "" {
		go func() { fmt.Fprintln(os.Stderr, http.ListenAndServe(address, nil)) }()
	}
}
