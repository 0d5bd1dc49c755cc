package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// object is a part of Envoy's configuration in JSON.
type object = map[string]any

// questions are what one run of Envoy is asked.
type questions struct {
	formats     []string // of access logs
	expressions []string // regular ones
	conditions  []string // of retries
	components  bool     // which components the log has
}

// answers are by text: why Envoy rejects a format or an expression. Those it accepts
// are not in there.
type answers struct {
	formats, expressions map[string]string
	conditions           []string // that it has
	components           []string
}

// patience bounds one run: it takes a second or two on an idle machine.
const patience = 2 * time.Minute

// ask starts an Envoy. Formats and expressions are in a listener each, which it reads
// from a file and logs one by one if it rejects them. No listener is bound but the one
// for requests with retry conditions and the admin interface.
func ask(ctx context.Context, program string, q questions) (answers, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	dir, err := os.MkdirTemp("", "envoytables")
	if err != nil {
		return answers{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	listeners := filepath.Join(dir, "listeners.json")
	admin := filepath.Join(dir, "admin")
	if err := errors.Join(writeJSON(listeners, discovery(q)), writeJSON(filepath.Join(dir, "bootstrap.json"), bootstrap(listeners))); err != nil {
		return answers{}, err
	}
	cmd := exec.CommandContext(ctx, program, "-c", filepath.Join(dir, "bootstrap.json"), "--disable-hot-restart", "--concurrency", "1",
		"--log-level", "warning", "--log-format", "%v", "--admin-address-path", admin)
	pipe, err := cmd.StderrPipe()
	if err != nil {
		return answers{}, err
	}
	if err := cmd.Start(); err != nil {
		return answers{}, err
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}()
	a, err := readRejections(pipe, q)
	if err != nil {
		return a, err
	}
	go func() { _, _ = io.Copy(io.Discard, pipe) }() // so that Envoy does not wait
	address, err := os.ReadFile(admin)
	if err != nil {
		return a, fmt.Errorf("the address of the admin interface: %w", err)
	}
	if q.components {
		if a.components, err = loggers(ctx, string(address)); err != nil {
			return a, err
		}
	}
	a.conditions, err = conditions(ctx, string(address), q.conditions)
	return a, err
}

func writeJSON(path string, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// last is the name of a listener that is always rejected: the ones before it have been
// read when it is.
const last = "last"

func discovery(q questions) object {
	var all []object
	add := func(name string, log object) {
		all = append(all, object{
			"@type": "type.googleapis.com/envoy.config.listener.v3.Listener", "name": name, "bind_to_port": false,
			"address": object{"socket_address": object{"address": fmt.Sprintf("127.1.%d.%d", len(all)>>8, len(all)&0xff), "port_value": 1}},
			"filter_chains": []object{{"filters": []object{{"name": "tcp", "typed_config": object{
				"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "none", "cluster": "none",
			}}}}},
			"access_log": []object{log},
		})
	}
	for i, text := range q.formats {
		add(fmt.Sprint("format", i), accessLog(text))
	}
	for i, text := range q.expressions {
		log := accessLog("-")
		log["filter"] = object{"header_filter": object{"header": object{"name": "a", "string_match": object{"safe_regex": object{"regex": text}}}}}
		add(fmt.Sprint("expression", i), log)
	}
	add(last, accessLog("%"))
	return object{"version_info": "1", "resources": all}
}

func accessLog(format string) object {
	return object{"name": "log", "typed_config": object{
		"@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": os.DevNull,
		"log_format": object{"text_format_source": object{"inline_string": format}},
	}}
}

// bootstrap has a listener for requests. Its router rejects requests with unknown
// retry conditions: in a route, Envoy ignores them.
func bootstrap(listeners string) object {
	return object{
		"node":              object{"id": "tables", "cluster": "tables"},
		"admin":             object{"address": object{"socket_address": object{"address": "127.0.0.1", "port_value": 0}}},
		"dynamic_resources": object{"lds_config": object{"resource_api_version": "V3", "path_config_source": object{"path": listeners}}},
		"static_resources": object{
			"clusters": []object{{"name": "empty", "type": "STATIC", "connect_timeout": "1s"}},
			"listeners": []object{{
				"name": "requests", "address": object{"socket_address": object{"address": "127.0.0.1", "port_value": 0}},
				"filter_chains": []object{{"filters": []object{{"name": "http", "typed_config": object{
					"@type":       "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
					"stat_prefix": "requests",
					// Only internal requests may have the header.
					"internal_address_config": object{"cidr_ranges": []object{{"address_prefix": "127.0.0.0", "prefix_len": 8}}},
					"use_remote_address":      true,
					"http_filters": []object{{"name": "router", "typed_config": object{
						"@type":                "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
						"strict_check_headers": []string{retryOnHeader, retryGRPCHeader},
					}}},
					"route_config": object{"virtual_hosts": []object{{
						"name": "all", "domains": []string{"*"}, "routes": []object{{"match": object{"prefix": "/"}, "route": object{"cluster": "empty"}}},
					}}},
				}}}}},
			}},
		},
	}
}

// rejection is a line of Envoy's log.
var rejection = regexp.MustCompile(`listener '(format|expression|` + last + `)([0-9]*)' config rejected: (.*)`)

func readRejections(log io.Reader, q questions) (answers, error) {
	a := answers{formats: map[string]string{}, expressions: map[string]string{}}
	lines := bufio.NewReader(log)
	var head strings.Builder // of the log, if it does not start
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return a, fmt.Errorf("the log has no line %q for the last listener: its form has changed, or Envoy did not start: %w\n%s", rejection, err, head.String())
		}
		m := rejection.FindStringSubmatch(line)
		if m == nil {
			if head.Len() < 4000 {
				head.WriteString(line)
			}
			continue
		}
		var i int
		if m[1] == last {
			return a, nil
		}
		if _, err := fmt.Sscan(m[2], &i); err != nil {
			return a, err
		}
		if m[1] == "format" {
			a.formats[q.formats[i]] = m[3]
		} else {
			a.expressions[q.expressions[i]] = m[3]
		}
	}
}

// loggers are the components of the log, as the admin interface lists them.
func loggers(ctx context.Context, admin string) ([]string, error) {
	text, err := call(ctx, http.MethodPost, "http://"+admin+"/logging")
	if err != nil {
		return nil, err
	}
	var names []string
	for line := range strings.Lines(text) {
		if name, _, ok := strings.Cut(line, ": "); ok && strings.HasPrefix(name, "  ") {
			names = append(names, strings.TrimSpace(name))
		}
	}
	slices.Sort(names)
	return names, nil
}

func call(ctx context.Context, method, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, response.Status, text)
	}
	return string(text), err
}

