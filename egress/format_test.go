package egress_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/outrider-mesh/outrider/egress"
	"github.com/outrider-mesh/outrider/test/egresstest"
	"github.com/outrider-mesh/outrider/test/envoy"
	"github.com/outrider-mesh/outrider/test/kit"
)

// goodFormats and badFormats are accepted and rejected by Envoy.
var (
	goodFormats = []string{
		"", "%%", "%%%PROTOCOL%", "a%%b", "%REQ(:METHOD)%", "%REQ(:METHOD?A)%", "%REQ(A?:PATH):5%", "%REQ(A.B)%", "%REQ(%Y)%", "%DURATION()%",
		"%START_TIME(%Y-%m)%", "%START_TIME(%Y)x)%", "%START_TIME(100%)%", "%CEL(size(request.path))%", `%CEL(request.headers["x"]):3%`,
		`%COALESCE({"operators": ["PROTOCOL", {"command": "REQ", "param": ":path", "max_length": 5}]})%`,
		"%FILTER_STATE(a)%", "%FILTER_STATE(a:TYPED):5%", "%UPSTREAM_FILTER_STATE(a:FIELD:b)%", "%ENVIRONMENT(X)%", "%DYNAMIC_METADATA(a:b):10%",
		"%METADATA(ROUTE:a):5%", "%METADATA(LISTENER_FILTER_CHAIN:a:b)%", "%PATH%", "%PATH(WQ):5%", "%PATH(:ORIG_OR_PATH)%", "%QUERY_PARAMS:9%",
		"%REQUESTED_SERVER_NAME(HOST_FIRST)%", "%REQUESTED_SERVER_NAME(SNI_ONLY:)%", "%COMMON_DURATION(DS_RX_BEG:US_TX_BEG)%", "%COMMON_DURATION(A:B:ns)%",
		"%XFCC_VALUE(URI)%", "%XFCC_VALUE(by):5%",
	}
	badFormats = []string{
		"%", "x%", "100% x", "%PROTOCOL", "%protocol%", "%PROTOCOL%%", "%NONSENSE%", "%REQ%", "%REQ()%", "%REQ(A B)%", "%REQ(A:B)%", "%REQ(A?:B?C)%", "%REQ(A):%",
		"%REQ(A):5x%", "%REQ(A)x%", "%REQ(:METHOD%", "%CEL%", "%FILTER_STATE(a:X)%", "%FILTER_STATE(a:PLAIN:b)%", "%ENVIRONMENT()%",
		"%PATH(a)%", "%PATH(WQ:PATH_OR_ORIG)%", "%REQUESTED_SERVER_NAME(A)%", "%REQUESTED_SERVER_NAME:5%", "%RESPONSE_FLAGS(A)%", "%METADATA(X:a)%", "%DURATION:5%",
		"%START_TIME(\n)%", "%START_TIME(%s):5%", "%COMMON_DURATION(A)%", "%COMMON_DURATION(A:B:x)%", "%UPSTREAM_METADATA(a:b):5%", "%QUERY_PARAMS(a)%",
		"%XFCC_VALUE%", "%XFCC_VALUE(a)%", "%XFCC_VALUE(uri:uri)%",
	}
)

func TestLogFault(t *testing.T) {
	for _, f := range append(goodFormats, strings.Join(everyCommand(), "")) {
		if fault := egress.LogFault(f); fault != "" {
			t.Errorf("%q: %s", f, fault)
		}
	}
	for _, f := range badFormats {
		if egress.LogFault(f) == "" {
			t.Errorf("%q has no fault", f)
		}
	}
	for f, want := range map[string]string{
		"%NONSENSE%":    "unknown command operator %NONSENSE%",
		"%REQ%":         "invalid arguments of %REQ()%: use the form %REQ(X-API)%",
		"%HOSTNAME(A)%": "%HOSTNAME% does not accept arguments",
		"%DURATION:5%":  "%DURATION% does not accept a length",

		"%START_TIME(%n)%":              "the format of %START_TIME% must not contain %n, a line break",
		"%EMIT_TIME(%s.%3n)%":           "the format of %EMIT_TIME% must not contain %n, a line break",
		"%START_TIME_LOCAL(a%_0^9En)%":  "the format of %START_TIME_LOCAL% must not contain %n, a line break",
		"%REQ(X):1000000000%":           "the length of %REQ% has more than 9 digits",
		"%REQ(X):99999999999999999999%": "the length of %REQ% has more than 9 digits",
	} {
		if got := egress.LogFault(f); got != want {
			t.Errorf("%q: %q, want %q", f, got, want)
		}
	}
}

// A command that another version of Envoy in the table does not have is a warning: a
// sidecar can be pinned to that version.
func TestCommandOfNewerEnvoys(t *testing.T) {
	t.Cleanup(egress.SetOtherEnvoys("1.2.3", "HOSTNAME PROTOCOL"))
	for format, want := range map[string]int{"%HOSTNAME% %DURATION%": 1, "%DURATION%": 0} {
		problems := egresstest.Mesh(t, "accessLogFile: /dev/stdout\naccessLogFormat: '"+format+"'\n").Problems()
		if len(problems) != want || problems.Err() != nil {
			t.Errorf("%s: %v", format, problems.Strings())
		}
		for _, p := range problems {
			if !strings.Contains(p.String(), `accessLogFormat: "%HOSTNAME%": Envoy 1.2.3 does not have this operator, and rejects all listeners`) {
				t.Errorf("%s: %s", format, p)
			}
		}
	}
}

