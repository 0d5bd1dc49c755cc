package webhook

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/outrider-mesh/outrider/config"
	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/kit"
	"github.com/outrider-mesh/outrider/test/kit/testca"
	"github.com/outrider-mesh/outrider/webhook/registration"
)

// childEnv makes the test binary one of the servers of childServer, and childAddress is
// its address.
const (
	childEnv     = "OUTRIDER_WEBHOOK_TEST_SERVER"
	childAddress = "OUTRIDER_WEBHOOK_TEST_ADDRESS"
)

func TestMain(m *testing.M) {
	if kind := os.Getenv(childEnv); kind != "" {
		childServer(kind, os.Getenv(childAddress))
		return
	}
	os.Exit(m.Run())
}

// childServer serves until standard input ends. The bare server has the same TLS
// configuration, and reads a request and writes as many bytes as the other.
func childServer(kind, address string) {
	ca, err := testca.New("test", time.Now().Add(-time.Hour), 24*time.Hour)
	exitOn(err)
	leaf, err := ca.Issue("127.0.0.1")
	exitOn(err)
	conf := &tls.Config{Certificates: []tls.Certificate{leaf}, NextProtos: []string{"http/1.1"}, SessionTicketsDisabled: true}
	processor := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprint(w, processorTime()) })
	if kind == "bare" {
		mux := http.NewServeMux()
		mux.HandleFunc(registration.InjectPath, bareHandler)
		mux.Handle("/processor-time", processor)
		listener, err := net.Listen("tcp", address)
		exitOn(err)
		server := &http.Server{Handler: mux, TLSConfig: conf}
		go func() { exitOn(server.ServeTLS(listener, "", "")) }()
	} else {
		f := newFixture(&testing.B{}, compiled(&testing.B{}, ""))
		null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
		exitOn(err)
		f.options.ConfigMaps = configMaps()
		f.options.Objects = func() (egress.Input, bool) {
			return egress.Input{Mesh: egress.CompileMesh(config.Default().Mesh)}, true
		}
		f.options.Log = logr.FromSlogHandler(slog.NewJSONHandler(null, nil))
		server, err := NewServer(ServerOptions{Address: address, TLS: conf, Metrics: f.options.Metrics, Log: logr.Discard()})
		exitOn(err)
		for path, h := range Handlers(f.options) {
			server.Register(path, h)
		}
		server.Register("/processor-time", processor)
		server.Register("/metric/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprint(w, f.metric(strings.TrimPrefix(r.URL.Path, "/metric/")))
		}))
		go func() { exitOn(server.Start(context.Background())) }()
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
}

// processorTime is the processor time of this process, user and system, in microseconds.
func processorTime() int64 {
	var u syscall.Rusage
	exitOn(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return (u.Utime.Nano() + u.Stime.Nano()) / 1000
}

// bareHandler reads the request and writes as many bytes as its query reports.
func bareHandler(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	n, err := strconv.Atoi(r.URL.Query().Get("bytes"))
	exitOn(err)
	writeJSON(w, make([]byte, n))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// child is a server process with its client.
type child struct {
	address string
	process *os.Process
	client  *http.Client
}

func startChild(tb testing.TB, kind string, env ...string) *child {
	tb.Helper()
	address := kit.FreeAddress(tb)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), childEnv+"="+kind, childAddress+"="+address), env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	kit.Must(tb, errors.Join(err, cmd.Start()))
	tb.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	// As the API server: HTTP/1.1 with connections that are kept.
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 25}
	tb.Cleanup(transport.CloseIdleConnections)
	c := &child{address, cmd.Process, &http.Client{Transport: transport, Timeout: 10 * time.Second}}
	kit.Eventually(tb, "the server answers", func() error {
		_, err := c.do("/processor-time", nil)
		return err
	})
	return c
}

// do is a request with a body, and its response.
func (c *child) do(path string, body []byte) ([]byte, error) {
	resp, err := c.client.Post("https://"+c.address+path, "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	out, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %.300s", resp.StatusCode, out)
	}
	return out, err
}

// number is the number that a path of the child returns.
func (c *child) number(tb testing.TB, path string) float64 {
	tb.Helper()
	text, err := c.do(path, nil)
	kit.Must(tb, err)
	n, err := strconv.ParseFloat(string(text), 64)
	kit.Must(tb, err)
	return n
}

// peakMemory is the largest resident size that the process had.
func (c *child) peakMemory(tb testing.TB) int {
	tb.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.process.Pid))
	kit.Must(tb, err)
	scanner := bufio.NewScanner(bytes.NewReader(text))
	for scanner.Scan() {
		if kb, ok := strings.CutPrefix(scanner.Text(), "VmHWM:"); ok {
			n, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(kb, "kB")))
			kit.Must(tb, err)
			return n << 10
		}
	}
	tb.Fatal("no VmHWM")
	return 0
}
