package main

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A licence is recognised by sentences that no other one has. Copyleft ones
// come first, so that a text which quotes another licence counts as the worse.
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
	{"MPL-2.0", false, "Mozilla Public License Version 2.0"},
	{"Apache-2.0", false, "Apache License Version 2.0"},
	{"MIT", false, "Permission is hereby granted, free of charge, to any person obtaining a copy"},
	{"BSD", false, "Redistribution and use in source and binary forms, with or without modification, are permitted"},
	{"ISC", false, "Permission to use, copy, modify, and distribute this software for any purpose with or without fee is hereby granted"},
	{"ISC", false, "Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted"},
}

var space = regexp.MustCompile(`\s+`)

// licenceOf names the licence of a text. The MPL speaks of the GPL, so that one
// has to be told apart by its title.
func licenceOf(text string) (name string, refused bool) {
	text = strings.ToLower(strings.TrimSpace(space.ReplaceAllString(text, " ")))
	if strings.HasPrefix(text, "mozilla public license version 2.0") {
		return "MPL-2.0", false
	}
	for _, l := range licences {
		if strings.Contains(text, strings.ToLower(l.sentence)) {
			return l.name, l.refused
		}
	}
	return "unknown", true
}

func TestLicenceOf(t *testing.T) {
	for text, want := range map[string]string{
		"Mozilla Public License Version 2.0\n\n means ... the GNU General Public License": "MPL-2.0",
		"   GNU GENERAL PUBLIC LICENSE\n   Version 3, 29 June 2007":                       "GPL",
		"GNU AFFERO GENERAL PUBLIC\n LICENSE, not the GNU General Public License":         "AGPL",
		"All rights reserved.": "unknown",
	} {
		if got, _ := licenceOf(text); got != want {
			t.Errorf("%.40q is taken for %s, not %s", text, got, want)
		}
	}
}

// TestLicences lists the licences of all modules that are linked, and fails for
// copyleft other than the MPL-2.0, which asks for its own files alone.
func TestLicences(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-tags", "goolm", "-deps", "-json=Module,Standard", ".")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := map[string]string{}
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var pkg struct {
			Standard bool
			Module   *struct {
				Path, Dir string
				Main      bool
			}
		}
		if err := dec.Decode(&pkg); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if pkg.Module != nil && !pkg.Module.Main {
			modules[pkg.Module.Path] = pkg.Module.Dir
		}
	}
	if len(modules) < 10 {
		t.Fatalf("only %d modules were found", len(modules))
	}
	for path, dir := range modules {
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		found := 0
		for _, file := range files {
			upper := strings.ToUpper(file.Name())
			if file.IsDir() || (!strings.HasPrefix(upper, "LICEN") && !strings.HasPrefix(upper, "COPYING")) {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, file.Name()))
			if err != nil {
				t.Fatal(err)
			}
			found++
			name, refused := licenceOf(string(text))
			t.Logf("%-50s %-12s %s", path, name, file.Name())
			if refused {
				t.Errorf("%s has the licence %s (%s)", path, name, file.Name())
			}
		}
		if found == 0 {
			t.Errorf("%s has no licence file", path)
		}
	}
}
