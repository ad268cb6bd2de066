package main

import (
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"gopkg.in/yaml.v3"
)

// generateRegistration writes the registration file, and the secrets of both
// sides into the configuration.
func generateRegistration(opts *options, stdout io.Writer) error {
	s, err := loadSettings(opts.config)
	if err != nil {
		return err
	}
	for _, p := range s.problems(false) {
		// They are not in the way yet, but better known now than at the start.
		fmt.Fprintf(stdout, "Still to be set: %v\n", p)
	}
	if domain := s.bridge.Homeserver.Domain; domain == "" || domain == "example.com" {
		return fail(exitRegister, "homeserver.domain is not set: the registration depends on it")
	}
	reg := s.bridge.GenerateRegistration()
	data, err := os.ReadFile(opts.config)
	if err != nil {
		return err
	}
	set := map[string]string{
		"appservice.as_token": reg.AppToken,
		"appservice.hs_token": reg.ServerToken,
	}
	if s.bridge.Provisioning.SharedSecret == generate {
		set["provisioning.shared_secret"] = rand.Text() + rand.Text()
	}
	if s.bridge.Encryption.PickleKey == generate {
		set["encryption.pickle_key"] = rand.Text() + rand.Text()
	}
	for _, key := range []string{"appservice.as_token", "appservice.hs_token", "provisioning.shared_secret", "encryption.pickle_key"} {
		if value, ok := set[key]; ok {
			if data, err = setScalar(data, key, value); err != nil {
				return fail(exitRegister, "%s: %w", opts.config, err)
			}
		}
	}
	out, err := yaml.Marshal(reg)
	if err != nil {
		return err
	}
	// The configuration first: tokens that the homeserver knows and the gateway
	// does not are worse than the reverse, which the next -g mends.
	if err := replaceFile(opts.config, data); err != nil {
		return err
	}
	if err := replaceFile(opts.registration, out); err != nil {
		return err
	}
	_, err = fmt.Fprintf(stdout, "Wrote %s. Add it to your homeserver's app_service_config_files, and restart the homeserver.\n", opts.registration)
	return err
}

// replaceFile writes a file of mode 0600 in one step.
func replaceFile(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already after the rename
	if _, err := f.Write(data); err != nil {
		return fmt.Errorf("%w (%v)", err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// setScalar changes the value at a dotted path of two keys in YAML text, and
// nothing else: comments, blank lines and order stay.
func setScalar(data []byte, path, value string) ([]byte, error) {
	section, key, _ := strings.Cut(path, ".")
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	quoted := fmt.Sprintf("%q", value)
	lines := strings.SplitAfter(string(data), "\n")
	var sectionKey, sectionValue *yaml.Node
	if len(doc.Content) == 1 {
		sectionKey, sectionValue = lookup(doc.Content[0], section)
	}
	switch {
	case sectionKey == nil:
		return fmt.Appendf(data, "\n%s:\n    %s: %s\n", section, key, quoted), nil
	case sectionValue.Kind != yaml.MappingNode || sectionValue.Style&yaml.FlowStyle != 0 || len(sectionValue.Content) == 0:
		return nil, fmt.Errorf("%s must be a mapping with one key in each line", section)
	}
	if _, node := lookup(sectionValue, key); node != nil {
		line, at := &lines[node.Line-1], node.Column-1
		end, err := scalarEnd(*line, at, node)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		*line = (*line)[:at] + quoted + (*line)[end:]
		return []byte(strings.Join(lines, "")), nil
	}
	first := sectionValue.Content[0]
	indent := strings.Repeat(" ", first.Column-1)
	lines[sectionKey.Line-1] += indent + key + ": " + quoted + "\n"
	return []byte(strings.Join(lines, "")), nil
}

func lookup(mapping *yaml.Node, key string) (k, v *yaml.Node) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == key {
			return mapping.Content[i], mapping.Content[i+1]
		}
	}
	return nil, nil
}

// scalarEnd returns where the scalar that begins at a byte of line ends.
func scalarEnd(line string, at int, node *yaml.Node) (int, error) {
	raw := node.Value
	switch {
	case node.Kind != yaml.ScalarNode:
		return 0, fmt.Errorf("must be a string")
	case node.Style&yaml.DoubleQuotedStyle != 0:
		raw = `"` + raw + `"`
	case node.Style&yaml.SingleQuotedStyle != 0:
		raw = `'` + raw + `'`
	}
	if !strings.HasPrefix(line[min(at, len(line)):], raw) {
		return 0, fmt.Errorf("must be a plain string in one line, without escapes")
	}
	return at + len(raw), nil
}
