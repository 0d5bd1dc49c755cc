package podtemplate

import (
	"fmt"
	"reflect"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
)

// funcs returns every helper a template may call: sprig's, less what is not
// hermetic; Istio's own by their names and argument orders; the markers.
func funcs() template.FuncMap {
	all := template.FuncMap{}
	for name, fn := range sprig.HermeticTxtFuncMap() {
		if !unhermetic(name) {
			all[name] = fn
		}
	}
	for name, fn := range bounded() {
		all[name] = fn
	}
	for name, fn := range istioFuncs() {
		all[name] = fn
	}
	for name, fn := range all {
		all[name] = limited(name, fn)
	}
	all[markText] = func(v any) string { return marker + "t" + printed(v) }
	all[markValue] = func(v any) string { return marker + "v" + printed(v) }
	all[markPass] = func() string { return marker + "p" }
	return all
}

// printed is a value as text/template would print it.
func printed(v any) string {
	switch v := v.(type) {
	case nil:
		return "<no value>"
	case string:
		return v
	case fmt.Stringer, error:
		return fmt.Sprint(v)
	}
	r := reflect.ValueOf(v)
	for r.Kind() == reflect.Pointer && !r.IsNil() {
		r = r.Elem()
	}
	return fmt.Sprint(r.Interface())
}

// unhermetic names what sprig itself does not count as such: helpers that read
// the clock, draw random numbers, generate keys, or take seconds by design.
func unhermetic(name string) bool {
	switch name {
	case "ago", "toDate", "mustToDate", "must_date_modify", "mustDateModify", "unixEpoch",
		"shuffle", "randInt", "bcrypt", "htpasswd", "derivePassword",
		"encryptAES", "decryptAES", "buildCustomCert":
		return true
	}
	return strings.HasPrefix(name, "gen")
}

// mutatingFuncs are the helpers that change a map they are given.
var mutatingFuncs = map[string]bool{
	"set": true, "unset": true, "merge": true, "mergeOverwrite": true, "mustMerge": true, "mustMergeOverwrite": true,
}

// Bounds of single helpers.
const (
	maxItems = 10_000  // of a list a helper makes
	maxNodes = 100_000 // of a nested value a helper is given
)

// bounded replaces helpers, sprig's and the built-in ones, whose result is not
// bounded by the size of their arguments.
func bounded() template.FuncMap {
	s := sprig.HermeticTxtFuncMap()
	until, step := s["until"].(func(int) []int), s["untilStep"].(func(int, int, int) []int)
	return template.FuncMap{
		"repeat": func(count int, text string) (string, error) {
			if count < 0 || count*len(text) > maxOutput || count > maxOutput {
				return "", fmt.Errorf("repeat: %d times %d bytes; the result may have %d bytes", count, len(text), maxOutput)
			}
			return strings.Repeat(text, count), nil
		},
		"until": func(count int) ([]int, error) {
			if count > maxItems || count < -maxItems {
				return nil, fmt.Errorf("until %d: at most %d items", count, maxItems)
			}
			return until(count), nil
		},
		"untilStep": func(start, stop, by int) ([]int, error) {
			if by != 0 && (stop-start)/by > maxItems {
				return nil, fmt.Errorf("untilStep %d %d %d: at most %d items", start, stop, by, maxItems)
			}
			return step(start, stop, by), nil
		},
		"seq":     sequence,
		"replace": replace,
		"nindent": func(spaces int, text string) (string, error) {
			out, err := indentAll(spaces, text)
			return "\n" + out, err
		},
		"printf": func(format string, args ...any) (string, error) {
			if err := checkWidths(format); err != nil {
				return "", err
			}
			return fmt.Sprintf(format, args...), nil
		},
		"squote": squote,
	}
}

// squote is sprig's, with the quotes inside doubled as YAML wants them.
func squote(args ...any) (string, error) {
	var out []string
	for _, a := range args {
		if a == nil {
			continue
		}
		text := printed(a)
		if strings.ContainsFunc(text, isControl) {
			return "", structureError(text, "line breaks and control characters are not allowed in single quotes")
		}
		out = append(out, "'"+strings.ReplaceAll(text, "'", "''")+"'")
	}
	return strings.Join(out, " "), nil
}

