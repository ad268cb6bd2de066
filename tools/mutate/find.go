package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A check is a place in the code that can be switched off.
type check struct {
	file   string // below the module's root, with slashes
	line   int
	marked bool
	fixed  bool // marked, but nothing that can be switched off
}

// String is also how the binary knows the check.
func (c check) String() string { return fmt.Sprintf("%s:%d", c.file, c.line) }

var (
	// marker is the comment of TestConformance.
	marker    = regexp.MustCompile(`^// RFC 9420, sections? \d+(\.\d+)*: \d+[\d.,:; ]*$`)
	exempt    = regexp.MustCompile(`^// unmutated: .`)
	sentinel  = regexp.MustCompile(`^Err[A-Z]`)
	verifying = regexp.MustCompile(`^(check|verify|validate|Check|Verify|Validate)`)
)

// An edit is text to be put at an offset.
type edit struct {
	at   int
	text string
}

// A finder goes through one file.
type finder struct {
	fset   *token.FileSet
	name   string
	marks  map[int]bool // lines whose statement is marked
	exempt map[int]bool
	seen   map[int]bool // marked lines that a statement was found for
	checks []check
	edits  []edit
}

// find returns the checks of a file, and its text with a switch at each.
func find(root, name string) ([]check, []byte, error) {
	path := filepath.Join(root, filepath.FromSlash(name))
	src, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, err
	}
	f := &finder{fset: token.NewFileSet(), name: name, marks: map[int]bool{}, exempt: map[int]bool{}, seen: map[int]bool{}}
	tree, err := parser.ParseFile(f.fset, path, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, nil, err
	}
	for _, g := range tree.Comments {
		below := f.fset.Position(g.End()).Line + 1
		for _, c := range g.List {
			f.marks[below] = f.marks[below] || marker.MatchString(c.Text)
			f.exempt[below] = f.exempt[below] || exempt.MatchString(c.Text)
		}
	}
	for _, d := range tree.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Body != nil {
			f.block(fn.Type, fn.Body)
		}
	}
	for line, marked := range f.marks {
		if marked && !f.seen[line] {
			f.checks = append(f.checks, check{name, line, true, true})
		}
	}
	slices.SortStableFunc(f.edits, func(a, b edit) int { return b.at - a.at })
	for _, e := range f.edits {
		src = slices.Concat(src[:e.at:e.at], []byte(e.text), src[e.at:])
	}
	return f.checks, src, nil
}

// block goes through the statements of a function; functions inside it have
// their own results.
func (f *finder) block(typ *ast.FuncType, body *ast.BlockStmt) {
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			f.block(n.Type, n.Body)
			return false
		case *ast.IfStmt:
			if f.marks[f.line(n)] || leadsToError(n.Body.List) || verifies(n) {
				f.condition(n, n.Cond)
			}
		case *ast.ForStmt:
			if f.marks[f.line(n)] && n.Cond != nil {
				f.condition(n, n.Cond)
			}
		case *ast.SwitchStmt:
			if n.Tag == nil {
				f.cases(n)
			}
		case *ast.ReturnStmt:
			if f.marks[f.line(n)] {
				f.result(typ, n)
			}
		case *ast.BlockStmt:
			f.statements(n.List)
		case *ast.CaseClause:
			f.statements(n.Body)
		}
		return true
	})
}

func (f *finder) line(n ast.Node) int { return f.fset.Position(n.Pos()).Line }

// add notes the check at n, unless it is exempt.
func (f *finder) add(n ast.Node) (id string, ok bool) {
	line := f.line(n)
	f.seen[line] = true
	if f.exempt[line] {
		return "", false
	}
	c := check{f.name, line, f.marks[line], false}
	f.checks = append(f.checks, c)
	return c.String(), true
}

func (f *finder) insert(at token.Pos, text string) {
	f.edits = append(f.edits, edit{f.fset.Position(at).Offset, text})
}

// condition lets a condition never hold.
func (f *finder) condition(n ast.Node, cond ast.Expr) {
	if id, ok := f.add(n); ok {
		f.insert(cond.Pos(), "(")
		f.insert(cond.End(), fmt.Sprintf(") && !mutant(%q)", id))
	}
}

