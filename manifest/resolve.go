package manifest

import (
	"encoding/json"
	"strconv"
	"strings"
)

// resolvePlain gives a scalar without quotes the type that kubectl gives it:
// YAML 1.1's booleans (yes, on, y) and octals (0644) included. The text is JSON
// for everything but strings. ok is false for what JSON cannot hold (.inf).
func resolvePlain(s string) (t tag, text string, ok bool) {
	if s == "" {
		return nullTag, "null", true
	}
	switch c := s[0]; {
	case c == '~' || strings.IndexByte("yYnNtTfFoO", c) >= 0:
		return resolveWord(s)
	case c == '.':
		return resolveDot(s)
	case c == '+' || c == '-' || c >= '0' && c <= '9':
		return resolveNumber(s)
	}
	return stringTag, s, true
}

func resolveWord(s string) (tag, string, bool) {
	if len(s) > 5 {
		return stringTag, s, true
	}
	switch s {
	case "~", "null", "Null", "NULL":
		return nullTag, "null", true
	case "y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON":
		return boolTag, "true", true
	case "n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF":
		return boolTag, "false", true
	}
	return stringTag, s, true
}

func resolveDot(s string) (tag, string, bool) {
	switch strings.ToLower(s) {
	case ".nan", ".inf":
		return stringTag, "", false
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		return numberTag, floatText(f), true
	}
	return stringTag, s, true
}

// maxDigits is how many decimal digits certainly fit an int64.
const maxDigits = 18

func resolveNumber(s string) (tag, string, bool) {
	if digits := strings.TrimPrefix(s, "-"); len(digits) <= maxDigits && allDigits(digits) &&
		(digits[0] != '0' || s == "0") {
		return numberTag, s, true
	}
	if len(s) > 1 && s[1] == '.' && strings.EqualFold(s[1:], ".inf") {
		return stringTag, "", false
	}
	if looksLikeDate(s) {
		// Whether it is a date or not: in JSON it is the same string.
		return stringTag, s, true
	}
	bare := strings.ReplaceAll(s, "_", "")
	if i, err := strconv.ParseInt(bare, 0, 64); err == nil {
		return numberTag, strconv.FormatInt(i, 10), true
	}
	if u, err := strconv.ParseUint(bare, 0, 64); err == nil {
		return numberTag, strconv.FormatUint(u, 10), true
	}
	if decimalFloat(bare) {
		if f, err := strconv.ParseFloat(bare, 64); err == nil {
			return numberTag, floatText(f), true
		}
	}
	return stringTag, s, true
}

func allDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// looksLikeDate reports whether s starts with YYYY-.
func looksLikeDate(s string) bool {
	return len(s) > 5 && s[4] == '-' && allDigits(s[:4])
}

// decimalFloat is YAML's float grammar: a sign, digits with at most one dot, an
// exponent.
func decimalFloat(s string) bool {
	i := 0
	digits := func() int {
		from := i
		for i < len(s) && s[i] >= '0' && s[i] <= '9' {
			i++
		}
		return i - from
	}
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		i++
	}
	whole, fraction := digits(), 0
	if i < len(s) && s[i] == '.' {
		i++
		fraction = digits()
	}
	if whole+fraction == 0 {
		return false
	}
	if i < len(s) && (s[i] == 'e' || s[i] == 'E') {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if digits() == 0 {
			return false
		}
	}
	return i == len(s)
}

func floatText(f float64) string {
	b, err := json.Marshal(f)
	if err != nil {
		return "null"
	}
	return string(b)
}
