package main

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/attack"
)

var update = flag.Bool("update", false, "write the tables of docs/attacks.md")

// Each active attack on a running gateway is refused by the check that it names, is
// counted under that check, and leaves both rooms as they were. With -short one of
// each group is played.
func TestAttacksAreRefused(t *testing.T) {
	attacks := attack.All("all")
	if testing.Short() {
		seen := map[string]bool{}
		attacks = slices.DeleteFunc(attacks, func(a attack.Attack) bool {
			again := seen[a.Group]
			seen[a.Group] = true
			return again
		})
	}
	var out strings.Builder
	if err := attack.Run(t.Context(), openPair, attacks, &out); err != nil {
		t.Errorf("%v\n%s", err, &out)
	}
	if n := strings.Count(out.String(), "refused  "); n != len(attacks) {
		t.Errorf("%d attacks of %d are refused\n%s", n, len(attacks), &out)
	}
}

// Two attacks on one check count once.
func TestAttacksMeetManyChecks(t *testing.T) {
	attacks, names := attack.All("all"), map[string]bool{}
	for _, a := range attacks {
		if names[a.Group+"/"+a.Name] || a.What == "" || a.Section == "" {
			t.Errorf("%s/%s is there twice, or does not say what it does", a.Group, a.Name)
		}
		names[a.Group+"/"+a.Name] = true
	}
	if n := attack.Checks(attacks); n < 60 {
		t.Errorf("the attacks meet %d checks, want 60", n)
	}
	for _, g := range attack.Groups {
		if len(attack.All(g)) == 0 {
			t.Errorf("no attack in group %s", g)
		}
	}
}

// An attack that does nothing, or meets nothing, is not called refused.
func TestAttackThatIsNotRefused(t *testing.T) {
	a := attack.All("table")[0]
	a.Check = "no-such-check"
	var out strings.Builder
	if err := attack.Run(t.Context(), openPair, []attack.Attack{a}, &out); err == nil || !strings.Contains(out.String(), "MISSED") {
		t.Errorf("an attack that is refused by another check passes: %v\n%s", err, &out)
	}
}

const attacksDoc = "../../docs/attacks.md"

// The tables of docs/attacks.md are those of the code: "go test ./cmd/mimi-lab -run
// TestAttackTable -update" writes them.
func TestAttackTable(t *testing.T) {
	b, err := os.ReadFile(attacksDoc)
	if err != nil {
		t.Fatal(err)
	}
	doc := string(b)
	for name, table := range map[string]string{"attacks": attack.Table(attack.All("all")), "others": others(t)} {
		begin, end := "<!-- "+name+" -->\n", "<!-- end of "+name+" -->"
		before, rest, ok := strings.Cut(doc, begin)
		have, after, ended := strings.Cut(rest, end)
		if !ok || !ended {
			t.Fatalf("%s has no place for the table of %s", attacksDoc, name)
		}
		if have == table {
			continue
		}
		if !*update {
			t.Errorf("the table of %s is not that of the code: run with -update", name)
		}
		doc = before + begin + table + end + after
	}
	if *update {
		if err := os.WriteFile(attacksDoc, []byte(doc), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// others are the checks that no attack meets, with the package that has them.
func others(t *testing.T) string {
	t.Helper()
	met := map[string]bool{}
	for _, a := range attack.All("all") {
		met[a.Check] = true
	}
	where := map[string]string{}
	root := filepath.Join("..", "..", "mimi")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 2 {
				return true
			}
			if f, ok := call.Fun.(*ast.SelectorExpr); !ok || f.Sel.Name != "Refuse" {
				return true
			}
			if l, ok := call.Args[0].(*ast.BasicLit); ok {
				code, _ := strconv.Unquote(l.Value)
				where[code] = "mimi/" + filepath.Base(filepath.Dir(path))
			}
			return true
		})
		return nil
	})
	if err != nil || len(where) < 100 {
		t.Fatalf("%d checks: %v", len(where), err)
	}
	var b strings.Builder
	b.WriteString("| check | package |\n|---|---|\n")
	for _, code := range slices.Sorted(maps.Keys(where)) {
		if !met[code] {
			fmt.Fprintf(&b, "| `%s` | `%s` |\n", code, where[code])
		}
	}
	return b.String()
}
