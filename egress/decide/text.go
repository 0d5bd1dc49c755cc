package decide

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// hostOf is an authority in lower case without its port.
func hostOf(authority string) string {
	name := strings.ToLower(authority)
	if i := strings.LastIndexByte(name, ':'); i >= 0 && !strings.HasSuffix(name, "]") {
		name = name[:i]
	}
	return name
}

// withoutDot is an authority without the final dot of a fully qualified name. The
// sidecar removes it before it does anything else with a request.
func withoutDot(authority string) string {
	name, port := authority, ""
	if i := strings.LastIndexByte(authority, '.'); i >= 0 && strings.HasPrefix(authority[i+1:], ":") {
		name, port = authority[:i+1], authority[i+1:]
	}
	return strings.TrimSuffix(name, ".") + port
}

// closestName is the name itself, or the longest wildcard that covers it. The
// asterisk covers a number of characters, at least.
func closestName[T any](names map[string]T, name string, shortest int) (string, bool) {
	if _, ok := names[name]; ok {
		return name, true
	}
	for i := shortest; i < len(name); i++ {
		if name[i] != '.' {
			continue
		}
		if wildcard := "*" + name[i:]; wildcard != name {
			if _, ok := names[wildcard]; ok {
				return wildcard, true
			}
		}
	}
	return "", false
}

func joinPort(address string, port uint32) string {
	if a, err := netip.ParseAddr(address); err == nil {
		return netip.AddrPortFrom(a, uint16(port)).String()
	}
	return fmt.Sprintf("%s:%d", address, port)
}

// normalPath resolves the dots in a path, as the sidecar does before it compares
// and sends it.
func normalPath(text string) string {
	path, query, has := strings.Cut(text, "?")
	var out []string
	parts := strings.Split(strings.ReplaceAll(path, `\`, "/"), "/")
	for i, part := range parts {
		switch strings.ReplaceAll(strings.ToLower(part), "%2e", ".") {
		case ".":
			if i == len(parts)-1 {
				out = append(out, "")
			}
		case "..":
			if len(out) > 1 {
				out = out[:len(out)-1]
			}
			if i == len(parts)-1 {
				out = append(out, "")
			}
		default:
			out = append(out, part)
		}
	}
	path = strings.Join(out, "/")
	if has {
		path += "?" + query
	}
	return path
}

// headerOf is a header's values, joined as they are compared. Some headers are not
// what the application sends by the time that routes are chosen.
func headerOf(r Request, name string) (string, bool) {
	name = strings.ToLower(name)
	if name == "host" { // the same header under its name of HTTP/1
		return r.Authority, true
	}
	if slices.Contains(connectionHeaders(), name) {
		if _, upgrades := headerOf(r, "upgrade"); name != "connection" || !upgrades {
			return "", false
		}
	}
	var all []string
	for n, values := range r.Header {
		if strings.EqualFold(n, name) {
			all = append(all, values...)
		}
	}
	if added, ok := addedHeaders()[name]; ok && len(all) == 0 {
		return added, true
	}
	return strings.Join(all, ","), len(all) > 0
}

// connectionHeaders are those of one connection, which the sidecar removes; the
// first one stays in a request that upgrades the connection.
func connectionHeaders() []string {
	return []string{"connection", "keep-alive", "proxy-connection", "transfer-encoding"}
}

// addedHeaders are those that the sidecar adds where the application has none.
// The identifier is an example: each request has another one.
func addedHeaders() map[string]string {
	return map[string]string{"x-forwarded-proto": "http", "x-request-id": "00000000-0000-4000-8000-000000000000"}
}

// parameter is the first value of a query's parameter, as it is written.
func parameter(query, name string) (string, bool) {
	for part := range strings.SplitSeq(query, "&") {
		if n, value, _ := strings.Cut(part, "="); n == name {
			return value, true
		}
	}
	return "", false
}
