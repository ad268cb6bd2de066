package docs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/config"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/provider"
	"github.com/mimi-gateway/mimi-gateway/mimi/room"
)

// TestComponentTable compares the components of the profile.
func TestComponentTable(t *testing.T) {
	want := map[string]mls.ComponentID{
		"identity_link":              identity.ComponentIdentityLink,
		"identity_link_wrapper_keys": identity.ComponentWrapperKeys,
		"queue_reference":            identity.ComponentQueueReference,
		"connection_response":        identity.ComponentConnectionResponse,
		"minimal_metadata_policy":    identity.ComponentPolicy,
		"encrypted_room_metadata":    identity.ComponentRoomMetadata,
		"identity_link_state":        identity.ComponentLinkState,
		"sibling_proof":              identity.ComponentSiblingProof,
	}
	declared := 0
	for name := range readBook(t).members["identity"] {
		if strings.HasPrefix(name, "Component") {
			declared++
		}
	}
	if declared != len(want) {
		t.Errorf("package identity has %d components, this test knows %d", declared, len(want))
	}
	got := map[string]mls.ComponentID{}
	for _, row := range rows(t, read(t, "mmr-profile.md"), "### Components") {
		id, err := strconv.ParseUint(row[1], 0, 16)
		if err != nil {
			t.Fatalf("component %s: %v", row[0], err)
		}
		got[row[0]] = mls.ComponentID(id)
	}
	if !maps.Equal(got, want) {
		t.Errorf("the document has %v\nthe code has %v", got, want)
	}
}

// TestCodePointTable compares all other numbers of the profile, and sees to it that
// everything that a leaf lists has its number in one of both tables.
func TestCodePointTable(t *testing.T) {
	point := func(what, name string) string { return what + " " + name }
	want := map[string]uint64{
		point("CredentialType", "mimimi_pseudonymous"):            uint64(identity.CredentialPseudonymous),
		point("CipherSuite", "X25519AES128"):                      uint64(suite.X25519AES128),
		point("CipherSuite", "P256AES128"):                        uint64(suite.P256AES128),
		point("CipherSuite", "X25519ChaCha20"):                    uint64(suite.X25519ChaCha20),
		point("ExtensionType", "app_data_dictionary"):             uint64(mls.ExtensionAppDataDictionary),
		point("ProposalType", "app_data_update"):                  uint64(mls.ProposalAppDataUpdate),
		point("ProposalType", "self_remove"):                      uint64(mls.ProposalSelfRemove),
		point("ComponentID", "app_components"):                    uint64(mls.ComponentAppComponents),
		point("ComponentID", "safe_aad"):                          uint64(mls.ComponentSafeAAD),
		point("ComponentID", "participant_list"):                  uint64(room.ComponentParticipantList),
		point("ComponentID", "room_metadata"):                     uint64(room.ComponentRoomMetadata),
		point("ComponentID", "roles_list"):                        uint64(room.ComponentRolesList),
		point("ComponentID", "preauth_list"):                      uint64(room.ComponentPreauthList),
		point("ComponentID", "base_room_policy"):                  uint64(room.ComponentBasePolicy),
		point("IdentityLinkRequirement", "all"):                   uint64(identity.RequireAll),
		point("IdentityLinkRequirement", "admins"):                uint64(identity.RequireAdmins),
		point("IdentityLinkRequirement", "optional"):              uint64(identity.RequireNone),
		point("IdentityLinkRequirement", "forbidden"):             uint64(identity.Forbidden),
		point("WrapperMode", "static"):                            uint64(identity.WrapperStatic),
		point("WrapperMode", "epoch_rotated"):                     uint64(identity.WrapperEpochRotated),
		point("RatchetTreeRepresentation", "full"):                uint64(protocol.TreeFull),
		point("RatchetTreeRepresentation", "distributionService"): uint64(protocol.TreeDistributionService),
		point("version", "mgp"):                                   protocol.ProfileVersion,
	}
	text := read(t, "mmr-profile.md")
	got, numbers := map[string]uint64{}, map[string]bool{}
	for _, row := range rows(t, text, "### Code points") {
		n, err := strconv.ParseUint(row[2], 0, 16)
		if err != nil {
			t.Fatalf("%v: %v", row, err)
		}
		got[point(row[0], row[1])], numbers[fmt.Sprintf("%s %d", row[0], n)] = n, true
	}
	if !maps.Equal(got, want) {
		t.Errorf("the document has %v\nthe code has %v", got, want)
	}
	for _, row := range rows(t, text, "### Components") {
		if n, err := strconv.ParseUint(row[1], 0, 16); err == nil {
			numbers[fmt.Sprintf("ComponentID %d", n)] = true
		}
	}
	listed := func(what string, n uint64) {
		if !numbers[fmt.Sprintf("%s %d", what, n)] {
			t.Errorf("a leaf lists %s 0x%04x, which is in no table", what, n)
		}
	}
	c := identity.Capabilities()
	for _, id := range c.CipherSuites {
		listed("CipherSuite", uint64(id))
	}
	for _, id := range c.Extensions {
		listed("ExtensionType", uint64(id))
	}
	for _, id := range c.Proposals {
		listed("ProposalType", uint64(id))
	}
	for _, id := range c.Credentials {
		listed("CredentialType", uint64(id))
	}
	for _, id := range append(identity.AppComponents(), identity.SafeAADComponents()...) {
		listed("ComponentID", uint64(id))
	}
}

