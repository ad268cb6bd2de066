// Package docs_test keeps the documents true: what they name must exist, and
// their tables must be those of the code.
package docs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/mimi-gateway/mimi-gateway/config"
)

var (
	fence = regexp.MustCompile("(?ms)^```.*?^```$")
	span  = regexp.MustCompile("`([^`\n]+)`")

	isTest    = regexp.MustCompile(`^(Test|Fuzz|Example|Benchmark)[A-Z]\w*$`)
	isMember  = regexp.MustCompile(`^([a-z]\w*)\.([A-Za-z]\w*(\.[A-Za-z]\w*)?)$`)
	isSetting = regexp.MustCompile(`^[a-z_]+(\.[a-z_]+)+$`)
	isPath    = regexp.MustCompile(`^\.?[\w\-]+(/[\w.\-*]+)*/?$`)
	isFile    = regexp.MustCompile(`^[\w\-]+\.(go|md|sql|json)$`)
	isTable   = regexp.MustCompile(`^mimi_[a-z_]+$`)
	isWord    = regexp.MustCompile(`^\w*[a-z]\w*[A-Z]\w*$`)
	inFolder  = regexp.MustCompile(`^go -C (\S+) `)
	runFlag   = regexp.MustCompile(`-run '?\^?([\w|]+)\$?'?`)
)

// TestNamesExist looks up everything in backticks that looks like a name of this
// repository.
func TestNamesExist(t *testing.T) {
	b := readBook(t)
	settings := exampleSettings(t)
	checked := 0
	for path, text := range documents(t) {
		for _, m := range span.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			known, problem := b.check(m[1], settings)
			if known {
				checked++
			}
			if problem != "" {
				t.Errorf("%s: `%s`: %s", path, m[1], problem)
			}
		}
	}
	if checked < 100 {
		t.Errorf("only %d names were recognised", checked)
	}
}

// check reports whether s looks like a name of this repository, and what is wrong
// with it.
func (b *book) check(s string, settings map[string]bool) (known bool, problem string) {
	verdict := func(ok bool, what string) (bool, string) {
		if ok {
			return true, ""
		}
		return true, what
	}
	if rest, ok := strings.CutPrefix(s, "make "); ok {
		for _, w := range strings.Fields(rest) {
			if !strings.Contains(w, "=") && !b.targets[w] {
				return true, "no such target"
			}
		}
		return true, ""
	}
	if strings.HasPrefix(s, "go ") {
		return true, b.checkCommand(s)
	}
	member := isMember.FindStringSubmatch(s)
	switch {
	case isTest.MatchString(s):
		return verdict(b.tests[s], "no such test")
	case member != nil && b.members[member[1]] != nil && strings.ToLower(s) != s:
		test := isTest.MatchString(member[2]) && b.tests[member[2]]
		return verdict(test || b.members[member[1]][member[2]], "not declared in package "+member[1])
	case isTable.MatchString(s):
		return verdict(strings.Contains(b.tables, s), "no such table or metric")
	case isFile.MatchString(s):
		return verdict(b.names[s], "no such file")
	case strings.Contains(s, "/") && isPath.MatchString(s):
		return b.checkPath(s)
	case isSetting.MatchString(s) && settings[strings.SplitN(s, ".", 2)[0]] && !strings.HasSuffix(s, ".yaml"):
		return verdict(settings[s], "no such setting")
	case isWord.MatchString(s):
		return verdict(b.words[s] || b.tests[s], "this word is nowhere in the code")
	}
	return false, ""
}

// checkPath looks for a path, unless its first element is none of ours.
func (b *book) checkPath(s string) (known bool, problem string) {
	first, _, _ := strings.Cut(s, "/")
	if _, err := os.Stat(filepath.Join(root, first)); err != nil {
		return false, ""
	}
	if found, err := filepath.Glob(filepath.Join(root, s)); err != nil || len(found) == 0 {
		return true, "no such path"
	}
	return true, ""
}

// checkCommand looks for the packages and tests that a go command names.
func (b *book) checkCommand(s string) string {
	dir := root
	if m := inFolder.FindStringSubmatch(s); m != nil {
		dir = filepath.Join(root, m[1])
	}
	for _, w := range strings.Fields(s) {
		if path, ok := strings.CutPrefix(w, "./"); ok {
			if _, err := os.Stat(filepath.Join(dir, strings.TrimSuffix(path, "/..."))); err != nil {
				return "no such package: " + w
			}
		}
	}
	if m := runFlag.FindStringSubmatch(s); m != nil {
		for _, name := range strings.Split(m[1], "|") {
			found := false
			for have := range b.tests {
				found = found || strings.Contains(have, name)
			}
			if !found {
				return "no test matches " + name
			}
		}
	}
	return ""
}

// exampleSettings returns the dotted names of all settings of the example
// configuration, and of their sections.
func exampleSettings(t *testing.T) map[string]bool {
	t.Helper()
	var doc map[string]any
	if err := yaml.Unmarshal([]byte(config.Example()), &doc); err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	var walk func(prefix string, v any)
	walk = func(prefix string, v any) {
		m, ok := v.(map[string]any)
		if !ok {
			return
		}
		for k, v := range m {
			out[prefix+k] = true
			walk(prefix+k+".", v)
		}
	}
	walk("", doc)
	if !out["network.listen.address"] {
		t.Fatal("the example has no network.listen.address")
	}
	return out
}

var link = regexp.MustCompile(`\]\(([^)#\s]+)(#[^)\s]*)?\)`)

// TestLinksLead checks the links between documents.
func TestLinksLead(t *testing.T) {
	checked := 0
	for path, text := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			checked++
			if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
				t.Errorf("%s links to %s, which does not exist", path, m[1])
			}
		}
	}
	if checked == 0 {
		t.Error("no link was found")
	}
}

// TestDocumentsSpeakOfTheProject finds paths of one machine and other words that
// have no business in a document.
func TestDocumentsSpeakOfTheProject(t *testing.T) {
	for path, text := range documents(t) {
		for _, word := range []string{"/work/", "/tmp/", "/root/", "TODO", "FIXME", "XXX"} {
			if strings.Contains(text, word) {
				t.Errorf("%s contains %q", path, word)
			}
		}
	}
}

// TestRecognisers shows what is taken for a name, since a recogniser that matches
// nothing lets everything pass.
func TestRecognisers(t *testing.T) {
	b := readBook(t)
	settings := exampleSettings(t)
	for _, bad := range []string{
		"make nonsense", "TestOfNothing", "hub.Nonsense", "hub.Store.Nonsense", "mimi_nonsense", "nonsense.go",
		"mimi/nonsense", "network.nonsense", "NonsenseOfNames", "go test ./mimi/nonsense", "go test ./mimi/mls -run TestOfNothing",
	} {
		if _, problem := b.check(bad, settings); problem == "" {
			t.Errorf("`%s` passes", bad)
		}
	}
	for _, good := range []string{
		"make test", "make fuzz FUZZTIME=1s", "TestNamesExist", "hub.Store", "hub.Store.Advance", "hub.Config.Limits", "mimi_hub_row",
		"docs_test.go", "mimi/hub", "mapping/schema/*.sql", "network.listen.address", "ExpandWithLabel", "go test ./docs -run TestNamesExist",
	} {
		if known, problem := b.check(good, settings); !known || problem != "" {
			t.Errorf("`%s` does not pass: %s", good, problem)
		}
	}
	var names []string
	for name := range b.tests {
		names = append(names, name)
	}
	if !slices.Contains(names, "TestRecognisers") {
		t.Error(fmt.Sprint("this test is not found among ", len(names)))
	}
}
