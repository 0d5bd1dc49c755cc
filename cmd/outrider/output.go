package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
	"sigs.k8s.io/yaml"
)

// The values of -o that more than one command has.
const (
	asText = "text"
	asWide = "wide"
	asJSON = "json"
	asYAML = "yaml"
)

// addOutput adds -o with the formats of the command, of which the first is the default.
func addOutput(f *pflag.FlagSet, format *string, formats ...string) {
	f.StringVarP(format, "output", "o", formats[0], "output format: "+strings.Join(formats, ", "))
	setValues(f, "output", formats...)
}

// checkOutput rejects a format that the command does not have.
func checkOutput(format string, formats ...string) error {
	if slices.Contains(formats, format) {
		return nil
	}
	last := len(formats) - 1
	return usagef("-o: %q: unknown output format; use %s or %s", format, strings.Join(formats[:last], ", "), formats[last])
}

// encode is a value as JSON, or as the same in YAML.
func encode(format string, of any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(of)
	text := b.Bytes()
	if err == nil && format == asYAML {
		text, err = yaml.JSONToYAML(text)
	}
	if err != nil {
		return nil, fmt.Errorf("encode the output: %w", err)
	}
	return text, nil
}
