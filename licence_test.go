package gateway_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// binaries are the packages whose binaries are given to others.
var binaries = []string{"./cmd/mimi-gateway", "./cmd/mimi-lab"}

// A licence is recognised by a sentence that no other one has. Copyleft ones come
// first, so that a text which quotes another licence counts as the worse.
var licences = []struct {
	name     string
	refused  bool
	sentence string
}{
	{"AGPL", true, "GNU AFFERO GENERAL PUBLIC LICENSE"},
	{"LGPL", true, "GNU LESSER GENERAL PUBLIC LICENSE"},
	{"LGPL", true, "GNU LIBRARY GENERAL PUBLIC LICENSE"},
	{"GPL", true, "GNU GENERAL PUBLIC LICENSE"},
	{"EUPL", true, "European Union Public Licence"},
	{"SSPL", true, "Server Side Public License"},
	{"EPL", true, "Eclipse Public License"},
	{"CDDL", true, "COMMON DEVELOPMENT AND DISTRIBUTION LICENSE"},
	{"CC-BY-SA", true, "Attribution-ShareAlike"},
	{"MPL-1", true, "Mozilla Public License Version 1"},
	{"MPL-2.0", false, "Mozilla Public License Version 2.0"},
	{"Apache-2.0", false, "Apache License Version 2.0"},
	{"MIT", false, "Permission is hereby granted, free of charge, to any person obtaining a copy"},
	{"BSD", false, "Redistribution and use in source and binary forms with or without modification are permitted"},
	{"ISC", false, "Permission to use, copy, modify, and distribute this software for any purpose with or without fee is hereby granted"},
	{"ISC", false, "Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted"},
}

var gap = regexp.MustCompile(`[\s,]+`)

// plain is a text without its case, commas and line breaks, in all of which
// copies of a licence differ.
func plain(text string) string {
	return strings.ToLower(strings.TrimSpace(gap.ReplaceAllString(text, " ")))
}

// licenceOf names the licence of a text, and says whether it is refused. What is
// not recognised is.
func licenceOf(text string) (name string, refused bool) {
	text = plain(text)
	// The MPL-2.0 names the GPL as a secondary licence, so that its title decides.
	if strings.HasPrefix(text, "mozilla public license version 2.0") {
		return "MPL-2.0", false
	}
	for _, l := range licences {
		if strings.Contains(text, plain(l.sentence)) {
			return l.name, l.refused
		}
	}
	return "unknown", true
}

// isLicence reports whether a file of this name in a module's root is one of its
// licences.
func isLicence(name string) bool {
	upper := strings.ToUpper(name)
	return slices.ContainsFunc([]string{"LICEN", "COPYING", "UNLICENSE"}, func(p string) bool { return strings.HasPrefix(upper, p) })
}

// checkLicences returns one line for each licence of modules, which maps their
// paths to their folders, and an error that says what is wrong with which.
func checkLicences(modules map[string]string) (lines []string, err error) {
	for _, path := range slices.Sorted(maps.Keys(modules)) {
		files, readErr := os.ReadDir(modules[path])
		err = errors.Join(err, readErr)
		found := 0
		for _, file := range files {
			if file.IsDir() || !isLicence(file.Name()) {
				continue
			}
			found++
			text, readErr := os.ReadFile(filepath.Join(modules[path], file.Name()))
			if readErr != nil {
				err = errors.Join(err, readErr)
				continue
			}
			name, refused := licenceOf(string(text))
			lines = append(lines, fmt.Sprintf("%-50s %-12s %s", path, name, file.Name()))
			if refused {
				err = errors.Join(err, fmt.Errorf("%s has the licence %s (%s)", path, name, file.Name()))
			}
		}
		if found == 0 {
			err = errors.Join(err, fmt.Errorf("%s has no licence file", path))
		}
	}
	return lines, err
}

// linked returns the folders of the modules that are linked into a package's
// binary, by path.
func linked(t *testing.T, pkg string) map[string]string {
	t.Helper()
	watchSources(t)
	cmd := exec.CommandContext(t.Context(), "go", "list", "-tags", "goolm", "-deps", "-json=Module", pkg)
	cmd.Stderr = t.Output()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := map[string]string{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			Module *struct {
				Path, Dir string
				Main      bool
			}
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return modules
		} else if err != nil {
			t.Fatal(err)
		}
		if p.Module != nil && !p.Module.Main {
			modules[p.Module.Path] = p.Module.Dir
		}
	}
}

// TestLicences lists the licences of all modules that are linked, and fails for
// copyleft other than the MPL-2.0, which asks for its own files alone.
func TestLicences(t *testing.T) {
	for _, pkg := range binaries {
		t.Run(filepath.Base(pkg), func(t *testing.T) {
			modules := linked(t, pkg)
			// The two that both binaries cannot do without.
			for _, path := range []string{"maunium.net/go/mautrix", "github.com/mattn/go-sqlite3"} {
				if modules[path] == "" {
					t.Errorf("%s is not among the %d modules that were found", path, len(modules))
				}
			}
			lines, err := checkLicences(modules)
			for _, line := range lines {
				t.Log(line)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLicenceOf(t *testing.T) {
	for text, want := range map[string]string{
		"Mozilla Public License Version 2.0\n\n means ... the GNU General Public License": "MPL-2.0",
		"Mozilla Public License, version 2.0\n\n ... GNU Lesser General Public License":   "MPL-2.0",
		"   GNU GENERAL PUBLIC LICENSE\n   Version 3, 29 June 2007":                       "GPL",
		"GNU AFFERO GENERAL PUBLIC\n LICENSE, not the GNU General Public License":         "AGPL",
		"Permission is hereby granted, free of charge, to any\nperson obtaining a copy":   "MIT",
		"All rights reserved.": "unknown",
	} {
		if got, _ := licenceOf(text); got != want {
			t.Errorf("%.40q is taken for %s, not %s", text, got, want)
		}
	}
}

func TestLicencesThatAreRefused(t *testing.T) {
	for name, test := range map[string]struct{ file, text, want string }{
		"copyleft":   {"COPYING", "GNU GENERAL PUBLIC LICENSE\nVersion 2", "example.org/m has the licence GPL (COPYING)"},
		"lesser":     {"LICENSE.md", "GNU Lesser General Public License\nVersion 3", "example.org/m has the licence LGPL (LICENSE.md)"},
		"unknown":    {"LICENCE", "Ask me first.", "example.org/m has the licence unknown (LICENCE)"},
		"no licence": {"README", "GNU GENERAL PUBLIC LICENSE", "example.org/m has no licence file"},
		"permitted":  {"LICENSE", "Apache License\nVersion 2.0, January 2004", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, test.file), []byte(test.text), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := checkLicences(map[string]string{"example.org/m": dir})
			if got := fmt.Sprint(err); got != test.want && (err != nil || test.want != "") {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