// cases does the same for the cases of a switch without tag.
func (f *finder) cases(s *ast.SwitchStmt) {
	for _, st := range s.Body.List {
		c, ok := st.(*ast.CaseClause)
		if !ok || len(c.List) == 0 || !(f.marks[f.line(c)] || leadsToError(c.Body)) {
			continue
		}
		id, ok := f.add(c)
		if !ok {
			continue
		}
		for _, e := range c.List {
			f.insert(e.Pos(), "(")
			f.insert(e.End(), fmt.Sprintf(") && !mutant(%q)", id))
		}
	}
}

// result lets a function return no error, or true.
func (f *finder) result(typ *ast.FuncType, r *ast.ReturnStmt) {
	if typ.Results == nil || len(r.Results) != typ.Results.NumFields() {
		return
	}
	fields := typ.Results.List
	last, e := fields[len(fields)-1].Type, r.Results[len(r.Results)-1]
	name, ok := last.(*ast.Ident)
	if !ok || (name.Name != "error" && name.Name != "bool") {
		return
	}
	id, ok := f.add(r)
	if !ok {
		return
	}
	if name.Name == "error" {
		f.insert(e.Pos(), fmt.Sprintf("mutantError(%q, ", id))
		f.insert(e.End(), ")")
		return
	}
	f.insert(e.Pos(), fmt.Sprintf("mutant(%q) || (", id))
	f.insert(e.End(), ")")
}

// statements lets marked calls and assignments of a list do nothing.
func (f *finder) statements(list []ast.Stmt) {
	for _, n := range list {
		switch s := n.(type) {
		case *ast.ExprStmt, *ast.IncDecStmt:
		case *ast.AssignStmt:
			if s.Tok == token.DEFINE {
				continue
			}
		default:
			continue
		}
		if !f.marks[f.line(n)] {
			continue
		}
		if id, ok := f.add(n); ok {
			f.insert(n.Pos(), fmt.Sprintf("if !mutant(%q) { ", id))
			f.insert(n.End(), " }")
		}
	}
}

// leadsToError reports whether a list of statements ends by returning a named
// error, or by failing a decoder.
func leadsToError(list []ast.Stmt) bool {
	if len(list) == 0 {
		return false
	}
	found := false
	look := func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.Ident:
			found = found || sentinel.MatchString(n.Name)
		case *ast.SelectorExpr:
			found = found || sentinel.MatchString(n.Sel.Name) || n.Sel.Name == "Fail"
		}
		return true
	}
	for _, s := range list {
		switch s := s.(type) {
		case *ast.ReturnStmt, *ast.ExprStmt:
			ast.Inspect(s, look)
		case *ast.AssignStmt:
			if len(s.Lhs) == 1 {
				if v, ok := s.Lhs[0].(*ast.Ident); ok && v.Name == "err" {
					ast.Inspect(s, look)
				}
			}
		}
	}
	return found
}

// verifies reports whether n is a call of a check whose error is returned.
func verifies(n *ast.IfStmt) bool {
	a, ok := n.Init.(*ast.AssignStmt)
	if !ok || len(a.Rhs) != 1 {
		return false
	}
	call, ok := a.Rhs[0].(*ast.CallExpr)
	if !ok {
		return false
	}
	switch fun := call.Fun.(type) {
	case *ast.Ident:
		return verifying.MatchString(fun.Name)
	case *ast.SelectorExpr:
		return verifying.MatchString(fun.Sel.Name)
	}
	return false
}

// switches is the file that is added to each package.
func switches(pkg string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "package %s\n", pkg)
	b.WriteString(strings.ReplaceAll(`
import (
	"os"
	"sync"
)

var (
	mutantOff = os.Getenv("MUTANT")
	mutantLog = os.Getenv("MUTANT_LOG")
	mutantsMu sync.Mutex
	mutants   = map[string]bool{}
)

// mutant reports whether a check is off, and notes that it was reached.
func mutant(id string) bool {
	if mutantLog != "" {
		mutantsMu.Lock()
		defer mutantsMu.Unlock()
		if !mutants[id] {
			mutants[id] = true
			f, err := os.OpenFile(mutantLog, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
			if err == nil {
				_, err = f.WriteString(id + "~n")
			}
			if err == nil {
				err = f.Close()
			}
			if err != nil {
				panic(err)
			}
		}
	}
	return id == mutantOff
}

func mutantError(id string, err error) error {
	if mutant(id) {
		return nil
	}
	return err
}
`, "~", "\\"))
	return b.Bytes()
}
