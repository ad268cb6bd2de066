package docs_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

var testName = regexp.MustCompile("`(Test\\w+)`")

// parties are the columns of section 8, as the tests name them.
var parties = []string{"Hub", "Adder", "Members", "Joiner"}

// tables returns the rows of each table below a heading, up to the next one, cells
// as they are written.
func tables(t *testing.T, text, heading string) (out [][][]string) {
	t.Helper()
	_, rest, ok := strings.Cut(text, "\n"+heading+"\n")
	if !ok {
		t.Fatalf("there is no heading %q", heading)
	}
	open := false
	for line := range strings.Lines(rest) {
		if strings.HasPrefix(line, "#") {
			break
		}
		line = strings.TrimSpace(line)
		switch {
		case !strings.HasPrefix(line, "|"):
			open = false
		case !open: // the head
			open = true
			out = append(out, nil)
		case !strings.HasPrefix(line, "|---"):
			var cells []string
			for _, cell := range strings.Split(strings.Trim(line, "|"), "|") {
				cells = append(cells, strings.TrimSpace(cell))
			}
			out[len(out)-1] = append(out[len(out)-1], cells)
		}
	}
	return out
}

// testsIn returns the tests that a cell names, all of which must exist.
func (b *book) testsIn(t *testing.T, cell string) (names []string) {
	t.Helper()
	for _, m := range testName.FindAllStringSubmatch(cell, -1) {
		if names = append(names, m[1]); !b.tests[m[1]] {
			t.Errorf("there is no %s", m[1])
		}
	}
	return names
}

// TestTableOfChecks: each party of each row of section 8 that checks something has a
// test named after row and party, and there is no such test beside these.
func TestTableOfChecks(t *testing.T) {
	b := readBook(t)
	both := tables(t, read(t, "mmr-profile.md"), "### Checks")
	if len(both) != 2 || len(both[0]) < 10 || len(both[0]) != len(both[1]) {
		t.Fatalf("section 8 has %d tables of checks", len(both))
	}
	named := map[string]bool{}
	for i, check := range both[0] {
		row, shown := check[0], both[1][i]
		if shown[0] != row {
			t.Fatalf("tests of row %q stand where those of %q should", shown[0], row)
		}
		for p, party := range parties {
			verdict, tests := check[2+p], b.testsIn(t, shown[1+p])
			for _, name := range tests {
				named[name] = true
				if !strings.HasPrefix(name, "TestRow"+row) {
					t.Errorf("%s, %s: %s is not named after the row", row, party, name)
				}
			}
			silent := slices.Contains([]string{"-", "cannot", "by type", "makes it"}, verdict)
			if silent != (len(tests) == 0) {
				t.Errorf("%s, %s: %q, and %d tests", row, party, verdict, len(tests))
			}
			if verdict == "yes" && !slices.Contains(tests, "TestRow"+row+party) {
				t.Errorf("%s, %s: no TestRow%s%s", row, party, row, party)
			}
		}
	}
	b.allNamed(t, "TestRow", named)
}

// cornerCases are those that the profile says have a test each.
var cornerCases = []string{
	"conflict without rotation", "conflict with rotation", "Welcome processed late", "external join while a Commit is in flight",
	"external join while a removal is pending", "resync", "poisoned external Commit", "last client of a user leaves", "second client later",
	"certificate renewal", "queue key rotation", "key material exhausted", "hub restart between acceptance and fan-out", "duplicate delivery",
	"hub that withholds a Commit",
}

// TestTableOfCorners: each corner case of section 8 has a test named after it.
func TestTableOfCorners(t *testing.T) {
	b := readBook(t)
	all := tables(t, read(t, "mmr-profile.md"), "### Corner cases")
	if len(all) != 1 {
		t.Fatalf("%d tables of corner cases", len(all))
	}
	named := map[string]bool{}
	var cases []string
	for _, row := range all[0] {
		cases = append(cases, row[0])
		corner := false
		for _, name := range b.testsIn(t, row[2]) {
			named[name] = true
			corner = corner || strings.HasPrefix(name, "TestCorner")
		}
		if !corner {
			t.Errorf("%s: no TestCorner", row[0])
		}
	}
	if !slices.Equal(cases, cornerCases) {
		t.Errorf("the cases are %q", cases)
	}
	b.allNamed(t, "TestCorner", named)
}

// allNamed fails for tests with a prefix that a table does not name.
func (b *book) allNamed(t *testing.T, prefix string, named map[string]bool) {
	t.Helper()
	for name := range b.tests {
		if strings.HasPrefix(name, prefix) && !named[name] {
			t.Errorf("%s stands in no table", name)
		}
	}
}
