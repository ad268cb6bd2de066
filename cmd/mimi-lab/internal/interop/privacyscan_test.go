package interop_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/interop"
)

// TestPrivacyScan: the second scanner agrees with what is right, and complains about
// everything else. It needs Python, as the whole of "make test" does.
func TestPrivacyScan(t *testing.T) {
	type named struct {
		Name string `json:"name"`
		Text string `json:"text"`
	}
	for name, test := range map[string]struct {
		hub, other string
		found      map[string][]string
		complaint  string
	}{
		"it agrees":                  {"nothing of interest", "YWxpY2UubGlkZGVsbA==", map[string][]string{"other.bin": {"who"}}, ""},
		"the hub has an identifier":  {"ALICE.Liddell", "-", map[string][]string{"hub.bin": {"who"}}, "which the hub has"},
		"the lab does not find it":   {"-", "616c6963652e6c696464656c6c", map[string][]string{}, "only privacyscan finds who in other.bin"},
		"the lab finds what is not":  {"-", "-", map[string][]string{"other.bin": {"who"}}, "only the lab finds who in other.bin"},
		"a secret is somewhere":      {"-", "0123456789abcdef", map[string][]string{"other.bin": {"a key"}}, "a key is in other.bin"},
		"there is nothing to search": {"", "", map[string][]string{}, "nothing to search"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			recording := map[string]any{
				"needles": []named{{"who", "alice.liddell"}},
				"secrets": []named{{"a key", base64.StdEncoding.EncodeToString([]byte("0123456789abcdef"))}},
				"hub":     []string{"hub.bin"}, "all": []string{"hub.bin", "other.bin"}, "found": test.found,
			}
			if test.hub == "" {
				recording["hub"] = []string{}
			}
			encoded, err := json.Marshal(recording)
			if err != nil {
				t.Fatal(err)
			}
			for file, data := range map[string][]byte{"recording.json": encoded, "hub.bin": []byte(test.hub), "other.bin": []byte(test.other)} {
				if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var out strings.Builder
			err = interop.PrivacyScan(t.Context(), dir, 0, &out)
			if (test.complaint == "") != (err == nil) || err != nil && !errors.Is(err, interop.ErrPrivacyScan) {
				t.Fatalf("%v: %s", err, &out)
			}
			if !strings.Contains(out.String(), test.complaint) {
				t.Errorf("it says %q, and should say %q", &out, test.complaint)
			}
		})
	}
}
