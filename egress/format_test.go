package egress

import (
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/outrider-mesh/outrider/test/envoy"
)

// goodFormats and badFormats are what Envoy takes and refuses.
var (
	goodFormats = []string{
		"", "%%", "%%%PROTOCOL%", "a%%b", "%REQ(:METHOD)%", "%REQ(:METHOD?A)%", "%REQ(A?:PATH):5%", "%REQ(A.B)%", "%REQ(%Y)%", "%DURATION()%",
		"%START_TIME(%Y-%m)%", "%START_TIME(%Y)x)%", "%START_TIME(100%)%", "%CEL(size(request.path))%", `%CEL(request.headers["x"]):3%`,
		`%COALESCE({"operators": ["PROTOCOL", {"command": "REQ", "param": ":path", "max_length": 5}]})%`,
		"%FILTER_STATE(a)%", "%FILTER_STATE(a:TYPED):5%", "%UPSTREAM_FILTER_STATE(a:FIELD:b)%", "%ENVIRONMENT(X)%", "%DYNAMIC_METADATA(a:b):10%",
		"%METADATA(ROUTE:a):5%", "%METADATA(LISTENER_FILTER_CHAIN:a:b)%", "%PATH%", "%PATH(WQ):5%", "%PATH(:ORIG_OR_PATH)%", "%QUERY_PARAMS:9%",
		"%REQUESTED_SERVER_NAME(HOST_FIRST)%", "%REQUESTED_SERVER_NAME(SNI_ONLY:)%", "%COMMON_DURATION(DS_RX_BEG:US_TX_BEG)%", "%COMMON_DURATION(A:B:ns)%",
	}
	badFormats = []string{
		"%", "x%", "100% x", "%PROTOCOL", "%protocol%", "%PROTOCOL%%", "%NONSENSE%", "%REQ%", "%REQ()%", "%REQ(A B)%", "%REQ(A:B)%", "%REQ(A?:B?C)%", "%REQ(A):%",
		"%REQ(A):5x%", "%REQ(A)x%", "%REQ(:METHOD%", "%CEL%", "%FILTER_STATE(a:X)%", "%FILTER_STATE(a:PLAIN:b)%", "%ENVIRONMENT()%",
		"%PATH(a)%", "%PATH(WQ:PATH_OR_ORIG)%", "%REQUESTED_SERVER_NAME(A)%", "%REQUESTED_SERVER_NAME:5%", "%RESPONSE_FLAGS(A)%", "%METADATA(X:a)%", "%DURATION:5%",
		"%START_TIME(\n)%", "%START_TIME(%s):5%", "%COMMON_DURATION(A)%", "%COMMON_DURATION(A:B:x)%", "%UPSTREAM_METADATA(a:b):5%", "%QUERY_PARAMS(a)%",
	}
)

func TestLogFault(t *testing.T) {
	for _, f := range append(goodFormats, strings.Join(everyCommand(), "")) {
		if fault := logFault(f); fault != "" {
			t.Errorf("%q: %s", f, fault)
		}
	}
	for _, f := range badFormats {
		if logFault(f) == "" {
			t.Errorf("%q has no fault", f)
		}
	}
	for f, want := range map[string]string{
		"%NONSENSE%":    "Envoy knows no command NONSENSE",
		"%REQ%":         "what REQ has in brackets is not right; write it as in %REQ(X-API)%",
		"%HOSTNAME(A)%": "HOSTNAME has nothing in brackets",
		"%DURATION:5%":  "DURATION takes no length",
	} {
		if got := logFault(f); got != want {
			t.Errorf("%q: %q, want %q", f, got, want)
		}
	}
}

// everyCommand has all commands in the form of their examples, with a length
// where one may follow.
func everyCommand() []string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(knownCommands())) {
		f, argument := knownCommands()[name], ""
		if f.example != "" {
			argument = "(" + f.example + ")"
		}
		if name == "COALESCE" {
			argument = `({"operators": ["PROTOCOL"]})`
		}
		if f.length {
			argument += ":5"
		}
		out = append(out, "%"+name+argument+"%")
	}
	return out
}

// TestEnvoyKnowsTheCommands holds the verdicts against the real Envoy's.
func TestEnvoyKnowsTheCommands(t *testing.T) {
	program := envoy.Require(t)
	good := strings.Join(append(everyCommand(), goodFormats...), " ")
	if out, ok := takesFormat(t, program, good); !ok {
		t.Errorf("Envoy refuses what has no fault:\n%s", out)
	}
	for _, f := range badFormats {
		if _, ok := takesFormat(t, program, f); ok {
			t.Errorf("Envoy takes %q", f)
		}
	}
}

func takesFormat(t *testing.T, program, format string) (output string, ok bool) {
	t.Helper()
	v := &View{mesh: mesh{listenPort: listenPort, connectTimeout: time.Second, log: accessLog{file: "/dev/stdout", text: format}}}
	b := &builder{view: v}
	text, err := protojson.Marshal(bootstrapOf(messages{clusters: b.standingClusters(), listeners: b.listeners()[:1]}))
	must(t, err)
	out, err := exec.CommandContext(t.Context(), program, "--mode", "validate", "--config-yaml", string(text), "--log-level", "warning").CombinedOutput()
	return string(out), err == nil
}
