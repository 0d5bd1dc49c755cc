package xds

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"github.com/outrider-mesh/outrider/egress/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
)

// memoryClientsEnv makes TestMemoryClients the clients of another process's server.
const memoryClientsEnv = "OUTRIDER_XDS_MEMORY_CLIENTS"

// TestMemoryClients is a process of clients: their memory must not count as the server's.
func TestMemoryClients(t *testing.T) {
	address := os.Getenv(memoryClientsEnv)
	if address == "" {
		return // not started by the benchmark: nothing to test, nothing skipped
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var kind string
		var n, names int
		_, err := fmt.Sscan(in.Text(), &kind, &n, &names)
		kit.Must(t, err)
		for i := range n {
			if kind == "connections" {
				_, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
				kit.Must(t, err)
				continue
			}
			sidecar(t, address, fmt.Sprintf("ns-%d/pod-%d-%d", i%10, i, names), names)
		}
		fmt.Println("ready")
	}
}

// sidecar is a stream that has its resources, with a number of hosts in use.
func sidecar(t *testing.T, address, pod string, names int) {
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})))
	kit.Must(t, err)
	s, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(
		metadata.AppendToOutgoingContext(context.Background(), "authorization", "Bearer "+pod))
	kit.Must(t, err)
	c := client{t, s}
	c.subscribe(envoy.TypeCluster)
	c.want(wildcard)
	c.subscribe(envoy.TypeListener)
	c.want(listeners)
	c.subscribe(envoy.TypeRoute, "80", "443", "catchall")
	c.want("RouteConfiguration +443 +80 +catchall")
	if names == 0 {
		return
	}
	c.subscribe(envoy.TypeCluster, namesOf(names, "outbound|443||service-%d.some.example.com")...)
	r, err := c.Recv()
	kit.Must(t, err)
	kit.Must(t, c.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: envoy.TypeCluster, ResponseNonce: r.Nonce}))
}

// BenchmarkMemory prints the memory of the server for a stream, for a name that it is
// subscribed to, and for a connection without an accepted stream.
func BenchmarkMemory(b *testing.B) {
	const n, names = 500, 150
	s := serve(b)
	s.connections.timeout = 1 << 40
	s.Publish(modelOf(b, "ALLOW_ANY"))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	child := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestMemoryClients$")
	child.Env = append(os.Environ(), memoryClientsEnv+"="+s.address)
	child.Stderr = os.Stderr
	stdin, err := child.StdinPipe()
	kit.Must(b, err)
	stdout, err := child.StdoutPipe()
	kit.Must(b, err)
	kit.Must(b, child.Start())
	out := bufio.NewReader(stdout)
	measure := func(kind string, names int) float64 {
		before := used()
		_, err := fmt.Fprintf(stdin, "%s %d %d\n", kind, n, names)
		kit.Must(b, err)
		if line, err := out.ReadString('\n'); err != nil || line != "ready\n" {
			rest, _ := io.ReadAll(out)
			b.Fatalf("%s%s%v", line, rest, err)
		}
		return float64(used()-before) / n
	}
	for b.Loop() {
		stream := measure("streams", 0)
		b.ReportMetric(stream/1024, "KiB/stream")
		b.ReportMetric((measure("streams", names)-stream)/names, "B/name")
		b.ReportMetric(measure("connections", 0)/1024, "KiB/connection")
	}
	cancel()
	_ = child.Wait()
}

// used is the memory in use after a collection, stacks included.
func used() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapInuse + m.StackInuse)
}
