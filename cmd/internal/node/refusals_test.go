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
