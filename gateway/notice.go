package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/scopegate/scopegate/gateway/policy"
)

// notice is one thing that build servers show at a place of a file. A line of 0 stands for the
// whole file, a column of 0 for the whole line.
type notice struct {
	id           string // stable: of a finding, or of a kind of change
	level        string // error, warning or note
	file         string
	line, column int
	title        string // of a few words
	text         string
}

// writeNotices writes notices for a build server, in the format github, sarif or junit. files are
// all that the command looked at, kinds is the table of all ids that it may report.
func (a *app) writeNotices(format, command string, files []string, kinds []policy.Kind, notices []notice) error {
	switch format {
	case "sarif":
		return writeSARIF(a.stdout, command, kinds, notices)
	case "junit":
		return writeJUnitNotices(a.stdout, command, files, notices)
	}
	for _, n := range notices {
		level := n.level
		if level == "note" {
			level = "notice"
		}
		annotate(a.stdout, level, n.file, n.line, n.column, n.title, n.text)
	}
	return nil
}

// noticesOf makes notices of findings.
func noticesOf(findings policy.Findings) []notice {
	out := []notice{}
	for _, f := range findings {
		text := f.Message
		if f.Hint != "" {
			text += "\nhint: " + f.Hint
		}
		out = append(out, notice{f.ID, f.Severity.String(), f.File, f.Line, f.Column, "policy " + f.ID, text})
	}
	return out
}

// SARIF 2.1.0, as far as it is used: sections 3.13 (log), 3.14 (run), 3.27 (result).
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool       sarifTool     `json:"tool"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID    string    `json:"id"`
		Short sarifText `json:"shortDescription"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifLocation struct {
		Physical struct {
			Artifact struct {
				URI string `json:"uri"`
			} `json:"artifactLocation"`
			Region *sarifRegion `json:"region,omitempty"`
		} `json:"physicalLocation"`
	}
	sarifRegion struct {
		Line   int `json:"startLine"`
		Column int `json:"startColumn,omitempty"`
	}
)

// writeSARIF writes one run of the Static Analysis Results Interchange Format.
func writeSARIF(w io.Writer, command string, kinds []policy.Kind, notices []notice) error {
	run := sarifRun{ColumnKind: "unicodeCodePoints", Results: []sarifResult{}}
	run.Tool.Driver = sarifDriver{Name: "scopegate gateway " + command, Version: buildOf().Version, Rules: []sarifRule{}}
	for _, k := range kinds {
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{k.ID, sarifText{k.Doc}})
	}
	for _, n := range notices {
		at := slices.IndexFunc(kinds, func(k policy.Kind) bool { return k.ID == n.id })
		r := sarifResult{RuleID: n.id, RuleIndex: at, Level: n.level, Message: sarifText{n.text}, Locations: make([]sarifLocation, 1)}
		place := &r.Locations[0].Physical
		place.Artifact.URI = fileURI(n.file)
		if n.line > 0 {
			place.Region = &sarifRegion{n.line, n.column}
		}
		run.Results = append(run.Results, r)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(sarifLog{"https://json.schemastore.org/sarif-2.1.0.json", "2.1.0", []sarifRun{run}})
}

// fileURI names a file as SARIF does: relative to where the command ran, if it lies below.
func fileURI(file string) string {
	path := filepath.ToSlash(filepath.Clean(file))
	if filepath.IsAbs(file) {
		return (&url.URL{Scheme: "file", Path: path}).String()
	}
	return (&url.URL{Path: path}).String()
}

// writeJUnitNotices writes a suite with a test for each file: it fails by its errors and
// warnings, and so lists them.
func writeJUnitNotices(w io.Writer, command string, files []string, notices []notice) error {
	suite := junitSuite{Name: "gateway " + command}
	for _, file := range files {
		one := junitCase{Class: "gateway " + command, Name: file}
		var said []string
		for _, n := range notices {
			if n.file == file && n.level != "note" {
				said = append(said, fmt.Sprintf("%s: %s %s: %s", place(n.file, n.line), n.level, n.id, n.text))
			}
		}
		if len(said) > 0 {
			one.Failure = &junitFailure{Message: count(len(said), "finding"), Type: command, Text: strings.Join(said, "\n")}
			suite.Failures++
		}
		suite.Cases = append(suite.Cases, one)
	}
	suite.Tests = len(suite.Cases)
	all := junitSuites{Name: suite.Name, Tests: suite.Tests, Failures: suite.Failures, Suites: []junitSuite{suite}}
	out, err := xml.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s%s\n", xml.Header, out)
	return err
}