const (
	retryOnHeader   = "x-envoy-retry-on"
	retryGRPCHeader = "x-envoy-retry-grpc-on"
)

// conditions are those of names that Envoy has, in the header for HTTP or in that for
// gRPC.
func conditions(ctx context.Context, admin string, names []string) (known []string, err error) {
	if len(names) == 0 {
		return nil, nil
	}
	address, err := listener(ctx, admin, "requests")
	if err != nil {
		return nil, err
	}
	for _, header := range []string{retryOnHeader, retryGRPCHeader} {
		has, err := accepted(ctx, address, header, names)
		if err != nil {
			return nil, fmt.Errorf("requests with %s: %w", header, err)
		}
		known = append(known, has...)
	}
	slices.Sort(known)
	return slices.Compact(known), nil
}

// listener is the address of a listener.
func listener(ctx context.Context, admin, name string) (string, error) {
	text, err := call(ctx, http.MethodGet, "http://"+admin+"/listeners")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(text) {
		if address, ok := strings.CutPrefix(strings.TrimSpace(line), name+"::"); ok {
			return address, nil
		}
	}
	return "", fmt.Errorf("the admin interface lists no listener %q:\n%s", name, text)
}

// accepted sends a request for each value of a header. Envoy answers 400 to a condition
// that it does not have, and 503 to others, for a cluster without endpoints.
func accepted(ctx context.Context, address, header string, values []string) (known []string, err error) {
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true) // with HTTP/1.1, a connection ends with an answer of 400
	defer transport.CloseIdleConnections()
	for _, value := range values {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
		if err != nil {
			return nil, err
		}
		request.Header.Set(header, value)
		response, err := transport.RoundTrip(request)
		if err != nil {
			return nil, err
		}
		_ = response.Body.Close()
		switch response.StatusCode {
		case http.StatusServiceUnavailable:
			known = append(known, value)
		case http.StatusBadRequest:
		default:
			return nil, fmt.Errorf("the answer to %q is %s, want 400 or 503", value, response.Status)
		}
	}
	return known, nil
}
