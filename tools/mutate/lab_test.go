package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each condition whose body refuses gets a switch with the code of its check; a
// condition around it does not.
func TestSwitchFile(t *testing.T) {
	const source = `package p

func f(a, b int) error {
	if a > 0 {
		if b == 1 || b == 2 {
			return mimi.Refuse("inner-check", ErrA)
		}
	}
	switch {
	case a == 3, a == 4:
		return fmt.Errorf("x: %w", mimi.Refuse("case-check", ErrB))
	case b == 9:
		return nil
	}
	if err := g(); err != nil {
		return mimi.Refuse("call-check", err)
	}
	return nil
}
`
	path := filepath.Join(t.TempDir(), "p.go")
	if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	src, places, err := switchFile(path, "")
	if err != nil || places != 4 {
		t.Fatalf("%d places, %v", places, err)
	}
	for _, want := range []string{
		`if a > 0 {`,
		`if (b == 1 || b == 2) && !mutant("inner-check") {`,
		`case (a == 3) && !mutant("case-check"), (a == 4) && !mutant("case-check"):`,
		`case b == 9:`,
		`if err := g(); (err != nil) && !mutant("call-check") {`,
	} {
		if !strings.Contains(string(src), want) {
			t.Errorf("no %s in\n%s", want, src)
		}
	}
}

// Packages whose errors are checks by themselves have codes made of the names.
func TestSwitchFileByName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p.go")
	if err := os.WriteFile(path, []byte("package p\n\nfunc f(a int) error {\n\tif a > 0 {\n\t\treturn ErrTreeHash\n\t}\n\treturn nil\n}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	src, places, err := switchFile(path, "mls-")
	if err != nil || places != 1 || !strings.Contains(string(src), `if (a > 0) && !mutant("mls-tree-hash") {`) {
		t.Fatalf("%d places, %v\n%s", places, err, src)
	}
	for name, want := range map[string]string{"NoPSK": "no-psk", "PSKForm": "psk-form", "TreeHash": "tree-hash", "URIField": "uri-field"} {
		if got := kebab(name); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}
