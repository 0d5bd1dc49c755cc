package main

import (
	"strings"
	"testing"
)

const wrongTypes = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels:
    version: 1.0
spec:
  template:
    metadata:
      labels:
        sidecar.istio.io/inject: false
        build: 0x1F
      annotations:
        date: 2026-11-28
        on: on
        traffic.sidecar.istio.io/excludeOutboundPorts: 5432
    spec:
      terminationGracePeriodSeconds: "30"
      containers:
      - name: web
        image: example.com/web:1
        env:
        - {name: A, value: a}
        - name: B
          value: b
        - name: C
          value: 1e3
        - {name: D, value: on}
        - name: E
          value: 0644
        - name: F
          value: null
        args: [1, "2", -3.5, yes]
        ports:
        - containerPort: "8080"
        - containerPort: 80.5
        resources:
          limits: {cpu: 1, memory: lots}
        tty: "true"
        livenessProbe:
          httpGet: {path: 5, port: http}
          periodSeconds: ten
      - name: 7
        command: /bin/sh
      volumes:
      - name: v
        emptyDir: []
`

// TestTypeErrors: all values of the wrong type are reported, each with its path and place
// and as the document has it.
func TestTypeErrors(t *testing.T) {
	got := runWith(t, wrongTypes, "kube-inject", "-f", write(t, "x.yaml", wrongTypes))
	_, lines, _ := strings.Cut(got.err, "error: ")
	for _, want := range []string{
		`x.yaml:6:14: document 1 (Deployment web): metadata.labels.version: 1.0: not a valid apps/v1 Deployment: expected a string, got a number; put it in quotes`,
		`x.yaml:11:34: document 1 (Deployment web): spec.template.metadata.labels["sidecar.istio.io/inject"]: false: not a valid v1 Pod: expected a string, got a boolean; put it in quotes`,
		`x.yaml:12:16: document 1 (Deployment web): spec.template.metadata.labels.build: 0x1F: not a valid v1 Pod: expected a string, got a number`,
		`x.yaml:15:13: document 1 (Deployment web): spec.template.metadata.annotations.true: on: not a valid`,
		`x.yaml:16:56: document 1 (Deployment web): spec.template.metadata.annotations["traffic.sidecar.istio.io/excludeOutboundPorts"]: 5432: `,
		`x.yaml:18:38: document 1 (Deployment web): spec.template.spec.terminationGracePeriodSeconds: "30": not a valid v1 Pod: expected a number, got a string; remove the quotes`,
		`x.yaml:27:18: document 1 (Deployment web): spec.template.spec.containers[0].env[2].value: 1e3: not a valid v1 Pod: expected a string, got a number; put it in quotes`,
		`x.yaml:28:28: document 1 (Deployment web): spec.template.spec.containers[0].env[3].value: on: not a valid v1 Pod: expected a string, got a boolean; put it in quotes`,
		`x.yaml:30:18: document 1 (Deployment web): spec.template.spec.containers[0].env[4].value: 0644: `,
		`x.yaml:33:16: document 1 (Deployment web): spec.template.spec.containers[0].args[0]: 1: `,
		`spec.template.spec.containers[0].args[2]: -3.5: `,
		`spec.template.spec.containers[0].args[3]: yes: not a valid v1 Pod: expected a string, got a boolean`,
		`x.yaml:35:26: document 1 (Deployment web): spec.template.spec.containers[0].ports[0].containerPort: "8080": not a valid v1 Pod: expected a number, got a string; remove the quotes`,
		`spec.template.spec.containers[0].ports[1].containerPort: 80.5: not a valid v1 Pod: must be an integer of 32 bits`,
		`spec.template.spec.containers[0].resources.limits.memory: lots: `,
		`spec.template.spec.containers[0].tty: "true": not a valid v1 Pod: expected a boolean, got a string; remove the quotes`,
		`spec.template.spec.containers[0].livenessProbe.httpGet.path: 5: `,
		`spec.template.spec.containers[0].livenessProbe.periodSeconds: ten: not a valid v1 Pod: expected a number, got a string`,
		`spec.template.spec.containers[1].name: 7: `,
		`spec.template.spec.containers[1].command: /bin/sh: not a valid v1 Pod: expected a list, got a string; see kubectl explain pod.spec.containers.command`,
		`x.yaml:47:19: document 1 (Deployment web): spec.template.spec.volumes[0].emptyDir: not a valid v1 Pod: expected an object, got a list`,
	} {
		if !strings.Contains(lines, want) {
			t.Errorf("no %s", want)
		}
	}
	if n := strings.Count(lines, "\n"); got.code != 1 || n != 22 {
		t.Errorf("code %d, %d lines:\n%s", got.code, n, got.err)
	}
}

// TestTypeErrorsElsewhere: in other documents, layouts and kinds.
func TestTypeErrorsElsewhere(t *testing.T) {
	const tail = "spec: {containers: [{name: a, image: i, env: [{name: A, value: 1}, {name: B, value: off}]}]}"
	for name, c := range map[string]struct {
		in   string
		want []string
	}{
		"a pod": {"# c\n---\napiVersion: v1\nkind: Pod\nmetadata: {labels: {a: 1}}\n" + tail + "\n", []string{
			":5:24: document 1 (Pod (no name)): metadata.labels.a: 1: ", ":6:64: document 1 (Pod (no name)): spec.containers[0].env[0].value: 1: ", ":6:85: document 1 (Pod (no name)): spec.containers[0].env[1].value: off: "}},
		"CRLF": {"apiVersion: v1\r\nkind: Pod\r\n" + tail + "\r\n", []string{":3:64: ", ":3:85: "}},
		"JSON": {"{\n \"apiVersion\": \"v1\", \"kind\": \"Pod\",\n \"metadata\": {\"name\": 5, \"annotations\": {\"a\": true}},\n \"spec\": {}}\n", []string{":3:23: document 1 (Pod (no name)): metadata.name: 5: ", ":3:47: "}},
		"a list": {"apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Pod\n  " + tail + "\n- apiVersion: v1\n  kind: Pod\n  metadata: {labels: [a]}\n", []string{
			":6:66: document 1 (Pod (no name)): spec.containers[0].env[0].value: 1: ", ":9:22: document 1 (Pod (no name)): metadata.labels: not a valid v1 Pod: expected an object, got a list"}},
		"a CronJob":          {"apiVersion: batch/v1\nkind: CronJob\nmetadata: {labels: {a: no}}\nspec:\n  jobTemplate:\n    spec:\n      template:\n        " + tail + "\n", []string{":3:24: document 1 (CronJob (no name)): metadata.labels.a: no: ", ":8:72: document 1 (CronJob (no name)): spec.jobTemplate.spec.template.spec.containers[0].env[0].value: 1: "}},
		"an alias":           {"apiVersion: v1\nkind: Pod\nx: &v 12\nmetadata: {labels: {a: *v, b: *v}}\nspec: {containers: [{name: a, image: i}]}\n", []string{"metadata.labels.a: ", "metadata.labels.b: "}},
		"a rewritten layout": {"apiVersion: v1\nkind: Pod\nmetadata:\n  annotations: {a: !!str 1}\n" + tail + "\n", []string{":5: document 1 (Pod (no name)): spec.containers[0].env[0].value: 1: ", "env[1].value: false: "}},
		"two documents":      {"apiVersion: v1\nkind: Pod\n" + tail + "\n---\napiVersion: v1\nkind: Pod\n" + tail + "\n", []string{":3:64: document 1", ":7:85: document 2"}},
		"an items' scalar":   {"apiVersion: v1\nkind: Pod\nspec: {containers: [web, {name: a, image: 1}]}\n", []string{"spec.containers[0]: web: not a valid v1 Pod: expected an object, got a string", "spec.containers[1].image: 1: "}},
		"a scalar spec":      {"apiVersion: apps/v1\nkind: Deployment\nspec:\n  template: web\n", []string{":4:13: document 1 (Deployment (no name)): spec.template: web: "}},
		"a list spec":        {"apiVersion: apps/v1\nkind: Deployment\nspec: []\n", []string{":3:7: document 1 (Deployment (no name)): spec: must be an object"}},
		"a time":             {"apiVersion: v1\nkind: Pod\nmetadata: {creationTimestamp: yesterday}\n" + tail + "\n", []string{"metadata.creationTimestamp: yesterday: ", "env[0].value: 1: "}},
	} {
		got := runWith(t, c.in, "kube-inject", "-f", "-")
		if got.code != 1 || got.out != "" {
			t.Errorf("%s: %+v", name, got)
		}
		for _, want := range c.want {
			if !strings.Contains(got.err, want) {
				t.Errorf("%s: no %s in\n%s", name, want, got.err)
			}
		}
	}
}
