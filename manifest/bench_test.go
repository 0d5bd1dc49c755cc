package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	yaml4 "go.yaml.in/yaml/v4"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/inject"
)

// deployments is a stream of different Deployments.
func deployments(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		doc := strings.Replace(sleepDeployment, "name: sleep\n", fmt.Sprintf("name: sleep-%d\n", i), 1)
		b.WriteString("---\n" + strings.Replace(doc, `value: "1"`, fmt.Sprintf("value: %q", fmt.Sprint(i)), 1))
	}
	return b.Bytes()
}

func realInjector(tb testing.TB) *inject.Injector {
	tb.Helper()
	injector, problems := inject.Compile(config.Default(), inject.Environment{})
	if injector == nil {
		tb.Fatal(problems.Err())
	}
	return injector
}

// BenchmarkThousandDeployments reports the time for 1,000 Deployments in one
// stream, and how many times the floor that is: parsing every document of the
// same stream once with yaml v4.
func BenchmarkThousandDeployments(b *testing.B) {
	in := deployments(1000)
	injector := realInjector(b)
	floor := func() time.Duration {
		best := time.Hour
		for range 3 {
			start := time.Now()
			loader, err := yaml4.NewLoader(bytes.NewReader(in))
			for err == nil {
				var n yaml4.Node
				err = loader.Load(&n)
			}
			if !errors.Is(err, io.EOF) {
				b.Fatal(err)
			}
			best = min(best, time.Since(start))
		}
		return best
	}()
	for _, workers := range []int{1, 2} {
		b.Run(fmt.Sprintf("workers=%d", workers), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				report, err := Transform(bytes.NewReader(in), io.Discard, Options{Injector: injector, File: "f", Workers: workers})
				if err != nil || len(report.Objects) != 1000 || !report.Objects[999].Changed {
					b.Fatal(err, len(report.Objects))
				}
			}
			perOp := b.Elapsed() / time.Duration(b.N)
			b.ReportMetric(float64(perOp)/float64(floor), "x-floor")
			b.ReportMetric(float64(floor.Microseconds())/1000, "floor-ms")
		})
	}
}
