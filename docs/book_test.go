package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// root is the top folder of the repository.
const root = ".."

// A book is what the documents may speak of: everything that the repository
// declares.
type book struct {
	tests   map[string]bool            // functions of test files
	members map[string]map[string]bool // package name: Name and Type.Member
	words   map[string]bool            // of all Go files that are no tests
	targets map[string]bool            // of the Makefile
	names   map[string]bool            // base names of files
	tables  string                     // schema and metrics, as text
}

// skipped folders hold nothing that a document may name, and may be large.
var skipped = map[string]bool{".git": true, "testdata": true, "out": true, "bin": true, "node_modules": true, "target": true}

var (
	word   = regexp.MustCompile(`\w+`)
	target = regexp.MustCompile(`(?m)^([a-z][\w-]*):`)
)

func readBook(t *testing.T) *book {
	t.Helper()
	b := &book{
		tests: map[string]bool{}, members: map[string]map[string]bool{}, words: map[string]bool{},
		targets: map[string]bool{}, names: map[string]bool{},
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && skipped[d.Name()]:
			return filepath.SkipDir
		case d.IsDir():
			return nil
		}
		b.names[d.Name()] = true
		switch filepath.Ext(path) {
		case ".go":
			return b.readGo(path)
		case ".sql":
			b.tables += read(t, path)
		}
		if d.Name() == "Makefile" {
			for _, m := range target.FindAllStringSubmatch(read(t, path), -1) {
				b.targets[m[1]] = true
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	b.tables += read(t, filepath.Join(root, "bridge/metrics/metrics.go"))
	if len(b.tests) == 0 || len(b.words) == 0 || len(b.targets) == 0 || b.tables == "" {
		t.Fatal("nothing was read: the test looks in the wrong place")
	}
	return b
}

func (b *book) readGo(path string) error {
	source, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	f, err := parser.ParseFile(token.NewFileSet(), path, source, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	if strings.HasSuffix(path, "_test.go") {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil {
				b.tests[fn.Name.Name] = true
			}
		}
		return nil
	}
	for _, w := range word.FindAllString(string(source), -1) {
		b.words[w] = true
	}
	name := f.Name.Name
	if b.members[name] == nil {
		b.members[name] = map[string]bool{}
	}
	for _, d := range f.Decls {
		declare(b.members[name], d)
	}
	return nil
}

// declare notes the names that a declaration brings.
func declare(names map[string]bool, d ast.Decl) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil {
			names[d.Name.Name] = true
			return
		}
		names[receiver(d.Recv.List[0].Type)+"."+d.Name.Name] = true
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				for _, n := range spec.Names {
					names[n.Name] = true
				}
			case *ast.TypeSpec:
				names[spec.Name.Name] = true
				declareMembers(names, spec)
			}
		}
	}
}

func declareMembers(names map[string]bool, spec *ast.TypeSpec) {
	var fields *ast.FieldList
	switch x := spec.Type.(type) {
	case *ast.StructType:
		fields = x.Fields
	case *ast.InterfaceType:
		fields = x.Methods
	default:
		return
	}
	for _, f := range fields.List {
		for _, n := range f.Names {
			names[spec.Name.Name+"."+n.Name] = true
		}
	}
}

func receiver(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.StarExpr:
		return receiver(x.X)
	case *ast.IndexExpr:
		return receiver(x.X)
	case *ast.IndexListExpr:
		return receiver(x.X)
	case *ast.Ident:
		return x.Name
	}
	return ""
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// documents returns the text of all documents by path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, pattern := range []string{"../*.md", "*.md"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			out[p] = read(t, p)
		}
	}
	for _, p := range []string{"../README.md", "../CHANGELOG.md", "../CONTRIBUTING.md", "architecture.md", "mmr-profile.md", "threat-model.md", "setup.md", "configuration.md", "operations.md"} {
		if out[p] == "" {
			t.Errorf("%s is missing", p)
		}
	}
	return out
}

// rows returns the cells of the table rows below a heading, up to the next one.
func rows(t *testing.T, text, heading string) [][]string {
	t.Helper()
	_, rest, ok := strings.Cut(text, "\n"+heading+"\n")
	if !ok {
		t.Fatalf("there is no heading %q", heading)
	}
	var out [][]string
	for line := range strings.Lines(rest) {
		if strings.HasPrefix(line, "#") {
			break
		}
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "|") || strings.HasPrefix(line, "|---") {
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.Trim(strings.TrimSpace(cells[i]), "`")
		}
		out = append(out, cells)
	}
	if len(out) < 2 {
		t.Fatalf("the table below %q is empty", heading)
	}
	return out[1:] // without the head
}