// Routes are for sidecars of all versions, and one that rejects a header rejects them all.
func TestHeaderOfNewerEnvoys(t *testing.T) {
	t.Cleanup(egress.SetOtherEnvoys("1.2.3", "PROTOCOL"))
	if fault := egress.HeaderFault("%PROTOCOL%"); fault != "%PROTOCOL% is not an operator of Envoy 1.2.3" {
		t.Errorf("fault %q", fault)
	}
	if fault := egress.HeaderFault("%DURATION%"); fault != "" {
		t.Errorf("fault %q", fault)
	}
}

// TestHeaderFault has operators that would put values of a pod into a header that a
// tenant of another namespace chose.
func TestHeaderFault(t *testing.T) {
	for _, f := range []string{
		"%ENVIRONMENT(POD_NAME)%", "a%HOSTNAME%", "%CEL(xds.node.metadata)%", "%TYPED_CEL(xds.node)%", `%COALESCE({"operators": ["HOSTNAME"]})%`,
		"%DYNAMIC_METADATA(a:b)%", "%METADATA(LISTENER:a)%", "%CLUSTER_METADATA(a:b)%", "%UPSTREAM_METADATA(a:b)%", "%FILTER_STATE(a)%", "%UPSTREAM_FILTER_STATE(a)%",
		"%DOWNSTREAM_REMOTE_ADDRESS%", "%DOWNSTREAM_LOCAL_URI_SAN%", "%FILTER_CHAIN_NAME%", "%UPSTREAM_LOCAL_ADDRESS%", "%REQ(A)%%HOSTNAME%",
	} {
		if fault := egress.HeaderFault(f); !strings.Contains(fault, "is not allowed in headers") {
			t.Errorf("%q: %q", f, fault)
		}
	}
	for _, f := range []string{"%%", "100%%", "%REQ(:METHOD?A):3% %START_TIME(%s)%", "%PROTOCOL%%UPSTREAM_HOST%", "%RESP(A)% %RESPONSE_CODE%"} {
		if fault := egress.HeaderFault(f); fault != "" {
			t.Errorf("%q: %q", f, fault)
		}
	}
}

// everyCommand has all commands in the form of their examples, with a length
// where one may follow.
func everyCommand() []string {
	var out []string
	for _, c := range egress.Commands() {
		name, argument := c.Name, ""
		if c.Example != "" {
			argument = "(" + c.Example + ")"
		}
		if c.Length {
			argument += ":5"
		}
		out = append(out, "%"+name+argument+"%")
	}
	return out
}

// TestEnvoyAcceptsTheSameFormats compares the validation with the real Envoy's,
// in a log and in a header.
func TestEnvoyAcceptsTheSameFormats(t *testing.T) {
	program := envoy.Require(t)
	good := append(everyCommand(), goodFormats...)
	header := strings.Join(slices.DeleteFunc(slices.Clone(good), func(f string) bool { return egress.HeaderFault(f) != "" }), " ")
	if n := strings.Count(header, " "); n < 50 || n > len(good)/2 {
		t.Errorf("%d of %d are for headers", n, len(good))
	}
	if out, ok := takesFormats(t, program, strings.Join(good, " "), header); !ok {
		t.Errorf("Envoy rejects what validation accepts:\n%s", out)
	}
	for _, f := range badFormats {
		if _, ok := takesFormats(t, program, f, "x"); ok {
			t.Errorf("Envoy accepts %q in a log", f)
		}
		if _, ok := takesFormats(t, program, "x", f); ok {
			t.Errorf("Envoy accepts %q in a header", f)
		}
		if egress.HeaderFault(f) == "" {
			t.Errorf("%q has no fault in a header", f)
		}
	}
}

// takesFormats reports whether Envoy accepts a log format and a header's value,
// which take the place of ones without problems.
func takesFormats(t *testing.T, program, log, header string) (output string, ok bool) {
	t.Helper()
	in := egresstest.Parse(t, "accessLogFile: /dev/stdout\naccessLogFormat: LOG-FORMAT\n")
	model, problems := egress.Build(in)
	kit.Must(t, problems.Err())
	m := egresstest.Make(t, model.View("shop"))
	m.Routes = m.Routes[len(m.Routes)-1:]
	m.Routes[0].RequestHeadersToAdd = []*corev3.HeaderValueOption{{
		Header: &corev3.HeaderValue{Key: "x-test", Value: header}, AppendAction: corev3.HeaderValueOption_ADD_IF_ABSENT, KeepEmptyValue: header == "",
	}}
	m.Listeners = m.Listeners[:1]
	text, err := protojson.Marshal(m.Bootstrap(t))
	kit.Must(t, err)
	quoted, err := json.Marshal(log)
	kit.Must(t, err)
	if !bytes.Contains(text, []byte(`LOG-FORMAT\n`)) {
		t.Fatal("the log format is not in the configuration")
	}
	text = bytes.ReplaceAll(text, []byte(`LOG-FORMAT\n`), quoted[1:len(quoted)-1])
	out, ok := egresstest.ValidateText(t, program, text)
	return string(out), ok
}
