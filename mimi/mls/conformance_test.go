package mls_test

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The conformance table says of each demand of RFC 9420, sections 5 to 13, how
// this package meets it. Its rows are compared with the RFC by
// tools/conformance; here they are compared with the code. A check is marked by
// a comment on a line of its own, which ends with sections and ordinals:
//
//	// RFC 9420, section 7.3: 4
//	// RFC 9420, sections 7.3: 4, 5; 10.1: 2
const (
	conformanceTable = "testdata/rfc9420.txt"
	conformanceDoc   = "../../docs/mls-conformance.md"
)

var update = flag.Bool("update", false, "write docs/mls-conformance.md")

// A demand is a row of the table.
type demand struct {
	section string
	ordinal int
	kind    string // must, step
	says    string
	state   string // tested, safe, missing
	tests   []string
	reason  string // of safe
}

func (d *demand) id() string { return fmt.Sprintf("%s: %d", d.section, d.ordinal) }

// A place is where a check is marked.
type place struct {
	file, function string
	line           int
}

// conformancePackages are where checks and tests are: the name before a test is
// that of its package, but for this one.
var conformancePackages = []string{".", "suite", "internal/schedule", "internal/secrettree", "../wire"}

// TestConformance fails on a demand that is missing, on a test or check that is
// not there, and on a document that is not up to date.
func TestConformance(t *testing.T) {
	demands, counts := readTable(t)
	tests, places := readSources(t)
	have := map[string][2]int{}
	known := map[string]*demand{}
	for i := range demands {
		d := &demands[i]
		top, _, _ := strings.Cut(d.section, ".")
		n := have[top]
		if d.kind == "must" {
			n[0]++
		} else {
			n[1]++
		}
		have[top] = n
		known[d.id()] = d
		checkDemand(t, d, tests, places)
	}
	if !maps.Equal(have, counts) {
		t.Errorf("the table has %v rows, and says that it has %v", have, counts)
	}
	for id, at := range places {
		if d := known[id]; d == nil || d.state != "tested" {
			t.Errorf("%v marks %s, which is no row that is tested", at, id)
		}
	}
	doc := render(demands, counts, places)
	if *update {
		if err := os.WriteFile(conformanceDoc, doc, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if old, err := os.ReadFile(conformanceDoc); err != nil {
		t.Error(err)
	} else if !bytes.Equal(old, doc) {
		t.Error("docs/mls-conformance.md is not up to date: go test -tags goolm -run TestConformance ./mimi/mls -update")
	}
}

func checkDemand(t *testing.T, d *demand, tests map[string]bool, places map[string][]place) {
	t.Helper()
	switch d.state {
	case "tested":
		for _, name := range d.tests {
			if !tests[name] {
				t.Errorf("%s: there is no %s", d.id(), name)
			}
		}
		if len(places[d.id()]) == 0 {
			t.Errorf("%s: no check is marked in the code", d.id())
		}
	case "safe":
	case "missing":
		t.Errorf("%s is missing: %s", d.id(), d.says)
	default:
		t.Errorf("%s: unknown state %q", d.id(), d.state)
	}
}

var (
	countLine  = regexp.MustCompile(`^section (\d+): (\d+) must, (\d+) step$`)
	demandLine = regexp.MustCompile(`^(\d+(?:\.\d+)*):(\d+) (must|step) [0-9a-f]{64}$`)
)

// readTable reads the rows, and how many the table says there are.
func readTable(t *testing.T) ([]demand, map[string][2]int) {
	t.Helper()
	f, err := os.Open(conformanceTable)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var demands []demand
	counts := map[string][2]int{}
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		l := lines.Text()
		if m := countLine.FindStringSubmatch(l); m != nil {
			counts[m[1]] = [2]int{number(m[2]), number(m[3])}
			continue
		}
		if m := demandLine.FindStringSubmatch(l); m != nil {
			demands = append(demands, demand{section: m[1], ordinal: number(m[2]), kind: m[3]})
			continue
		}
		body, ok := strings.CutPrefix(l, "\t")
		switch {
		case l == "" || strings.HasPrefix(l, "#"):
		case !ok || len(demands) == 0:
			t.Fatalf("%s: what is %q?", conformanceTable, l)
		case demands[len(demands)-1].says == "":
			demands[len(demands)-1].says = body
		default:
			d := &demands[len(demands)-1]
			d.state, d.reason, _ = strings.Cut(body, " ")
			if d.state == "tested" {
				d.tests = strings.Fields(d.reason)
			}
			if (d.state != "missing") == (d.reason == "") {
				t.Errorf("%s: %q says nothing", d.id(), body)
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return demands, counts
}

var (
	marker     = regexp.MustCompile(`^// RFC 9420, sections? (\d+(?:\.\d+)*: \d+(?:, \d+)*(?:; \d+(?:\.\d+)*: \d+(?:, \d+)*)*)$`)
	testMethod = regexp.MustCompile(`^Test[A-Z]\w*$`)
)

// readSources finds the tests and the marked checks.
func readSources(t *testing.T) (map[string]bool, map[string][]place) {
	t.Helper()
	tests, places := map[string]bool{}, map[string][]place{}
	for _, dir := range conformancePackages {
		files, err := filepath.Glob(filepath.Join(filepath.FromSlash(dir), "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: no files, %v", dir, err)
		}
		prefix := ""
		if dir != "." {
			prefix = filepath.Base(dir) + "."
		}
		for _, name := range files {
			fset := token.NewFileSet()
			f, err := parser.ParseFile(fset, name, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			if strings.HasSuffix(name, "_test.go") {
				for _, d := range f.Decls {
					if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && testMethod.MatchString(fn.Name.Name) {
						tests[prefix+fn.Name.Name] = true
					}
				}
				continue
			}
			for _, m := range markers(fset, f) {
				places[m.id] = append(places[m.id], place{filepath.ToSlash(filepath.Clean(name)), m.function, m.line})
			}
		}
	}
	return tests, places
}

// A mark says that a row is checked in a line of a function.
type mark struct {
	id, function string
	line         int
}

// markers returns the marked checks of a file. The check is in the line below the
// comment.
func markers(fset *token.FileSet, f *ast.File) []mark {
	var out []mark
	for _, group := range f.Comments {
		for _, c := range group.List {
			m := marker.FindStringSubmatch(c.Text)
			if m == nil {
				continue
			}
			function := ""
			for _, d := range f.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if ok && (fn.Doc == group || fn.Pos() <= c.Pos() && c.End() <= fn.End()) {
					function = fn.Name.Name
				}
			}
			for part := range strings.SplitSeq(m[1], "; ") {
				section, ordinals, _ := strings.Cut(part, ": ")
				for o := range strings.SplitSeq(ordinals, ", ") {
					out = append(out, mark{section + ": " + o, function, fset.Position(group.End()).Line + 1})
				}
			}
		}
	}
	return out
}

// render writes the document.
func render(demands []demand, counts map[string][2]int, places map[string][]place) []byte {
	var b bytes.Buffer
	b.WriteString(`# What RFC 9420 demands, and how mimi/mls meets it

Generated from mimi/mls/testdata/rfc9420.txt by ` + "`go test -tags goolm -run TestConformance ./mimi/mls -update`" + `.
A row is a sentence of sections 5 to 13 that has the word MUST in it, or a step of a list of checks, in our own words; the table
has the SHA-256 of the sentence, and tools/conformance compares it with the text of the RFC. The number is that of the row in its
section. A row is *tested by* tests that break the rule, of a check that is marked in the code by section and number; or it is *not
breakable by a peer because* of what follows. A *missing* row fails the build. ` + "`go -C tools run ./mutate`" + ` removes each marked check in
turn and runs the tests: one of them has to fail.

| Section | MUST | steps | tested | not breakable |
|---|---|---|---|---|
`)
	sections := slices.SortedFunc(maps.Keys(counts), func(a, b string) int {
		x, _ := strconv.Atoi(a)
		y, _ := strconv.Atoi(b)
		return x - y
	})
	for _, s := range sections {
		states := map[string]int{}
		for i := range demands {
			if top, _, _ := strings.Cut(demands[i].section, "."); top == s {
				states[demands[i].state]++
			}
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d | %d |\n", s, counts[s][0], counts[s][1], states["tested"], states["safe"])
	}
	top := ""
	for i := range demands {
		d := &demands[i]
		if s, _, _ := strings.Cut(d.section, "."); s != top {
			top = s
			fmt.Fprintf(&b, "\n## Section %s\n\n| Row | Demand | How |\n|---|---|---|\n", top)
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", d.id(), d.says, d.how(places[d.id()]))
	}
	return b.Bytes()
}

// how says how a demand is met.
func (d *demand) how(places []place) string {
	switch d.state {
	case "safe":
		return "*not breakable by a peer because* " + d.reason
	case "tested":
		at := make([]string, len(places))
		for i, p := range places {
			file := filepath.ToSlash(filepath.Join("mimi/mls", p.file))
			at[i] = fmt.Sprintf("[%s:%d](../%s#L%d) `%s`", filepath.Base(p.file), p.line, file, p.line, p.function)
		}
		return "*tested by* `" + strings.Join(d.tests, "`, `") + "`; checked in " + strings.Join(at, ", ")
	}
	return "*missing*"
}
