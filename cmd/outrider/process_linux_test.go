package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	yaml4 "go.yaml.in/yaml/v4"
)

// BenchmarkKubeInject runs the program as "make build" makes it on files of
// different Deployments: 1,000, 10,000 and 100,000. It reports medians of the
// whole process: its time, the time for 1,000 Deployments, its peak of resident
// memory, and how many times the floor it took that is measured in between,
// which is to read every document of the file once with yaml v4, all in one
// process.
func BenchmarkKubeInject(b *testing.B) {
	dir := b.TempDir()
	program := filepath.Join(dir, "outrider")
	build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	for _, size := range []struct{ documents, runs int }{{1000, 11}, {10_000, 5}, {100_000, 3}} {
		in := filepath.Join(dir, fmt.Sprintf("%d.yaml", size.documents))
		writeDeployments(b, in, size.documents)
		b.Run(fmt.Sprintf("documents=%d", size.documents), func(b *testing.B) {
			for b.Loop() {
				var took, floor, peak []float64
				for range size.runs {
					floor = append(floor, readOnce(b, in))
					seconds, megabytes := runProgram(b, program, in, filepath.Join(dir, "out.yaml"))
					took, peak = append(took, seconds), append(peak, megabytes)
				}
				b.ReportMetric(median(took), "s")
				b.ReportMetric(median(took)/float64(size.documents)*1000, "s/1000")
				b.ReportMetric(median(peak), "MB-peak")
				b.ReportMetric(median(floor), "floor-s")
				b.ReportMetric(median(took)/median(floor), "x-floor")
			}
		})
	}
}

func writeDeployments(b *testing.B, path string, n int) {
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for i := range n {
		text := strings.Replace(deployment("a: b"), "name: sleep #", fmt.Sprintf("name: sleep-%d #", i), 1)
		if _, err := w.WriteString("---\n" + text); err != nil {
			b.Fatal(err)
		}
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		b.Fatal(err)
	}
}

func readOnce(b *testing.B, path string) (seconds float64) {
	f, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	start := time.Now()
	loader, err := yaml4.NewLoader(bufio.NewReader(f))
	for err == nil {
		var n yaml4.Node
		err = loader.Load(&n)
	}
	if !errors.Is(err, io.EOF) {
		b.Fatal(err)
	}
	return time.Since(start).Seconds()
}

func runProgram(b *testing.B, program, in, out string) (seconds, megabytes float64) {
	var text bytes.Buffer
	cmd := exec.Command(program, "kube-inject", "-f", in, "-o", out)
	cmd.Stdout, cmd.Stderr = &text, &text
	start := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	done := make(chan float64)
	ended := make(chan struct{})
	go func() { done <- peakOf(cmd.Process.Pid, ended) }()
	err := cmd.Wait()
	seconds = time.Since(start).Seconds()
	close(ended)
	if megabytes = <-done; err != nil || text.Len() > 0 {
		b.Fatalf("%v\n%.1000s", err, text.String())
	}
	return seconds, megabytes
}

// peakOf follows the peak of a process's resident memory. What wait reports is
// no use here: it counts what this process had when it forked.
func peakOf(pid int, ended <-chan struct{}) (megabytes float64) {
	for {
		if status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)); err == nil {
			if _, rest, ok := strings.Cut(string(status), "VmHWM:"); ok {
				var kb float64
				if _, err := fmt.Sscan(rest, &kb); err == nil {
					megabytes = max(megabytes, kb/1024)
				}
			}
		}
		select {
		case <-ended:
			return megabytes
		case <-time.After(time.Millisecond):
		}
	}
}

func median(of []float64) float64 {
	of = slices.Sorted(slices.Values(of))
	return of[len(of)/2]
}
