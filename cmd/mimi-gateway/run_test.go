package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/config"
)

// example writes the example configuration, changed by pairs of old and new.
func example(t *testing.T, pairs ...string) string {
	t.Helper()
	text := strings.NewReplacer(pairs...).Replace(config.Example())
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(config.Example(), pairs[i]) {
			t.Fatalf("the example does not contain %q", pairs[i])
		}
	}
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// edits makes the example valid but for the tokens.
var edits = []string{
	"domain: mimi.example.com", "domain: mimi.alpha.localhost",
	`cert_file: ""`, "cert_file: cert.pem",
	`key_file: ""`, "key_file: key.pem",
	"domain: example.com", "domain: alpha.localhost",
	`"example.com": user`, `"alpha.localhost": user`,
	"http://example.localhost:8008", "http://127.0.0.1:8008",
}

func TestExampleIsWrittenOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-e", "-c", path}, &out); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the example has mode %v (%v)", info.Mode(), err)
	}
	if err := run(t.Context(), []string{"-e", "-c", path}, &out); err == nil {
		t.Error("an existing configuration was replaced")
	}
}

func TestInvalidConfigNamesAllKeys(t *testing.T) {
	path := example(t, "portal_event_buffer: 0", "portal_event_buffer: 64", "async_transactions: false", "async_transactions: true")
	err := run(t.Context(), []string{"-c", path}, &bytes.Buffer{})
	if exitCode(err) != exitInvalid {
		t.Fatalf("exit code %d for %v", exitCode(err), err)
	}
	for _, key := range []string{
		"network.domain", "network.listen.cert_file", "network.listen.key_file", "bridge.portal_event_buffer",
		"bridge.permissions", "homeserver.address", "homeserver.domain", "appservice.async_transactions",
		"appservice.as_token", "appservice.hs_token", "provisioning.shared_secret",
	} {
		if !strings.Contains(err.Error(), "\n  "+key+": ") {
			t.Errorf("the error does not name %s:\n%v", key, err)
		}
	}
}

func TestRefusedSettings(t *testing.T) {
	const sqlite = "uri: file:mimi-gateway.db?_txlock=immediate&_secure_delete=on"
	for name, test := range map[string]struct{ old, new, key string }{
		"postgres URI":    {sqlite, "uri: postgres://u:p@h/d", "database.uri: PostgreSQL is not supported"},
		"postgres type":   {"type: sqlite3-fk-wal-fullsync", "type: postgres", "database.uri: PostgreSQL is not supported"},
		"weak sync":       {"type: sqlite3-fk-wal-fullsync", "type: sqlite3-fk-wal", "database.type: "},
		"deferred writes": {sqlite, "uri: file:mimi-gateway.db", "database.uri: must contain _txlock=immediate"},
		"no database":     {sqlite, "uri: file:?_txlock=immediate", "database.uri: must name a file"},
		"misspelt key":    {"auto_provision: local", "auto_provison: local", "field auto_provison not found"},
		"misspelt option": {"retry_limit: 4", "retry_limits: 4", "field retry_limits not found"},
	} {
		t.Run(name, func(t *testing.T) {
			path := example(t, append([]string{test.old, test.new}, edits...)...)
			err := run(t.Context(), []string{"-c", path}, &bytes.Buffer{})
			if err == nil || !strings.Contains(err.Error(), test.key) {
				t.Errorf("the error %v does not contain %q", err, test.key)
			}
		})
	}
}

func TestRegistrationChangesTokensAlone(t *testing.T) {
	path := example(t, edits...)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	registration := filepath.Join(t.TempDir(), "registration.yaml")
	if err := run(t.Context(), []string{"-g", "-c", path, "-r", registration}, &bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	was, is := strings.Split(string(before), "\n"), strings.Split(string(after), "\n")
	if len(was) != len(is) {
		t.Fatalf("%d lines became %d", len(was), len(is))
	}
	var changed []string
	for i := range was {
		if was[i] != is[i] {
			key, _, _ := strings.Cut(strings.TrimSpace(is[i]), ":")
			changed = append(changed, key)
		}
	}
	if got := strings.Join(changed, " "); got != "as_token hs_token shared_secret pickle_key" {
		t.Errorf("changed: %s", got)
	}
	s, err := loadSettings(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.validate(); err != nil {
		t.Errorf("still invalid after -g: %v", err)
	}
	data, err := os.ReadFile(registration)
	if err != nil || !strings.Contains(string(data), s.bridge.AppService.ASToken) {
		t.Errorf("the registration does not hold the token (%v)", err)
	}
}

func TestSetScalar(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"plain":       {"a:\n  b: x # why\n  c: y\n", "a:\n  b: \"new\" # why\n  c: y\n"},
		"quoted":      {"a:\n    b: 'x'\n", "a:\n    b: \"new\"\n"},
		"absent":      {"a: # why\n   c: y\n", "a: # why\n   b: \"new\"\n   c: y\n"},
		"no section":  {"c:\n  b: x\n", "c:\n  b: x\n\na:\n    b: \"new\"\n"},
		"flow":        {"a: {b: x}\n", ""},
		"block":       {"a:\n  b: |\n    x\n", ""},
		"escaped":     {"a:\n  b: \"\\x41\"\n", ""},
		"no mapping":  {"a: x\n", ""},
		"other b":     {"b: 1\na:\n  b: x\nc:\n  b: z\n", "b: 1\na:\n  b: \"new\"\nc:\n  b: z\n"},
		"empty value": {"a:\n  b: \"\"\n", "a:\n  b: \"new\"\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := setScalar([]byte(test.in), "a.b", "new")
			if string(got) != test.want || (err != nil) != (test.want == "") {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}

// buildBinary compiles the daemon with further tags.
func buildBinary(t *testing.T, tags string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "mimi-gateway")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-tags", tags, "-o", path, ".")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return path
}

// labWords occur in lab builds, and must not in others.
var labWords = []string{"plaintext-name", "reuse-pseudonym", "keep-removed", "answer-decline", "upload-at-once", "last-resort-twice", "break a promise", "/advance"}

func TestReleaseHasNoFaults(t *testing.T) {
	binary := buildBinary(t, "goolm")
	data, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range labWords {
		if bytes.Contains(data, []byte(word)) {
			t.Errorf("the release binary contains %q", word)
		}
	}
	for _, flag := range []string{"--fault=drop", "--faults", "--clock=127.0.0.1:1"} {
		out, err := exec.CommandContext(t.Context(), binary, flag).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "flag provided but not defined") {
			t.Errorf("%s: %v\n%s", flag, err, out)
		}
	}
	out, err := exec.CommandContext(t.Context(), binary, "--version").Output()
	if err != nil || !strings.HasPrefix(string(out), "mimi-gateway v"+baseVersion) {
		t.Errorf("--version printed %q (%v)", out, err)
	}
}

func TestUsageErrors(t *testing.T) {
	for _, args := range [][]string{{"--nonsense"}, {"something"}, {"-g", "-n"}} {
		if err := run(t.Context(), args, &bytes.Buffer{}); exitCode(err) != exitUsage {
			t.Errorf("%v: %v", args, err)
		}
	}
	if err := run(t.Context(), []string{"-h"}, &bytes.Buffer{}); err != nil {
		t.Errorf("-h: %v", err)
	}
}
