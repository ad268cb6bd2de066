package gateway_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/mimi-gateway/mimi-gateway/"

// imports lists, for each package of this module, the packages of this module
// which it may import, and the modules outside the standard library. A package
// which is not listed fails the test, as does a rule for a package which is
// gone. A final "/..." stands for the package and everything below it.
var imports = map[string][]string{
	"mimi":      {"mimi/wire", "github.com/google/uuid"},
	"mimi/wire": {},

	"mimi/content": {"mimi", "github.com/fxamacker/cbor/v2"},

	"mimi/mls/suite":           {"mimi/wire", "golang.org/x/crypto"},
	"mimi/mls":                 {"mimi/wire", "mimi/mls/suite", "mimi/mls/internal/..."},
	"mimi/mls/mlstest":         {"mimi/mls", "mimi/mls/suite"},
	"mimi/mls/mlstest/vectors": {},

	"mimi/mls/internal/treemath":   {},
	"mimi/mls/internal/schedule":   {"mimi/mls/suite", "mimi/wire"},
	"mimi/mls/internal/pages":      {},
	"mimi/mls/internal/secrettree": {"mimi/mls/suite", "mimi/mls/internal/treemath"},
	"mimi/room":                    {"mimi", "mimi/wire"},

	"mimi/identity":              {"mimi", "mimi/wire", "mimi/mls", "mimi/mls/suite"},
	"mimi/connection":            {"mimi", "mimi/wire", "mimi/mls", "mimi/mls/suite", "mimi/identity"},
	"mimi/identity/identitytest": {"mimi", "mimi/wire", "mimi/mls/suite", "mimi/identity"},

	"mimi/protocol":              {"mimi", "mimi/wire", "mimi/mls", "mimi/mls/suite", "mimi/identity"},
	"mimi/protocol/protocoltest": {"mimi", "mimi/wire", "mimi/mls", "mimi/mls/suite", "mimi/identity", "mimi/protocol"},
	"mimi/provider":              {"mimi", "mimi/wire", "mimi/protocol"},
	"mimi/peer":                  {"mimi", "mimi/wire", "mimi/protocol"},

	"mimi/keymaterial": {
		"mimi", "mimi/wire", "mimi/mls", "mimi/mls/suite", "mimi/identity", "mimi/mmr", "mimi/protocol",
		"github.com/cloudflare/circl",
	},
	"mimi/internal/cache": {},
	"mimi/mmr":            {"mimi", "mimi/wire", "mimi/mls", "mimi/mls/suite", "mimi/room", "mimi/identity"},
	"mimi/mmr/mmrtest": {
		"mimi", "mimi/wire", "mimi/mls", "mimi/mls/suite", "mimi/room", "mimi/identity", "mimi/identity/identitytest", "mimi/mmr", "mimi/protocol",
	},
	"mimi/hub": {
		"mimi", "mimi/wire", "mimi/mls", "mimi/mls/suite", "mimi/room", "mimi/identity", "mimi/mmr", "mimi/protocol", "mimi/internal/cache",
	},
	"mimi/client": {
		"mimi", "mimi/wire", "mimi/mls", "mimi/mls/suite", "mimi/room", "mimi/identity", "mimi/mmr", "mimi/connection", "mimi/keymaterial",
		"mimi/content", "mimi/protocol", "mimi/internal/cache", "github.com/google/uuid",
	},

	"mimi/storetest": {"mimi/...", "github.com/google/go-cmp"},
	"mapping": {
		"mimi", "mimi/mls", "mimi/hub", "mimi/client", "mimi/identity", "mimi/connection", "mimi/keymaterial",
		"go.mau.fi/util",
	},

	"config":         {"mimi"},
	"bridge/mimiid":  {"mimi", "maunium.net/go/mautrix"},
	"bridge/msgconv": {"mimi", "mimi/content", "maunium.net/go/mautrix", "github.com/yuin/goldmark", "golang.org/x/net"},
	"bridge/zlog":    {"github.com/rs/zerolog"},
	"bridge/metrics": {"mimi/...", "github.com/prometheus/client_golang"},
	"bridge": {
		"mimi", "mimi/client", "mimi/content", "mimi/room", "mimi/identity", "mimi/connection", "mimi/discovery", "mimi/protocol",
		"bridge/mimiid", "bridge/msgconv", "bridge/zlog", "config",
		"maunium.net/go/mautrix", "go.mau.fi/util", "github.com/rs/zerolog", "github.com/skip2/go-qrcode",
	},
	"bridge/bridgetest": {"bridge/...", "maunium.net/go/mautrix", "github.com/rs/zerolog"},

	"cmd/mimi-gateway":  {"..."},
	"cmd/internal/node": {"mimi/...", "mapping", "config"},
	"cmd/mimi-lab": {
		"mimi/...", "bridge/...", "github.com/rs/zerolog", "mapping", "config", "cmd/internal/...", "cmd/mimi-lab/...", "maunium.net/go/mautrix", "go.mau.fi/util", "golang.org/x/sync",
	},
	"cmd/mimi-lab/internal/attack": {
		"mimi", "mimi/wire", "mimi/mls", "mimi/mls/suite", "mimi/room", "mimi/identity", "mimi/connection", "mimi/keymaterial", "mimi/mmr",
		"mimi/content", "mimi/protocol", "mimi/client", "mapping", "cmd/internal/node", "cmd/mimi-lab/internal/wiretap",
	},
	"cmd/mimi-lab/internal/expect":  {},
	"cmd/mimi-lab/internal/gateway": {"cmd/mimi-lab/internal/process", "gopkg.in/yaml.v3"},
	"cmd/mimi-lab/internal/interop": {"mimi/mls", "cmd/mimi-lab/internal/mlspeer"},
	"cmd/mimi-lab/internal/mlspeer": {"mimi/mls", "mimi/mls/suite"},
	"cmd/mimi-lab/internal/mlsbench": {
		"mimi/wire", "mimi/mls", "mimi/mls/suite", "mimi/mls/mlstest", "cmd/mimi-lab/internal/interop", "cmd/mimi-lab/internal/mlspeer",
	},
	"cmd/mimi-lab/internal/linkbench": {
		"mimi", "mimi/wire", "mimi/mls", "mimi/mls/suite", "mimi/identity", "mimi/connection", "mimi/keymaterial", "mimi/content",
		"mimi/protocol", "mimi/hub", "mimi/client", "mimi/storetest", "mapping", "go.mau.fi/util",
	},
	"cmd/mimi-lab/internal/matrixclient": {"maunium.net/go/mautrix"},
	"cmd/mimi-lab/internal/pki":          {},
	"cmd/mimi-lab/internal/process":      {},
	"cmd/mimi-lab/internal/scan":         {},
	"cmd/mimi-lab/internal/privacy": {
		"mimi/...", "cmd/mimi-lab/internal/attack", "cmd/mimi-lab/internal/scan", "cmd/mimi-lab/internal/wiretap", "maunium.net/go/mautrix",
	},
	"cmd/mimi-lab/internal/wiretap":    {},
	"cmd/mimi-lab/internal/synapse":    {"cmd/mimi-lab/internal/process", "gopkg.in/yaml.v3"},
	"cmd/mimi-lab/internal/transcript": {},
}

