package world

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"
)

// Ports of the two plain TCP services.
const (
	EchoPort   = 9000
	BannerPort = 9001
)

// Ports of HTTP and HTTPS beside 80 and 443.
const (
	HTTPPort  = 8080
	HTTPSPort = 8443
)

// Banner is what the server-first service sends before it has received anything.
const Banner = "220 tcp-banner.example.com ready\r\n"

// idle ends an idle plain TCP connection.
const idle = 5 * time.Minute

// drain is what requests under way get when the internet ends.
const drain = 5 * time.Second

// Serve runs the internet's servers in the current network namespace until ctx
// ends or one of them fails. It calls ready, which may be nil, once all of them
// listen. Requests are logged to out, a line each.
func Serve(ctx context.Context, ca *CA, out io.Writer, ready func()) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := &world{log: log.New(out, "", log.LstdFlags|log.Lmicroseconds), ca: ca}
	plain, secure := w.server(), w.server()
	secure.TLSConfig = &tls.Config{GetCertificate: w.ca.certificate, MinVersion: tls.VersionTLS12}
	defer w.close(plain, secure)
	for _, s := range []struct {
		port  int
		serve func(net.Listener) error
	}{
		{53, w.dnsTCP},
		{80, plain.Serve},
		{443, func(l net.Listener) error { return secure.ServeTLS(l, "", "") }},
		{HTTPPort, plain.Serve},
		{HTTPSPort, func(l net.Listener) error { return secure.ServeTLS(l, "", "") }},
		{EchoPort, each(w.echo)},
		{BannerPort, each(w.banner)},
	} {
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", s.port))
		if err != nil {
			return fmt.Errorf("serve the internet: %w", err)
		}
		w.closers = append(w.closers, l)
		w.running.Go(func() { cancel(fmt.Errorf("serve the internet on port %d: %w", s.port, s.serve(l))) })
	}
	udp, err := net.ListenPacket("udp", ":53")
	if err != nil {
		return fmt.Errorf("serve the internet: %w", err)
	}
	w.closers = append(w.closers, udp)
	w.running.Go(func() { cancel(fmt.Errorf("serve the internet on UDP port 53: %w", w.dnsUDP(udp))) })

	if ready != nil {
		ready()
	}
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

type world struct {
	log     *log.Logger
	ca      *CA
	closers []io.Closer
	running sync.WaitGroup
}

// close ends the servers: requests under way are answered, as long as they take
// no more than drain.
func (w *world) close(servers ...*http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	var ended sync.WaitGroup
	for _, s := range servers {
		s.SetKeepAlivesEnabled(false) // also sends "Connection: close" in what is still answered
		ended.Go(func() { _ = s.Shutdown(ctx) })
	}
	for _, c := range w.closers {
		_ = c.Close()
	}
	ended.Wait()
	w.running.Wait()
}

func (w *world) server() *http.Server {
	return &http.Server{
		Handler: w.logged(http.HandlerFunc(w.site)), ErrorLog: w.log,
		ReadHeaderTimeout: time.Minute, IdleTimeout: idle,
	}
}

// each serves every connection of a listener with f, then closes it.
func each(f func(net.Conn)) func(net.Listener) error {
	return func(l net.Listener) error {
		for {
			c, err := l.Accept()
			if err != nil {
				return err
			}
			go func() {
				defer func() { _ = c.Close() }()
				f(c)
			}()
		}
	}
}

func (w *world) echo(c net.Conn) {
	w.log.Printf("tcp-echo from=%s to=%s", c.RemoteAddr(), c.LocalAddr())
	_ = c.SetDeadline(time.Now().Add(idle))
	for lines := bufio.NewScanner(c); lines.Scan(); {
		if _, err := fmt.Fprintf(c, "hello %s\n", lines.Text()); err != nil {
			return
		}
	}
}

func (w *world) banner(c net.Conn) {
	w.log.Printf("tcp-banner from=%s to=%s", c.RemoteAddr(), c.LocalAddr())
	_ = c.SetDeadline(time.Now().Add(idle))
	if _, err := io.WriteString(c, Banner); err == nil {
		_, _ = io.Copy(c, c)
	}
}