// labelled are the functions that take a label as a string.
var labelled = []string{"ExpandWithLabel", "SignWithLabel", "VerifyWithLabel", "EncryptWithLabel", "DecryptWithLabel", "RefHash", "refHash"}

// TestLabelTable compares the labels of the profile with those in the code, both
// ways.
func TestLabelTable(t *testing.T) {
	code := map[string]bool{}
	for _, pkg := range []string{"mimi/identity", "mimi/connection", "mimi/keymaterial", "mimi/protocol"} {
		paths, err := filepath.Glob(filepath.Join(root, pkg, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool { collectLabels(n, code); return true })
		}
	}
	document := map[string]bool{}
	for _, row := range rows(t, read(t, "mmr-profile.md"), "### Labels") {
		document[strings.Trim(row[0], `"`)] = true
	}
	for label := range code {
		if !document[label] {
			t.Errorf("label %q of the code is not in the document", label)
		}
	}
	for label := range document {
		if !code[label] {
			t.Errorf("label %q of the document is not in the code", label)
		}
	}
}

// collectLabels takes the labels out of calls, and out of constants that are
// called label.
func collectLabels(n ast.Node, into map[string]bool) {
	add := func(e ast.Expr) {
		if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if s, err := strconv.Unquote(lit.Value); err == nil {
				into[s] = true
			}
		}
	}
	switch n := n.(type) {
	case *ast.CallExpr:
		name := ""
		switch fun := n.Fun.(type) {
		case *ast.SelectorExpr:
			name = fun.Sel.Name
		case *ast.Ident:
			name = fun.Name
		}
		if slices.Contains(labelled, name) {
			for _, arg := range n.Args {
				add(arg)
			}
		}
	case *ast.ValueSpec:
		for i, name := range n.Names {
			if strings.Contains(strings.ToLower(name.Name), "label") && i < len(n.Values) {
				add(n.Values[i])
			}
		}
	}
}

// TestEndpointTable compares names, methods, variables and sizes.
func TestEndpointTable(t *testing.T) {
	draft, profile, err := provider.Endpoints("example.org", 0)
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(draft, profile)
	seen := map[protocol.Endpoint]bool{}
	for _, row := range rows(t, read(t, "mmr-profile.md"), "### Endpoints") {
		e := protocol.Endpoint(row[0])
		seen[e] = true
		if _, ok := draft[e]; !ok {
			t.Errorf("endpoint %s is not served", e)
			continue
		}
		variable := "-"
		if e.Variable() != "" {
			variable = e.Variable()
		}
		if row[1] != "POST" || row[2] != variable || row[4] != octets(e.MaxRequest()) {
			t.Errorf("%s: the document says %v; the code: POST, %s, at most %s", e, row, variable, octets(e.MaxRequest()))
		}
	}
	if len(seen) != len(draft) {
		t.Errorf("%d endpoints in the document, %d in the code", len(seen), len(draft))
	}
	answers := rows(t, read(t, "mmr-profile.md"), "### Answers")
	for _, row := range answers {
		if !seen[protocol.Endpoint(row[0])] {
			t.Errorf("answers of %s, which is no endpoint", row[0])
		}
	}
	if len(answers) != len(draft) {
		t.Errorf("answers of %d endpoints in the document, %d in the code", len(answers), len(draft))
	}
}

// octets writes a size as the tables do.
func octets(n int64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprint(n)
}

// TestErrorTable compares statuses and codes with the comment of package
// provider, and the codes with those that are declared.
func TestErrorTable(t *testing.T) {
	line := regexp.MustCompile(`(?m)^//\t(\d{3}) (\w+)`)
	want := map[string]string{}
	for _, m := range line.FindAllStringSubmatch(read(t, filepath.Join(root, "mimi/provider/doc.go")), -1) {
		want[m[2]] = m[1]
	}
	got := map[string]string{}
	for _, row := range rows(t, read(t, "mmr-profile.md"), "### Errors") {
		got[row[1]] = row[0]
	}
	if !maps.Equal(got, want) {
		t.Errorf("the document has %v\nthe code has %v", got, want)
	}
	declared := regexp.MustCompile(`Code\s*= "(\w+)"|\bCode = "(\w+)"`)
	for _, m := range declared.FindAllStringSubmatch(read(t, filepath.Join(root, "mimi/protocol/errors.go")), -1) {
		if code := m[1] + m[2]; got[code] == "" {
			t.Errorf("code %q is not in the document", code)
		}
	}
}

