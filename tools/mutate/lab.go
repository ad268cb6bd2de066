package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// refusing are the packages with checks that mimi-lab attack removes.
var refusing = []string{
	"mimi/identity", "mimi/mmr", "mimi/connection", "mimi/keymaterial", "mimi/protocol", "mimi/hub", "mimi/client", "mimi/provider",
	"mimi/content", "mimi/room", "mimi/mls",
}

// named are the packages that do not name their checks where they stand, because
// each of their errors is one check: cmd/internal/node has the codes.
var named = map[string]string{"mimi/room": "room-", "mimi/mls": "mls-"}

// buildLab builds mimi-lab with a switch at each check that names its code. The
// environment variable MUTANT says which check is off; all places with that code are
// off together.
func buildLab(ctx context.Context, root, to string) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	if to, err = filepath.Abs(to); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &build{root: root, dir: dir, overlay: map[string]string{}}
	places := 0
	for _, pkg := range refusing {
		n, err := b.switchRefusals(pkg)
		if err != nil {
			return err
		}
		places += n
	}
	if places == 0 {
		return errors.New("no checks found")
	}
	list, err := json.Marshal(map[string]any{"Replace": b.overlay})
	if err != nil {
		return err
	}
	overlay := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(overlay, list, 0o600); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-tags", "goolm", "-overlay", overlay, "-o", to, "./cmd/mimi-lab")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build mimi-lab: %w\n%s", err, out)
	}
	fmt.Printf("%s: %d places at which a check can be removed\n", to, places)
	return nil
}

// switchRefusals puts the switches of a package into the overlay.
func (b *build) switchRefusals(pkg string) (places int, err error) {
	files, err := filepath.Glob(filepath.Join(b.root, filepath.FromSlash(pkg), "*.go"))
	if err != nil || len(files) == 0 {
		return 0, fmt.Errorf("package %s: no files: %w", pkg, err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		src, n, err := switchFile(path, named[pkg])
		if err != nil {
			return 0, err
		}
		if n == 0 {
			continue
		}
		places += n
		if err := b.replace(path, src); err != nil {
			return 0, err
		}
	}
	extra := filepath.Join(b.root, filepath.FromSlash(pkg), "mutants_switches.go")
	return places, b.replace(extra, []byte("package "+filepath.Base(pkg)+"\n\nimport \"os\"\n\nfunc mutant(check string) bool { return os.Getenv(\"MUTANT\") == check }\n"))
}

// switchFile lets the condition of each check of a file not hold if the check is
// off. prefix is that of the codes of named errors, or empty.
func switchFile(path, prefix string) (src []byte, places int, err error) {
	if src, err = os.ReadFile(path); err != nil {
		return nil, 0, err
	}
	fset := token.NewFileSet()
	tree, err := parser.ParseFile(fset, path, src, parser.SkipObjectResolution)
	if err != nil {
		return nil, 0, err
	}
	var edits []edit
	insert := func(at token.Pos, text string) { edits = append(edits, edit{fset.Position(at).Offset, text}) }
	off := func(cond ast.Expr, code string) {
		places++
		insert(cond.Pos(), "(")
		insert(cond.End(), fmt.Sprintf(") && !mutant(%q)", code))
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.IfStmt:
			if code := refusal(n.Body.List, prefix); code != "" {
				off(n.Cond, code)
			}
		case *ast.SwitchStmt:
			if n.Tag != nil {
				return true
			}
			for _, st := range n.Body.List {
				c, ok := st.(*ast.CaseClause)
				if !ok {
					continue
				}
				if code := refusal(c.Body, prefix); code != "" {
					for _, e := range c.List {
						off(e, code)
					}
				}
			}
		}
		return true
	})
	slices.SortStableFunc(edits, func(a, b edit) int { return b.at - a.at })
	for _, e := range edits {
		src = slices.Concat(src[:e.at:e.at], []byte(e.text), src[e.at:])
	}
	return src, places, nil
}

// refusal returns the code of the check whose refusal is in a list of statements,
// and not in a block below it.
func refusal(list []ast.Stmt, prefix string) (code string) {
	for _, s := range list {
		ast.Inspect(s, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BlockStmt, *ast.CaseClause:
				return false
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Refuse" && len(n.Args) == 2 {
					if l, ok := n.Args[0].(*ast.BasicLit); ok {
						code, _ = strconv.Unquote(l.Value)
					}
				}
			case *ast.Ident:
				if prefix != "" && code == "" && sentinel.MatchString(n.Name) {
					code = prefix + kebab(strings.TrimPrefix(n.Name, "Err"))
				}
			}
			return true
		})
		if code != "" {
			return code
		}
	}
	return ""
}

var hump = regexp.MustCompile(`([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])`)

// kebab writes a Go name as cmd/internal/node writes codes.
func kebab(name string) string { return strings.ToLower(hump.ReplaceAllString(name, "$1$3-$2$4")) }
