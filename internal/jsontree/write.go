package jsontree

import "strconv"

// AppendString appends s as a JSON string. Invalid UTF-8 becomes U+FFFD, as in
// encoding/json; "<", ">" and "&" stay readable.
func AppendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c < 0x7f && c != '"' && c != '\\' {
			continue
		}
		if c >= 0x80 {
			// Rare here; the standard library handles every case.
			return append(appendSlow(append(dst, s[start:i]...), s[i:]), '"')
		}
		dst = append(dst, s[start:i]...)
		dst = appendEscaped(dst, c)
		start = i + 1
	}
	return append(append(dst, s[start:]...), '"')
}

func appendEscaped(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\n':
		return append(dst, '\\', 'n')
	case '\t':
		return append(dst, '\\', 't')
	case '\r':
		return append(dst, '\\', 'r')
	}
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
}

func appendSlow(dst []byte, s string) []byte {
	for _, r := range s { // ranging yields U+FFFD for invalid bytes
		if r < 0x80 && (r < 0x20 || r == 0x7f || r == '"' || r == '\\') {
			dst = appendEscaped(dst, byte(r))
			continue
		}
		dst = append(dst, string(r)...)
	}
	return dst
}

// AppendPointer appends one reference token to a JSON pointer.
func AppendPointer(dst []byte, key string) []byte {
	dst = append(dst, '/')
	for i := 0; i < len(key); i++ {
		switch key[i] {
		case '~':
			dst = append(dst, '~', '0')
		case '/':
			dst = append(dst, '~', '1')
		default:
			dst = append(dst, key[i])
		}
	}
	return dst
}

// AppendIndex appends an array index to a JSON pointer.
func AppendIndex(dst []byte, i int) []byte {
	return strconv.AppendInt(append(dst, '/'), int64(i), 10)
}