// TestConfigurationNamesEveryField compares the reference of the network section
// with the struct: names, defaults, and whether anything reads the field.
func TestConfigurationNamesEveryField(t *testing.T) {
	document := map[string][]string{}
	for _, row := range rows(t, read(t, "configuration.md"), "## The network section") {
		document[row[0]] = row
	}
	used := selectors(t)
	seen := map[string]bool{}
	var walk func(prefix string, v reflect.Value)
	walk = func(prefix string, v reflect.Value) {
		for i := range v.NumField() {
			field := v.Type().Field(i)
			key := prefix + "." + field.Tag.Get("yaml")
			switch {
			case field.Type.Kind() == reflect.Struct:
				walk(key, v.Field(i))
				continue
			case field.Type.Kind() == reflect.Map:
				walk(key+".DOMAIN", reflect.Zero(field.Type.Elem()))
				continue
			}
			seen[key] = true
			row, ok := document[key]
			if !ok {
				t.Errorf("%s is not in the document", key)
				continue
			}
			if want := defaultText(v.Field(i)); row[1] != want && !strings.HasPrefix(key, "network.peers.") {
				t.Errorf("%s: the document has the default %q, the code %q", key, row[1], want)
			}
			if inUse := used[v.Type().Name()+"."+field.Name]; inUse == strings.Contains(row[2], "Not applied yet") {
				t.Errorf("%s: something reads it: %t; the document says otherwise", key, inUse)
			}
		}
	}
	walk("network", reflect.ValueOf(config.Default()))
	for key := range document {
		if !seen[key] {
			t.Errorf("%s is in the document and not in the code", key)
		}
	}
}

func defaultText(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return x.String()
	case string:
		if x == "" {
			return "none"
		}
		return x
	default:
		if v.Kind() == reflect.String && v.Len() == 0 {
			return "none"
		}
		return fmt.Sprint(x)
	}
}

// selectors returns which fields of the configuration's structs are read outside
// of package config: for each struct the last two names of a selector, or the last
// one where it is unmistakable.
func selectors(t *testing.T) map[string]bool {
	t.Helper()
	sections := map[string]string{
		"Settings": "Config", "Config": "Config", "settings": "Config", "network": "Config",
		"Listen": "Listen", "Disclosure": "Disclosure", "Limits": "Limits", "Metrics": "Metrics", "p": "Peer",
	}
	used := map[string]bool{}
	for _, dir := range []string{"bridge", "cmd", "mapping"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				sel, ok := n.(*ast.SelectorExpr)
				if !ok {
					return true
				}
				owner := ""
				switch x := sel.X.(type) {
				case *ast.SelectorExpr:
					owner = x.Sel.Name
				case *ast.Ident:
					owner = x.Name
				}
				if section, ok := sections[owner]; ok {
					used[section+"."+sel.Sel.Name] = true
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if !used["Config.Domain"] || !used["Listen.CertFile"] {
		t.Fatalf("the search does not find what is certainly read: %v", used)
	}
	return used
}

// TestExtensionsTable: each demand of the extensions draft names where it is met
// and a test, or says why there is none; and there are as many as the text says.
func TestExtensionsTable(t *testing.T) {
	text, kinds := read(t, "mls-extensions.md"), map[string]int{}
	tests := readBook(t).tests
	headings := regexp.MustCompile(`(?m)^## .*$`).FindAllString(text, -1)
	for _, heading := range headings[:len(headings)-1] { // the last one has no table
		for _, row := range rows(t, text, heading) {
			if len(row) != 4 {
				t.Fatalf("%s: a row of %d cells: %v", heading, len(row), row)
			}
			kinds[row[0]]++
			named := false
			for _, m := range regexp.MustCompile(`(Test|Fuzz)\w+`).FindAllString(row[3], -1) {
				named = true
				if !tests[m] {
					t.Errorf("%s: %s: there is no %s", heading, row[1], m)
				}
			}
			if row[2] == "" || named == strings.HasPrefix(row[3], "none: ") {
				t.Errorf("%s: %s: no code, no test, or a test beside none", heading, row[1])
			}
		}
	}
	said := regexp.MustCompile(`have (\d+) MUST and (\d+) SHOULD`).FindStringSubmatch(text)
	if said == nil || said[1] != strconv.Itoa(kinds["MUST"]) || said[2] != strconv.Itoa(kinds["SHOULD"]) || kinds["rule"] == 0 || len(kinds) != 3 {
		t.Errorf("the rows are of kinds %v, the text says %v", kinds, said)
	}
}