// TestImports reads the sources itself, and does not ask "go list": the test
// cache only notices changes in files which the test process opens.
func TestImports(t *testing.T) {
	seen := map[string]bool{}
	eachSource(t, func(path string) error {
		name := filepath.ToSlash(filepath.Dir(path))
		allowed, ok := imports[name]
		if !ok && !seen[name] {
			t.Errorf("package %s has no import rule", name)
		}
		seen[name] = true
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, spec := range f.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if !standard(imported) && !slices.ContainsFunc(allowed, func(rule string) bool { return covers(rule, imported) }) {
				t.Errorf("%s: %s may not import %s", path, name, strings.TrimPrefix(imported, module))
			}
		}
		return nil
	})
	for name := range imports {
		if !seen[name] {
			t.Errorf("import rule for %s, which does not exist", name)
		}
	}
}

// eachSource calls do with the path of each source file of this module that is
// not a test.
func eachSource(t *testing.T, do func(path string) error) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "." && skipped(path):
			return filepath.SkipDir
		case d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		return do(path)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// skipped reports whether the directory at path holds no package of this
// module.
func skipped(path string) bool {
	if name := filepath.Base(path); name == "testdata" || strings.HasPrefix(name, ".") {
		return true
	}
	_, err := os.Stat(filepath.Join(path, "go.mod"))
	return err == nil
}

// standard reports whether path belongs to the standard library, whose first
// element never contains a dot.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

func covers(rule, path string) bool {
	path = strings.TrimPrefix(path, module)
	if rule == "..." || rule == path {
		return true
	}
	if tree, ok := strings.CutSuffix(rule, "/..."); ok {
		return path == tree || strings.HasPrefix(path, tree+"/")
	}
	// A rule with a dot in its first element names a whole outside module.
	return !standard(rule) && strings.HasPrefix(path, rule+"/")
}
