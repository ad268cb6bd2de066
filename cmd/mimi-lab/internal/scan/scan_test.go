package scan_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/scan"
)

// TestPlantedNeedles writes a needle in every encoding at a random place of
// random octets, with another implementation than the scanner's own where there is
// one.
func TestPlantedNeedles(t *testing.T) {
	needle := scan.Needle{Name: "a name", Text: "Älice@alpha.localhost"}
	hash := sha256.Sum256([]byte(needle.Text))
	quoted, err := json.Marshal(map[string]string{"x": needle.Text})
	if err != nil {
		t.Fatal(err)
	}
	var little []byte
	for _, u := range utf16.Encode([]rune(needle.Text)) {
		little = append(little, byte(u), byte(u>>8))
	}
	planted := map[string][]byte{
		"raw": []byte(needle.Text), "upper case": []byte(strings.ToUpper(needle.Text)), "hex": []byte(hex.EncodeToString([]byte(needle.Text))),
		"upper hex": []byte(strings.ToUpper(hex.EncodeToString([]byte(needle.Text)))),
		"percent":   []byte(url.QueryEscape(needle.Text)), "json": quoted, "utf-16": little, "hash": hash[:],
		"hash in base64": []byte(base64.StdEncoding.EncodeToString(hash[:])),
	}
	for i, prefix := range []string{"", "a", "ab"} {
		planted["base64 "+string(rune('0'+i))] = []byte(base64.StdEncoding.EncodeToString([]byte(prefix + needle.Text + "tail")))
		planted["base64url "+string(rune('0'+i))] = []byte(base64.URLEncoding.EncodeToString([]byte(prefix + needle.Text + "tail")))
	}
	for name, secret := range planted {
		for range 100 {
			noise := make([]byte, 4096)
			_, _ = rand.Read(noise)
			at, err := rand.Int(rand.Reader, big.NewInt(4096))
			if err != nil {
				t.Fatal(err)
			}
			data := bytes.Join([][]byte{noise[:at.Int64()], secret, noise[at.Int64():]}, nil)
			if len(scan.Find(data, needle)) == 0 {
				t.Errorf("%s at %d was not found", name, at)
			}
		}
	}
}

func TestNothingToFind(t *testing.T) {
	noise := make([]byte, 1<<20)
	_, _ = rand.Read(noise)
	if hits := scan.Find(noise, scan.Needle{Name: "a name", Text: "alice@alpha.localhost"}, scan.Needle{Name: "short", Text: "ab"}); len(hits) > 0 {
		t.Errorf("found in random octets: %v", hits)
	}
}
