package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"

	"gopkg.in/yaml.v3"
)

// maxConfig bounds a config file, in bytes; one with every setting has some ten thousand.
const maxConfig = 1 << 20

// loadConfig reads a file strictly. An empty name is the defaults.
func loadConfig(file string) (Config, error) {
	c := Defaults()
	if file == "" {
		return c, describe("the defaults", nil, c.validate())
	}
	f, err := os.Open(file)
	if errors.Is(err, os.ErrNotExist) {
		return c, fmt.Errorf("%s: no such file: make one with doorhub init, or name yours with --config", file)
	}
	if err != nil {
		return c, fmt.Errorf("config: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err != nil {
		return c, fmt.Errorf("config: %w", err)
	}
	return parseConfig(file, text)
}

// parseConfig reads the text of a file over the defaults.
func parseConfig(file string, text []byte) (Config, error) {
	c := Defaults()
	if len(text) > maxConfig {
		return c, fmt.Errorf("%s: over %d KiB: this is no config of doorhub", file, maxConfig>>10)
	}
	root, err := parseYAML(file, text)
	if err != nil {
		return c, err
	}
	if root == nil {
		return c, describe(file, nil, c.validate())
	}
	if err := checkFile(file, root, c); err != nil {
		return c, err
	}
	if err := root.Decode(&c); err != nil {
		return c, fmt.Errorf("%s: %w", file, err)
	}
	return c, describe(file, root, c.validate())
}

// parseYAML reads one document; nil is an empty file.
func parseYAML(file string, text []byte) (*yaml.Node, error) {
	var doc, more yaml.Node
	dec := yaml.NewDecoder(bytes.NewReader(text))
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil, nil
	}
	if err == nil {
		err = dec.Decode(&more)
	}
	switch {
	case errors.Is(err, io.EOF):
		return doc.Content[0], nil
	case err == nil:
		return nil, fmt.Errorf("%s:%d: a second document begins here: keep one, and take the --- out", file, more.Line)
	}
	return nil, syntaxError(file, text, err)
}

var yamlError = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// syntaxError words what yaml.v3 says of text that is no YAML for people.
func syntaxError(file string, text []byte, err error) error {
	says, from := err.Error(), 1
	if m := yamlError.FindStringSubmatch(says); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			from = n
		}
		says = m[2]
	}
	line, content := brokenLine(text, from)
	hint := "check its quotes and brackets, and that the keys of a section begin in one column"
	if bytes.Contains(content, []byte("\t")) {
		hint = "indent with spaces, not with tabs"
	}
	return fmt.Errorf("%s:%d: this is no YAML (%s): %s", file, line, says, hint)
}

// The search for the broken line is bounded, in lines and in bytes.
const (
	maxProbes = 300
	maxProbed = 64 << 10
)

// brokenLine finds the line from which on the text is no YAML. yaml.v3 names where the part
// that it was reading began, often lines earlier.
func brokenLine(text []byte, from int) (line int, content []byte) {
	lines := bytes.SplitAfter(text, []byte("\n"))
	line = from
	if len(text) > maxProbed {
		return line, lines[min(line, len(lines))-1]
	}
	if len(lines) <= maxProbes {
		from = 1
	}
	broken := false
	for k := from; k <= min(len(lines), from+maxProbes); k++ {
		var n yaml.Node
		err := yaml.Unmarshal(bytes.Join(lines[:k], nil), &n)
		if err != nil && !broken {
			line = k
		}
		broken = err != nil
	}
	return line, lines[min(line, len(lines))-1]
}
