package main

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// change is a commit.
type change struct {
	hash    string // abbreviated
	subject string
	body    string
}

// subjectForm is "package: what changed", or several packages.
var subjectForm = regexp.MustCompile(`^([A-Za-z][\w./-]*(?:, [A-Za-z][\w./-]*)*): (\S.*)$`)

// breaking is the footer of a commit with what users must do.
var breaking = regexp.MustCompile(`(?m)^BREAKING CHANGE: (.+(?:\n.+)*)`)

// The sections of a changelog, after what users must do.
const (
	changes     = "Changes"
	docChanges  = "Documentation"
	development = "Development"
)

// changelog lists the changes of a release: by package, the newest first within
// one. previous is the tag before it, or empty.
func changelog(version, previous string, log []change) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", version)
	if previous == "" {
		fmt.Fprintf(&b, "\nThe first release: all %d commits.\n", len(log))
	} else {
		fmt.Fprintf(&b, "\n%d commits since %s.\n", len(log), previous)
	}
	sections := map[string]map[string][]string{changes: {}, docChanges: {}, development: {}}
	for _, c := range log {
		section, pkg, text := classify(c.subject)
		sections[section][pkg] = append(sections[section][pkg], fmt.Sprintf("- %s (%s)", text, c.hash))
	}
	if notes := upgradeNotes(log); len(notes) > 0 {
		fmt.Fprintf(&b, "\n## Before you upgrade\n\n%s\n", strings.Join(notes, "\n"))
	}
	for _, name := range []string{changes, docChanges, development} {
		if len(sections[name]) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n## %s\n", name)
		for _, pkg := range slices.Sorted(maps.Keys(sections[name])) {
			fmt.Fprintf(&b, "\n### %s\n\n%s\n", pkg, strings.Join(sections[name][pkg], "\n"))
		}
	}
	return b.String()
}

func upgradeNotes(log []change) (notes []string) {
	for _, c := range log {
		for _, m := range breaking.FindAllStringSubmatch(c.body, -1) {
			notes = append(notes, fmt.Sprintf("- %s (%s)", strings.Join(strings.Fields(m[1]), " "), c.hash))
		}
	}
	return notes
}

// classify finds the section of a commit, and its package in there. A commit of
// several packages is listed with the first.
func classify(subject string) (section, pkg, text string) {
	m := subjectForm.FindStringSubmatch(subject)
	if m == nil {
		return development, "other", subject
	}
	all, text := m[1], m[2]
	first, others, _ := strings.Cut(all, ", ")
	if others != "" {
		text += " [" + all + "]"
	}
	switch root, _, _ := strings.Cut(first, "/"); root {
	case "docs", "samples", "README", "SECURITY.md":
		return docChanges, first, text
	case "test", "tests", "hack", "ci", "Makefile", "CONTRIBUTING", "lint", "comments", "demo", "module", "prose", "repository", "scenarios", "findings":
		return development, first, text
	}
	return changes, first, text
}
