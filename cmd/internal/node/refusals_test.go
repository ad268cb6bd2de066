package node_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/cmd/internal/node"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
)

func TestCheckOf(t *testing.T) {
	for _, test := range []struct {
		err  error
		want string
	}{
		{mimi.Refuse("entry-count", protocol.ErrMalformed), "entry-count"},
		{fmt.Errorf("%w: %w", mls.ErrPolicy, mimi.Refuse("entry-count", errors.New("wrong"))), "entry-count"},
		{mimi.RefusedAs(mimi.Refuse("entry-count", errors.New("wrong")), &protocol.NotAllowedError{}), "entry-count"},
		{fmt.Errorf("%w: %w", mls.ErrPolicy, room.ErrNotParticipant), "room-not-participant"},
		{fmt.Errorf("commit: %w", mls.ErrConfirmationTag), "mls-confirmation-tag"},
		{room.MissingCapability(room.CanAddParticipant), "room-capability"},
		{&protocol.RetryLaterError{}, "rate"},
		{protocol.ErrMalformed, "malformed"},
		{errors.New("anything"), node.CheckOther},
	} {
		if got := node.CheckOf(test.err); got != test.want {
			t.Errorf("%v has the code %q, want %q", test.err, got, test.want)
		}
	}
}

// The code of a check is a literal, and stands in the if or case whose condition is
// the check: that is what the mutation of "make attack-mutate" relies on.
func TestRefusalsNameTheirCheck(t *testing.T) {
	code := regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	found := 0
	err := filepath.WalkDir(filepath.Join("..", "..", "..", "mimi"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || d.Name() == "refusal.go" {
			return err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		var branch []bool // of the nodes around this one: it is an if or a case
		ast.Inspect(file, func(n ast.Node) bool {
			if n == nil {
				branch = branch[:len(branch)-1]
				return true
			}
			_, isIf := n.(*ast.IfStmt)
			_, isCase := n.(*ast.CaseClause)
			branch = append(branch, isIf || isCase)
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if f, ok := call.Fun.(*ast.SelectorExpr); !ok || f.Sel.Name != "Refuse" {
				return true
			}
			found++
			inside := false
			for _, b := range branch {
				inside = inside || b
			}
			literal, ok := call.Args[0].(*ast.BasicLit)
			if !ok {
				t.Errorf("%s: the code of a check is not a literal", fset.Position(n.Pos()))
				return true
			}
			if s, _ := strconv.Unquote(literal.Value); !code.MatchString(s) || !inside {
				t.Errorf("%s: check %q: want lower case with hyphens, inside of an if or case", fset.Position(n.Pos()), s)
			}
			return true
		})
		return nil
	})
	if err != nil || found < 100 {
		t.Fatalf("%d refusals: %v", found, err)
	}
}

// ours are errors that no message of a peer can cause, or that are no refusal: the
// caller learns something else from them.
var ours = map[string]bool{
	"identity.ErrCAExpiring": true, "identity.ErrLinkTooLong": true, "identity.ErrMetadataTooLong": true,
	"identity.ErrNoPin": true, "identity.ErrPinConflict": true, "identity.ErrSafetyCode": true,
	"mmr.ErrStored":            true,
	"connection.ErrNoPackage":  true,
	"keymaterial.ErrExhausted": true, "keymaterial.ErrNoPrivate": true, "keymaterial.ErrUnknownToken": true,
	"protocol.ErrNoProfile": true, "protocol.ErrNotOffered": true,
}

// Every exported error of the profile's packages has a code: in the table, or
// because it is returned as the refusal of a check.
func TestEverySentinelHasACode(t *testing.T) {
	coded := map[string]string{}
	ast.Inspect(parse(t, "refusals.go"), func(n ast.Node) bool {
		lit, ok := n.(*ast.CompositeLit)
		if !ok || len(lit.Elts) != 2 {
			return true
		}
		if code, ok := lit.Elts[1].(*ast.BasicLit); ok {
			name := selector(lit.Elts[0])
			if coded[name] != "" {
				t.Errorf("%s has two codes", name)
			}
			coded[name] = code.Value
		}
		return true
	})
	for _, pkg := range []string{"identity", "mmr", "connection", "keymaterial", "protocol", "room"} {
		declared, refused := map[string]bool{}, map[string]bool{}
		files, err := filepath.Glob(filepath.Join("..", "..", "..", "mimi", pkg, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("package %s: no files: %v", pkg, err)
		}
		for _, path := range files {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			ast.Inspect(parse(t, path), func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.FuncDecl:
					return n.Body != nil
				case *ast.ValueSpec:
					for _, name := range n.Names {
						if strings.HasPrefix(name.Name, "Err") && name.IsExported() {
							declared[name.Name] = true
						}
					}
				case *ast.CallExpr:
					if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Refuse" {
						ast.Inspect(n, func(n ast.Node) bool {
							if id, ok := n.(*ast.Ident); ok {
								refused[id.Name] = true
							}
							return true
						})
					}
				}
				return true
			})
		}
		if len(declared) == 0 {
			t.Errorf("package %s: no errors were found", pkg)
		}
		for name := range declared {
			full := pkg + "." + name
			if !refused[name] && coded[full] == "" && !ours[full] {
				t.Errorf("%s has no code in refusals.go, and is no refusal of a check", full)
			}
		}
	}
}

func parse(t *testing.T, path string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// selector is pkg.Name.
func selector(e ast.Expr) string {
	s, ok := e.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	x, ok := s.X.(*ast.Ident)
	if !ok {
		return ""
	}
	return x.Name + "." + s.Sel.Name
}
