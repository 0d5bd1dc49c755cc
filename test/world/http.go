package world

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	maxBody  = 1 << 20          // bytes of a request that /anything gives back
	maxDelay = 10 * time.Second // the most that /delay waits, as httpbin does
)

// redirecting are the hosts that send a plain HTTP request to HTTPS.
var redirecting = []string{"edition.cnn.com", "*.wikipedia.org"}

// CAPath is where any host gives away, by HTTP, the certificate of the CA.
const CAPath = "/.well-known/world-ca.pem"

// logged writes one line per request.
func (w *world) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		status := &statusWriter{rw, http.StatusOK}
		next.ServeHTTP(status, r)
		scheme := "http"
		if r.TLS != nil {
			scheme = "https"
		}
		w.log.Printf("%s from=%s to=%v host=%s method=%s path=%s status=%d",
			scheme, r.RemoteAddr, r.Context().Value(http.LocalAddrContextKey), r.Host, r.Method, r.URL.Path, status.code)
	})
}

type statusWriter struct {
	http.ResponseWriter
	code int
}

func (w *statusWriter) WriteHeader(code int) {
	w.code = code
	w.ResponseWriter.WriteHeader(code)
}

// site answers for the host that the request names, and gives away the CA.
func (w *world) site(rw http.ResponseWriter, r *http.Request) {
	if r.URL.Path == CAPath {
		_, _ = rw.Write(w.ca.PEM())
		return
	}
	site(rw, r)
}

// site answers for the host that the request names.
func site(w http.ResponseWriter, r *http.Request) {
	name := hostname(r.Host)
	h, known := Lookup(name)
	first, _, _ := strings.Cut(name, ".")
	switch {
	case first == "httpbin": // also as a Service of that name
		httpbin(w, r)
	case !known:
		http.Error(w, "no site of the name "+strconv.Quote(name), http.StatusNotFound)
	case r.TLS == nil && redirects(h.Name):
		http.Redirect(w, r, "https://"+name+r.URL.RequestURI(), http.StatusMovedPermanently)
	default:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprintf(w, "<!doctype html><title>%s</title>\n", name)
	}
}

func redirects(name string) bool {
	for _, r := range redirecting {
		if r == name {
			return true
		}
	}
	return false
}

func hostname(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return hostport
}

// httpbin answers as httpbin.org does, in the parts that egress tasks use.
func httpbin(w http.ResponseWriter, r *http.Request) {
	segment := strings.SplitN(strings.TrimPrefix(r.URL.Path, "/"), "/", 2)
	arg := ""
	if len(segment) == 2 {
		arg = segment[1]
	}
	switch segment[0] {
	case "":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = fmt.Fprintln(w, "<!doctype html><title>httpbin.org</title>")
	case "status":
		code, err := strconv.Atoi(arg)
		if err != nil || code < 200 || code > 599 {
			http.Error(w, "Invalid status code", http.StatusBadRequest)
			return
		}
		w.WriteHeader(code)
	case "delay":
		seconds, err := strconv.ParseFloat(arg, 64)
		if err != nil || !(seconds >= 0) {
			http.NotFound(w, r)
			return
		}
		select {
		case <-time.After(min(maxDelay, time.Duration(min(seconds, maxDelay.Seconds())*float64(time.Second)))):
			writeJSON(w, request(r))
		case <-r.Context().Done():
		}
	case "headers":
		writeJSON(w, map[string]any{"headers": headers(r)})
	case "ip":
		writeJSON(w, map[string]any{"origin": origin(r)})
	case "anything", "get":
		writeJSON(w, request(r))
	default:
		http.NotFound(w, r)
	}
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	_ = e.Encode(v)
}

// request is what httpbin's /anything returns about a request.
func request(r *http.Request) map[string]any {
	body, _ := io.ReadAll(io.LimitReader(r.Body, maxBody))
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	args := map[string]string{}
	for name, values := range r.URL.Query() {
		args[name] = strings.Join(values, ",")
	}
	return map[string]any{
		"args": args, "data": string(body), "headers": headers(r), "method": r.Method,
		"origin": origin(r), "url": scheme + "://" + r.Host + r.URL.RequestURI(),
	}
}

// headers has one string per header, as httpbin writes them.
func headers(r *http.Request) map[string]string {
	all := map[string]string{"Host": r.Host}
	for name, values := range r.Header {
		all[name] = strings.Join(values, ",")
	}
	return all
}

func origin(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}
