// Package vectors finds and reads the official MLS test vectors.
//
// They come from the folder in the environment variable MLS_TEST_VECTORS, or
// else from the module cache: the nested module interop/vectors requires a
// module whose archive carries them, so that the ordinary Go client brings them
// to any machine.
package vectors

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// Environment names the variable with the folder of the vectors.
const Environment = "MLS_TEST_VECTORS"

// Hex is a field in hexadecimal. Null decodes to nil.
type Hex []byte

// UnmarshalJSON decodes a string in hexadecimal, or null.
func (h *Hex) UnmarshalJSON(b []byte) error {
	var s *string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if s == nil {
		*h = nil
		return nil
	}
	out, err := hex.DecodeString(*s)
	if err != nil {
		return err
	}
	*h = append(Hex{}, out...)
	return nil
}

// supported are the cipher suites whose cases have to run.
var supported = map[uint16]bool{1: true, 2: true, 3: true}

// Run runs every case of the official file name, such as "tree-math". A case
// that names a cipher suite other than 0x0001 to 0x0003 counts as skipped; all
// others run. Unknown fields of a case are an error: a vector that says more
// than the test reads is not covered. Run logs how many cases ran, and skips the
// test by name if the file is not in the folder.
func Run[C any](t *testing.T, name string, run func(t *testing.T, c C)) {
	t.Helper()
	dir, err := folder()
	if err != nil {
		t.Skipf("%s.json: absent: %v", name, err)
	}
	data, err := os.ReadFile(filepath.Join(dir, name+".json"))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("%s.json: absent from this copy of the vectors; set %s to a complete one", name, Environment)
	}
	if err != nil {
		t.Fatal(err)
	}
	var cases []json.RawMessage
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatalf("%s.json: %v", name, err)
	}
	ran, skipped := 0, 0
	for i, raw := range cases {
		var head struct {
			CipherSuite uint16 `json:"cipher_suite"`
		}
		if err := json.Unmarshal(raw, &head); err != nil {
			t.Fatalf("%s.json, case %d: %v", name, i, err)
		}
		if head.CipherSuite != 0 && !supported[head.CipherSuite] {
			skipped++
			continue
		}
		var c C
		d := json.NewDecoder(bytes.NewReader(raw))
		d.DisallowUnknownFields()
		if err := d.Decode(&c); err != nil {
			t.Fatalf("%s.json, case %d: %v", name, i, err)
		}
		ran++
		t.Run(fmt.Sprintf("%03d", i), func(t *testing.T) { run(t, c) })
	}
	if ran == 0 {
		t.Errorf("%s.json: no case ran", name)
	}
	t.Logf("%s.json: %d cases run, %d of unsupported cipher suites skipped", name, ran, skipped)
}

// folder finds the vectors once per process.
var folder = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv(Environment); dir != "" {
		return dir, nil
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "mod", "download", "-json", "github.com/thomas-vilte/mls-go")
	cmd.Dir = filepath.Join(root, "interop", "vectors")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("download the module with the vectors (or set %s): %w", Environment, err)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return "", fmt.Errorf("output of go mod download: %w", err)
	}
	return findVectors(module.Dir)
})

// moduleRoot is the folder of go.mod above the package under test.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod above the working directory")
		}
		dir = parent
	}
}

// findVectors looks for the folder that holds tree-math.json.
func findVectors(module string) (string, error) {
	found := ""
	err := filepath.WalkDir(module, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == "tree-math.json" {
			found = filepath.Dir(path)
			return fs.SkipAll
		}
		return err
	})
	if err == nil && found == "" {
		err = fmt.Errorf("no tree-math.json below %s", module)
	}
	return found, err
}
