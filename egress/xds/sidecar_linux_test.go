package xds

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outrider-mesh/outrider/test/kit"
)

// BenchmarkSidecar prints what a real sidecar takes, at several rates of requests, with few
// and many hosts in use, and what its CPU limit does to requests. The requests and limits of
// package config are chosen by it.
//
//	make bench-sidecar
func BenchmarkSidecar(b *testing.B) {
	for _, hosts := range []int{5, 100} {
		for _, limit := range []int{0, 100} {
			b.Run(fmt.Sprintf("hosts=%d/limit=%dm", hosts, limit), func(b *testing.B) { measureSidecar(b, hosts, limit) })
		}
	}
}

// measured is how long each rate is measured.
const measured = 5 * time.Second

// measureSidecar prints a row for each rate. A limit is in thousandths of a processor; 0 is
// none.
func measureSidecar(b *testing.B, hosts, limit int) {
	start := time.Now()
	m := newMesh(b, genNames(hosts))
	if limit > 0 {
		m.limitCPU(b, limit)
	}
	m.server.Publish(modelOf(b, "ALLOW_ANY", many(b, hosts)))
	m.settled()
	b.Logf("hosts %d, limit %dm: ready %s after its start, for which it took %.0f ms of a processor",
		hosts, limit, time.Since(start).Round(10*time.Millisecond), m.cpu(b)*1000)
	clients := make([]*kept, hosts)
	names := genNames(hosts)
	for i := range clients {
		host := fmt.Sprintf("host-%d.gen.test", i)
		clients[i] = m.keep("HTTP", "http", host, names[host], "80")
		m.request(b, clients[i].client, host) // the first waits for its cluster
	}
	for _, rate := range []int{0, 10, 200, 1000} {
		before, began := m.cpu(b), time.Now()
		latencies := sendAt(b, clients, rate)
		time.Sleep(time.Until(began.Add(measured)))
		cpu := (m.cpu(b) - before) * 1000 / time.Since(began).Seconds()
		anonymous, resident := m.residentMemory(b)
		row := fmt.Sprintf("hosts %3d, limit %3dm, %4d requests/s: %4.0fm CPU, %d MiB anonymous, %d MiB resident", hosts, limit, rate, cpu, anonymous, resident)
		if rate > 0 {
			row += fmt.Sprintf(", p50 %s, p99 %s", percentile(latencies, 50), percentile(latencies, 99))
		}
		b.Log(row)
	}
	for b.Loop() { // what is measured is above
	}
}

// sendAt sends requests at a rate, by four senders, and returns how long each took since
// it was due.
func sendAt(b *testing.B, clients []*kept, rate int) (latencies []time.Duration) {
	const senders = 4
	if rate == 0 {
		return nil
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	began := time.Now()
	for s := range senders {
		wg.Go(func() {
			for n := s; ; n += senders {
				due := began.Add(time.Duration(n) * time.Second / time.Duration(rate))
				if due.Sub(began) > measured {
					return
				}
				time.Sleep(time.Until(due))
				k := clients[(n/senders*senders+s)%len(clients)]
				resp, err := k.client.Get("http://" + k.host + "/")
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
				if resp.StatusCode != http.StatusOK {
					b.Errorf("%s: status %d", k.host, resp.StatusCode)
				}
				mu.Lock()
				latencies = append(latencies, time.Since(due))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return latencies
}

func percentile(d []time.Duration, percent int) time.Duration {
	slices.Sort(d)
	return d[min(len(d)-1, len(d)*percent/100)].Round(10 * time.Microsecond)
}

// residentMemory is the sidecar's anonymous and resident memory, in MiB.
func (m *mesh) residentMemory(b *testing.B) (anonymous, resident int) {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.pid))
	kit.Must(b, err)
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		kb, err := strconv.Atoi(f[1])
		switch {
		case err != nil:
		case f[0] == "RssAnon:":
			anonymous = kb >> 10
		case f[0] == "VmRSS:":
			resident = kb >> 10
		}
	}
	return anonymous, resident
}

// limitCPU limits the sidecar as the kubelet does.
func (m *mesh) limitCPU(b *testing.B, thousandths int) {
	b.Helper()
	dir, file, value := "/sys/fs/cgroup/cpu", "cpu.cfs_quota_us", strconv.Itoa(thousandths*100)
	if _, err := os.Stat("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		dir, file, value = "/sys/fs/cgroup", "cpu.max", value+" 100000"
	}
	dir = filepath.Join(dir, fmt.Sprintf("outrider-bench-%d", m.pid))
	kit.Must(b, os.Mkdir(dir, 0o755))
	pid := []byte(strconv.Itoa(m.pid))
	b.Cleanup(func() {
		_ = os.WriteFile(filepath.Join(filepath.Dir(dir), "cgroup.procs"), pid, 0o644)
		kit.Must(b, os.Remove(dir))
	})
	kit.Must(b, os.WriteFile(filepath.Join(dir, file), []byte(value), 0o644))
	kit.Must(b, os.WriteFile(filepath.Join(dir, "cgroup.procs"), pid, 0o644))
}
