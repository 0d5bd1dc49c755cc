package envoy

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// With global.logAsJson each line of Envoy's log is a JSON object, also of a
// message with quotes in it.
func TestLogAsJSON(t *testing.T) {
	program, dir := Require(t), t.TempDir()
	fillSecrets(t, dir, "..1", map[string]string{"token": "t", "ca.pem": newCA(t).pem(), "sds-token.yaml": sdsToken, "sds-ca.yaml": sdsCA})
	s := render(t, setup{values: "global: {logAsJson: true, proxy: {logLevel: info}}", ip: "10.244.0.7"}).withSecrets(dir)
	for _, c := range []struct {
		name, bootstrap string // empty: the sidecar's own
		ok              bool
	}{
		{"valid", "", true}, {"an error with quotes", `{"node": {"nope\"": 1}}`, false},
	} {
		args := append([]string{"--mode", "validate"}, s.args...)
		if at := slices.Index(args, "--config-yaml"); c.bootstrap != "" {
			args[at+1] = c.bootstrap
		}
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Env = s.env
		out, err := cmd.CombinedOutput()
		if (err == nil) != c.ok {
			t.Fatalf("%s: %v\n%s", c.name, err, out)
		}
		lines := 0
		for line := range strings.Lines(string(out)) {
			var entry struct{ Time, Level, Component, Thread, Message string }
			if !strings.HasPrefix(line, "{") {
				continue // what Envoy prints besides its log
			}
			if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Time == "" || entry.Level == "" || entry.Component == "" || entry.Message == "" {
				t.Errorf("%s: %v: %s", c.name, err, line)
			}
			lines++
		}
		if lines == 0 || strings.Contains(string(out), "[info]") {
			t.Errorf("%s: %d lines of JSON\n%s", c.name, lines, out)
		}
	}
}
