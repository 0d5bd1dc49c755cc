package validate

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/outrider-mesh/outrider/internal/problem"
)

// SARIF is a log of SARIF 2.1.0, as far as code hosts show it on pull requests.
type SARIF struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool       sarifTool     `json:"tool"`
	ColumnKind string        `json:"columnKind"`
	Results    []sarifResult `json:"results"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name           string      `json:"name"`
	Version        string      `json:"version"`
	InformationURI string      `json:"informationUri"`
	Rules          []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID               string    `json:"id"`
	ShortDescription sarifText `json:"shortDescription"`
	HelpURI          string    `json:"helpUri"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifResult struct {
	RuleID              string            `json:"ruleId"`
	RuleIndex           int               `json:"ruleIndex"`
	Level               string            `json:"level"`
	Message             sarifText         `json:"message"`
	Locations           []sarifLocation   `json:"locations"`
	PartialFingerprints map[string]string `json:"partialFingerprints"`
}

type sarifLocation struct {
	PhysicalLocation sarifPhysical  `json:"physicalLocation"`
	LogicalLocations []sarifLogical `json:"logicalLocations,omitempty"`
}

type sarifPhysical struct {
	ArtifactLocation sarifArtifact `json:"artifactLocation"`
	Region           sarifRegion   `json:"region"`
}

type sarifArtifact struct {
	URI string `json:"uri"`
}

type sarifRegion struct {
	StartLine   int `json:"startLine"`
	StartColumn int `json:"startColumn"`
}

type sarifLogical struct {
	FullyQualifiedName string `json:"fullyQualifiedName"`
}

const homepage = "https://github.com/outrider-mesh/outrider"

// SARIF is the report as a log of the program in a version.
func (r *Report) SARIF(version string) SARIF {
	driver := sarifDriver{Name: "outrider", Version: version, InformationURI: homepage}
	for _, rule := range Rules() {
		driver.Rules = append(driver.Rules, sarifRule{rule.ID, sarifText{rule.Text}, homepage + "/blob/main/docs/validate.md#rules"})
	}
	run := sarifRun{Tool: sarifTool{driver}, ColumnKind: "unicodeCodePoints", Results: []sarifResult{}}
	for i := range r.Findings {
		run.Results = append(run.Results, r.Findings[i].sarif(driver.Rules))
	}
	return SARIF{"https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json", "2.1.0", []sarifRun{run}}
}

func (f *Finding) sarif(rules []sarifRule) sarifResult {
	out := sarifResult{
		RuleID: f.RuleID, RuleIndex: slices.IndexFunc(rules, func(r sarifRule) bool { return r.ID == f.RuleID }),
		Level: f.Severity, Message: sarifText{problem.Printable(f.Described())},
		Locations: []sarifLocation{{PhysicalLocation: sarifPhysical{
			sarifArtifact{fileURI(f.File)}, sarifRegion{max(f.Line, 1), max(f.Column, 1)},
		}}},
		PartialFingerprints: map[string]string{"finding/v1": f.fingerprint()},
	}
	if f.Object != "" {
		out.Locations[0].LogicalLocations = []sarifLogical{{problem.Printable(f.Object)}}
	}
	return out
}

// fingerprint identifies the finding when the file changes above it.
func (f *Finding) fingerprint() string {
	sum := sha256.Sum256([]byte(strings.Join([]string{f.RuleID, f.Object, f.Path, f.Message}, "\x00")))
	return hex.EncodeToString(sum[:8])
}

// fileURI is a file as a URI reference: relative for a relative path, as code hosts expect.
func fileURI(file string) string {
	slashed := filepath.ToSlash(file)
	if strings.HasPrefix(slashed, "/") || filepath.IsAbs(file) {
		return (&url.URL{Scheme: "file", Path: "/" + strings.TrimPrefix(slashed, "/")}).String()
	}
	// A colon in the first segment would make it a scheme.
	return strings.TrimPrefix((&url.URL{Path: path.Clean(slashed)}).String(), "./")
}
