package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkValidate validates 1,000 and 5,000 objects: four of ten are ServiceEntries, three
// VirtualServices and three Deployments, and one of ten has an error.
func BenchmarkValidate(b *testing.B) {
	for _, n := range []int{1000, 5000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			file := filepath.Join(b.TempDir(), "all.yaml")
			if err := os.WriteFile(file, []byte(manyObjects(n)), 0o600); err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				var out strings.Builder
				if code := run(context.Background(), []string{"outrider", "validate", "-f", file}, stdio{strings.NewReader(""), &out, io.Discard}); code != exitError || !strings.Contains(out.String(), fmt.Sprintf("%d objects in 1 file: %d errors, ", n, n/10)) {
					b.Fatalf("%d: %.500s", code, out.String())
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()/float64(b.N), "s/run")
		})
	}
}

func manyObjects(n int) string {
	var b strings.Builder
	for i := range n {
		host, namespace := fmt.Sprintf("h%d.example", i/10), fmt.Sprintf("ns%d", i%50)
		b.WriteString("---\n")
		switch i % 10 {
		case 0:
			fmt.Fprintf(&b, "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e%d, namespace: %s}\nspec:\n  hosts: [%s]\n  ports:\n  - {number: 0, name: http, protocol: HTTP}\n  resolution: DNS\n", i, namespace, host)
		case 1, 2, 3:
			fmt.Fprintf(&b, "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e%d, namespace: %s}\nspec:\n  hosts: [e%d.%s]\n  ports:\n  - {number: 80, name: http, protocol: HTTP}\n  resolution: DNS\n", i, namespace, i, host)
		case 4, 5, 6:
			fmt.Fprintf(&b, "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v%d, namespace: %s}\nspec:\n  hosts: [e%d.%s]\n  http:\n  - timeout: 3s\n    route:\n    - destination: {host: e%d.%s}\n", i, namespace, i-3, host, i-3, host)
		default:
			fmt.Fprintf(&b, "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d%d, namespace: %s}\nspec:\n  template:\n    metadata:\n      annotations: {traffic.sidecar.istio.io/excludeOutboundIPRanges: 10.%d.0.0/16}\n    spec:\n      containers:\n      - {name: a, image: a, ports: [{containerPort: 8080}]}\n", i, namespace, i%200)
		}
	}
	return b.String()
}
