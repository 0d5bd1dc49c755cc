package main

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// normalSBOM makes a CycloneDX document of the version, and the same wherever it is
// made: the tool derives a version from the repository, and adds the hashes of its
// own program, which depend on the machine that it runs on.
func normalSBOM(document []byte, version string) ([]byte, error) {
	var head struct {
		SerialNumber string
		Metadata     struct {
			Timestamp string
			Component struct{ Name, Version string }
		}
		Components []json.RawMessage
	}
	if err := json.Unmarshal(document, &head); err != nil {
		return nil, err
	}
	c := head.Metadata.Component
	switch {
	case c.Name != module:
		return nil, fmt.Errorf("metadata.component.name: %q: must be %s", c.Name, module)
	case len(head.Components) == 0:
		return nil, fmt.Errorf("components: must not be empty")
	case head.SerialNumber != "" || head.Metadata.Timestamp != "":
		return nil, fmt.Errorf("the document has a serial number or a time, so that no two are equal")
	}
	if c.Version != "" {
		document = bytes.ReplaceAll(document, []byte(module+"@"+c.Version), []byte(module+"@"+version))
	}
	var tree map[string]json.RawMessage
	if err := json.Unmarshal(document, &tree); err != nil {
		return nil, err
	}
	metadata, err := edit(tree["metadata"], func(m map[string]json.RawMessage) (err error) {
		if m["component"], err = edit(m["component"], func(c map[string]json.RawMessage) (err error) {
			c["version"], err = json.Marshal(version)
			return err
		}); err != nil {
			return err
		}
		var tools []map[string]json.RawMessage
		if err := json.Unmarshal(m["tools"], &tools); err != nil {
			return fmt.Errorf("metadata.tools: %w", err)
		}
		for _, tool := range tools {
			delete(tool, "hashes")
		}
		m["tools"], err = json.Marshal(tools)
		return err
	})
	if err != nil {
		return nil, err
	}
	tree["metadata"] = metadata
	text, err := json.MarshalIndent(tree, "", "  ")
	return append(text, '\n'), err
}

// edit changes the fields of a JSON object.
func edit(object json.RawMessage, change func(map[string]json.RawMessage) error) (json.RawMessage, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(object, &fields); err != nil {
		return nil, err
	}
	if err := change(fields); err != nil {
		return nil, err
	}
	return json.Marshal(fields)
}
