package decide

import (
	"fmt"
	"net/netip"
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

// closestName is the name itself, or the longest wildcard that covers it.
func closestName[T any](names map[string]T, name string) (string, bool) {
	if _, ok := names[name]; ok {
		return name, true
	}
	for i := range len(name) {
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

// headerOf is a header's values, joined as they are compared.
func headerOf(r Request, name string) (string, bool) {
	var all []string
	for n, values := range r.Header {
		if strings.EqualFold(n, name) {
			all = append(all, values...)
		}
	}
	return strings.Join(all, ","), len(all) > 0
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
