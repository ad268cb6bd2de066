package mapping

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func testKeys(fill byte) Keys { return newKeys(bytes.Repeat([]byte{fill}, kekSize), "test.key") }

func TestSealOpens(t *testing.T) {
	k := testKeys(1)
	for _, secret := range [][]byte{nil, {}, {0}, bytes.Repeat([]byte("secret"), 1000)} {
		sealed, err := k.seal(secret, "table", "a", "b")
		if err != nil {
			t.Fatal(err)
		}
		if secret == nil != (sealed == nil) {
			t.Errorf("%d octets were sealed as %v", len(secret), sealed)
		}
		if len(secret) > 12 && bytes.Contains(sealed, secret[:12]) {
			t.Error("sealed value shows the secret")
		}
		got, err := k.open(sealed, "table", "a", "b")
		if err != nil || !bytes.Equal(got, secret) || (got == nil) != (secret == nil) {
			t.Errorf("open = %v, %v, want %v", got, err, secret)
		}
	}
}

func TestSealIsFresh(t *testing.T) {
	k := testKeys(1)
	one, err1 := k.seal([]byte("secret"), "table", "a")
	two, err2 := k.seal([]byte("secret"), "table", "a")
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(one[keyIDSize:keyIDSize+12], two[keyIDSize:keyIDSize+12]) {
		t.Error("a nonce was used twice")
	}
}

// A value opens in its own row alone, and undamaged.
func TestSealIsBound(t *testing.T) {
	k := testKeys(1)
	sealed, err := k.seal([]byte("secret"), "table", "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string][]string{
		"other table":          {"tables", "a", "b"},
		"other key":            {"table", "a", "c"},
		"shorter key":          {"table", "a"},
		"longer key":           {"table", "a", "b", ""},
		"same octets, moved":   {"table", "ab", ""},
		"same octets, swapped": {"table", "", "ab"},
		"key in the table":     {"tablea", "b"},
	} {
		if _, err := k.open(sealed, row[0], row[1:]...); !errors.Is(err, ErrSealed) {
			t.Errorf("%s: error is %v, want ErrSealed", name, err)
		}
	}
	for i := keyIDSize; i < len(sealed); i++ {
		damaged := bytes.Clone(sealed)
		damaged[i] ^= 1
		if _, err := k.open(damaged, "table", "a", "b"); !errors.Is(err, ErrSealed) {
			t.Errorf("octet %d damaged: error is %v, want ErrSealed", i, err)
		}
	}
	for i := range len(sealed) {
		if _, err := k.open(sealed[:i], "table", "a", "b"); !errors.Is(err, ErrSealed) {
			t.Errorf("cut to %d octets: error is %v, want ErrSealed", i, err)
		}
	}
}

func TestSealWrongKey(t *testing.T) {
	sealed, err := testKeys(1).seal([]byte("secret"), "table", "a")
	if err != nil {
		t.Fatal(err)
	}
	_, err = testKeys(2).open(sealed, "table", "a")
	if !errors.Is(err, ErrKey) {
		t.Fatalf("error is %v, want ErrKey", err)
	}
	for _, part := range []string{testKeys(1).ID(), testKeys(2).ID(), "test.key"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error does not name %s: %v", part, err)
		}
	}
	if _, err := (Keys{}).seal([]byte("secret"), "table", "a"); err == nil {
		t.Error("sealed without a key")
	}
}

func TestKeysRedacted(t *testing.T) {
	k := newKeys([]byte("0123456789abcdef0123456789abcdef"), "test.key")
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("test", "key", k)
	encoded, err := json.Marshal(map[string]any{"key": k})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		k.String(), fmt.Sprint(k), fmt.Sprintf("%v %+v %#v %s %x %d", k, k, k, k, k, k),
		fmt.Sprintf("%+v", struct{ K Keys }{k}), log.String(), string(encoded),
	} {
		if strings.Contains(text, "0123456789abcdef") || strings.Contains(text, "48 49 50") || strings.Contains(text, "30313233") {
			t.Errorf("key is shown: %s", text)
		}
		if !strings.Contains(text, k.ID()) {
			t.Errorf("key is not named: %s", text)
		}
	}
}
