package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	expectation = regexp.MustCompile(`(?:lab|demo): "([^"]+)"`)
	property    = regexp.MustCompile(`privacy: (T\d+(?:, T\d+)*)`)
	attackName  = regexp.MustCompile(`attacks: ([a-z0-9/, -]+)`)
	attackGroup = regexp.MustCompile("`mimi-lab attack (\\w+)`")
)

// unshown are the words for what no test has to show: it is no promise.
var unshown = []string{"no test needed", "not prevented", "not hidden", "by design", "that is the question"}

// TestThreatModelTable: each row of who learns what names a test, an expectation of
// the lab or a group of attacks, all of which exist, or says that it is no promise.
func TestThreatModelTable(t *testing.T) {
	b, lab := readBook(t), labSources(t)
	learns := rows(t, read(t, "threat-model.md"), "## Who learns what")
	if len(learns) < 30 {
		t.Fatalf("only %d rows", len(learns))
	}
	groups := regexp.MustCompile(`Groups = \[\]string\{(.*)\}`).FindStringSubmatch(lab)
	if groups == nil {
		t.Fatal("the groups of attacks were not found")
	}
	properties := map[string]bool{}
	for _, row := range learns {
		if len(row) != 3 {
			t.Fatalf("a row of %d cells: %v", len(row), row)
		}
		// The outer backticks of a cell are gone.
		cell := "`" + row[2] + "`"
		shown := len(b.testsIn(t, cell))
		for _, m := range expectation.FindAllStringSubmatch(cell, -1) {
			if shown++; !strings.Contains(lab, m[1]) {
				t.Errorf("%s: the lab does not expect %q", row[1], m[1])
			}
		}
		for _, m := range property.FindAllStringSubmatch(cell, -1) {
			for _, name := range strings.Split(m[1], ", ") {
				if shown++; !strings.Contains(lab, `name: "`+name+`"`) {
					t.Errorf("%s: the lab has no property %s", row[1], name)
				}
				properties[name] = true
			}
		}
		for _, m := range attackName.FindAllStringSubmatch(cell, -1) {
			for _, name := range strings.Split(strings.TrimSpace(m[1]), ", ") {
				group, attack, ok := strings.Cut(name, "/")
				if ok && (!strings.Contains(groups[1], `"`+group+`"`) || !strings.Contains(lab, `"`+attack+`"`)) {
					t.Errorf("%s: there is no attack %s", row[1], name)
				}
				shown++
			}
		}
		for _, m := range attackGroup.FindAllStringSubmatch(cell, -1) {
			if shown++; !strings.Contains(groups[1], `"`+m[1]+`"`) {
				t.Errorf("%s: there are no attacks %q", row[1], m[1])
			}
		}
		if strings.Contains(cell, "lab: the scan") || strings.Contains(cell, "lab: the same scan") {
			shown++ // of everything that is sent, in every story
		}
		if shown == 0 && !slices.ContainsFunc(unshown, func(words string) bool { return strings.Contains(cell, words) }) {
			t.Errorf("%s, %s: nothing shows it", row[0], row[1])
		}
	}
	if len(properties) != 15 {
		t.Errorf("the table names %d properties of section 9, want T1 to T15", len(properties))
	}
	for _, party := range []string{"operator of the own gateway", "hub", "local provider", "remote provider", "member", "removed member", "contact", "outsider"} {
		if !slices.ContainsFunc(learns, func(row []string) bool { return strings.HasPrefix(row[0], party) }) {
			t.Errorf("nothing is said of the party %q", party)
		}
	}
}

// labSources returns the sources of the lab.
func labSources(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(filepath.Join(root, "cmd/mimi-lab"), func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".go") {
			b.WriteString(read(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
