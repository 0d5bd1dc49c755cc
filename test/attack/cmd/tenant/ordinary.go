package main

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// pause is the time between the requests of a loop. Two loops send some 50 requests a
// second: enough to notice a gap of a tenth of a second.
const pause = 40 * time.Millisecond

// tally is what the requests came to.
type tally struct {
	mu       sync.Mutex
	OK       int
	Failed   int
	Failures []string // the latest ones
}

func (t *tally) add(failure string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if failure == "" {
		t.OK++
		return
	}
	t.Failed++
	if t.Failures = append(t.Failures, failure); len(t.Failures) > 20 {
		t.Failures = t.Failures[1:]
	}
}

// requests sends requests to the URLs, over kept and over new connections, and serves
// what they came to.
func requests(urls []string) error {
	t := &tally{}
	for _, fresh := range []bool{false, true} {
		client := newClient(fresh, 5*time.Second)
		go func() {
			for i := 0; ; i++ {
				url := urls[i%len(urls)]
				code, err := get(client, url)
				switch {
				case err != nil:
					t.add(fmt.Sprintf("%s %s: %v", time.Now().Format(time.TimeOnly), url, err))
				case code != http.StatusOK:
					t.add(fmt.Sprintf("%s %s: status %d", time.Now().Format(time.TimeOnly), url, code))
				default:
					t.add("")
				}
				time.Sleep(pause)
			}
		}()
	}
	http.HandleFunc("/tally", func(w http.ResponseWriter, _ *http.Request) {
		t.mu.Lock()
		defer t.mu.Unlock()
		_ = json.NewEncoder(w).Encode(t)
	})
	http.HandleFunc("/get", one)
	http.HandleFunc("/until", until)
	return http.ListenAndServe(":8099", nil)
}

func newClient(fresh bool, timeout time.Duration) *http.Client {
	return &http.Client{
		Timeout:       timeout,
		Transport:     &http.Transport{DisableKeepAlives: fresh, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func get(client *http.Client, url string) (int, error) {
	resp, err := client.Get(url)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// one sends one request, with the headers of this one that begin with X-, and returns
// the response's status, or the error.
func one(w http.ResponseWriter, r *http.Request) {
	to, err := http.NewRequest(http.MethodGet, r.FormValue("url"), nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if host := r.FormValue("host"); host != "" {
		to.Host = host
	}
	if secret := r.FormValue("secret"); secret != "" {
		to.Header.Set("X-Secret", secret)
	}
	resp, err := newClient(true, 5*time.Second).Do(to)
	if err != nil {
		_, _ = fmt.Fprintf(w, "error %v", err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	_, _ = fmt.Fprintf(w, "%d %s", resp.StatusCode, body)
}

// until sends requests until one has the status, 0 for an error, and returns how many
// milliseconds that took.
func until(w http.ResponseWriter, r *http.Request) {
	client, began := newClient(true, 2*time.Second), time.Now()
	code := 0
	var err error
	for time.Since(began) < 25*time.Second {
		code, err = get(client, r.FormValue("url"))
		if want := r.FormValue("code"); strconv.Itoa(code) == want {
			_, _ = fmt.Fprint(w, time.Since(began).Milliseconds())
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	http.Error(w, fmt.Sprintf("status %d, error %v", code, err), http.StatusGatewayTimeout)
}

// sink answers every request, and logs it whole.
func sink([]string) error {
	return http.ListenAndServe(":8099", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Probe") != "" {
			return
		}
		body, _ := io.ReadAll(io.LimitReader(r.Body, 64<<10))
		log.Printf("request %s %s%s %v %q", r.Method, r.Host, r.URL, r.Header, body)
	}))
}