// sequence is sprig's seq, like the Unix command: seq LAST, seq FIRST LAST, seq FIRST STEP LAST.
func sequence(params ...int) (string, error) {
	first, by, last := 1, 1, 0
	switch len(params) {
	case 0:
		return "", nil
	case 1:
		last = params[0]
		if last < first {
			by = -1
		}
	case 2:
		first, last = params[0], params[1]
		if last < first {
			by = -1
		}
	case 3:
		first, by, last = params[0], params[1], params[2]
	default:
		return "", fmt.Errorf("seq: expected 1 to 3 arguments, got %d", len(params))
	}
	if by == 0 || by > 0 && last < first || by < 0 && last > first {
		return "", nil
	}
	if (last-first)/by > maxItems {
		return "", fmt.Errorf("seq: more than %d items", maxItems)
	}
	var out []string
	for n := first; by > 0 && n <= last || by < 0 && n >= last; n += by {
		out = append(out, fmt.Sprint(n))
	}
	return strings.Join(out, " "), nil
}

func replace(old, with, text string) (string, error) {
	if size := len(text) + strings.Count(text, old)*len(with); size > maxOutput {
		return "", fmt.Errorf("replace: the result would have %d bytes; at most %d", size, maxOutput)
	}
	return strings.ReplaceAll(text, old, with), nil
}

// indentAll puts blanks before every line, as sprig's indent does.
func indentAll(spaces int, text string) (string, error) {
	if spaces < 0 || (strings.Count(text, "\n")+1)*spaces > maxOutput {
		return "", fmt.Errorf("indent %d: not between 0 and what %d bytes of output allow", spaces, maxOutput)
	}
	pad := strings.Repeat(" ", spaces)
	return pad + strings.ReplaceAll(text, "\n", "\n"+pad), nil
}

// checkWidths rejects formats whose output is far longer than their arguments.
func checkWidths(format string) error {
	digits := 0
	for i := range len(format) {
		switch c := format[i]; {
		case c >= '0' && c <= '9':
			if digits++; digits > 4 {
				return fmt.Errorf("printf %q: a width of more than four digits", format)
			}
		case c == '*':
			return fmt.Errorf("printf %q: a width taken from an argument is not supported", format)
		default:
			digits = 0
		}
	}
	return nil
}

// limited wraps a helper so that no argument is a nested value of unbounded
// size (lists that hold themselves twice double with every line of a template)
// and no result is larger than the whole output may be.
func limited(name string, fn any) any {
	f := reflect.ValueOf(fn)
	t := f.Type()
	return reflect.MakeFunc(t, func(args []reflect.Value) []reflect.Value {
		left := maxNodes
		for _, a := range args {
			if left = countNodes(a, left); left < 0 {
				panic(fmt.Sprintf("%s: an argument has more than %d nested values", name, maxNodes))
			}
		}
		var out []reflect.Value
		if t.IsVariadic() {
			out = f.CallSlice(args)
		} else {
			out = f.Call(args)
		}
		if n := size(out[0]); n > maxOutput {
			panic(fmt.Sprintf("%s: a result of %d; at most %d bytes or items are allowed", name, n, maxOutput))
		}
		return out
	}).Interface()
}

// countNodes counts down over the values that templates can build themselves;
// typed data, such as the pod, is bounded already.
func countNodes(v reflect.Value, left int) int {
	for v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if left < 0 || !v.IsValid() {
		return left
	}
	switch list := v.Interface().(type) {
	case []any:
		for _, item := range list {
			left = countNodes(reflect.ValueOf(item), left-1)
		}
	case map[string]any:
		for _, item := range list {
			left = countNodes(reflect.ValueOf(item), left-1)
		}
	}
	return left
}

func size(v reflect.Value) int {
	for v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.String, reflect.Slice, reflect.Map:
		return v.Len()
	}
	return 0
}
