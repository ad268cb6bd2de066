package mapping_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mapping"
)

func TestLoadKeyFileMakesIt(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "gw.key")
	made, err := mapping.LoadKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != 0o600 || info.Size() != 32 {
		t.Errorf("key file has mode %v and %d octets, want 0600 and 32", info.Mode(), info.Size())
	}
	again, err := mapping.LoadKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if again.ID() != made.ID() {
		t.Error("the second start has another key")
	}
	other, err := mapping.LoadKeyFile(filepath.Join(dir, "other.key"))
	if err != nil {
		t.Fatal(err)
	}
	if other.ID() == made.ID() {
		t.Error("two files have one key")
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 {
		t.Errorf("temporary files remain: %v", entries)
	}
}

func TestLoadKeyFileRefuses(t *testing.T) {
	key := bytes.Repeat([]byte("k"), 32)
	for name, c := range map[string]struct {
		content []byte
		mode    os.FileMode
		want    string
	}{
		"readable by the group": {key, 0o640, "chmod 600"},
		"readable by others":    {key, 0o604, "chmod 600"},
		"writable by others":    {key, 0o602, "chmod 600"},
		"too short":             {key[:31], 0o600, "31 octets"},
		"too long":              {append(key, '\n'), 0o600, "33 octets"},
		"empty":                 {nil, 0o600, "0 octets"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "gw.key")
			if err := os.WriteFile(path, c.content, 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, c.mode); err != nil {
				t.Fatal(err)
			}
			_, err := mapping.LoadKeyFile(path)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), path) {
				t.Fatalf("error is %v, want one that says %q", err, c.want)
			}
			if strings.Contains(err.Error(), "kkkk") {
				t.Errorf("error shows the key: %v", err)
			}
			if content, err := os.ReadFile(path); err != nil || !bytes.Equal(content, c.content) {
				t.Error("a refused file was changed")
			}
		})
	}
	t.Run("folder", func(t *testing.T) {
		if _, err := mapping.LoadKeyFile(t.TempDir()); err == nil {
			t.Error("a folder was accepted")
		}
	})
	t.Run("no such folder", func(t *testing.T) {
		if _, err := mapping.LoadKeyFile(filepath.Join(t.TempDir(), "none", "gw.key")); err == nil {
			t.Error("a file in no folder was accepted")
		}
	})
}

// Of many that start at once, all get the key of the one that made the file.
func TestLoadKeyFileConcurrently(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gw.key")
	ids := make([]string, 16)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			keys, err := mapping.LoadKeyFile(path)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = keys.ID()
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("keys differ: %v", ids)
		}
	}
}
