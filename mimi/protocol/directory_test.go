package protocol_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol/protocoltest"
)

const domain = protocoltest.Hub

// document returns a complete directory document as JSON members.
func document(tb testing.TB) map[string]any {
	tb.Helper()
	doc, mgp := map[string]any{}, map[string]any{
		"versions":        []int{1, 9},
		"keymaterialKeys": []any{map[string]any{"id": 3, "suite": 1, "key": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", "notAfter": 1900000000}},
	}
	for _, e := range protocol.Endpoints() {
		u := "https://" + domain + ":8443/v1/" + string(e)
		if e.Variable() != "" {
			u += "/{" + e.Variable() + "}"
		}
		if e.Profile() {
			mgp[string(e)] = u
		} else {
			doc[string(e)] = u
		}
	}
	p := identitytest.NewProvider(tb, identitytest.Suite(tb, suite.X25519AES128), domain)
	doc["mgp"], doc["identityCA"] = mgp, string(p.CA.PEM())
	return doc
}

func encode(tb testing.TB, doc any) []byte {
	tb.Helper()
	b, err := json.Marshal(doc)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestDirectorySurvivesItsEncoding(t *testing.T) {
	d, err := protocol.ParseDirectory(encode(t, document(t)), domain)
	if err != nil {
		t.Fatal(err)
	}
	again, err := protocol.ParseDirectory(encode(t, d), domain)
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(d.Endpoints, again.Endpoints) || !maps.Equal(d.Profile.Endpoints, again.Profile.Endpoints) {
		t.Error("endpoints changed")
	}
	if string(d.IdentityCA.PEM()) != string(again.IdentityCA.PEM()) {
		t.Error("identityCA changed")
	}
	key := again.Profile.KeyMaterialKeys[0]
	if key.ID != 3 || key.Suite != suite.X25519AES128 || len(key.Public) != 32 || !key.NotAfter.Equal(time.Unix(1900000000, 0)) {
		t.Errorf("key changed: %+v", key)
	}
	u, err := d.URL(protocol.EndpointNotify, protocoltest.Room.String())
	want := "https://hub.example:8443/v1/notify/mimi%3A%2F%2Fhub.example%2Fr%2F" + protocoltest.Room.ID
	if err != nil || u != want {
		t.Errorf("URL is %s, %v", u, err)
	}
}

// TestDirectoryNamesConsentByUserOrDomain: the draft has the variable of these URLs by
// two names, which stand for a user and for the user's domain.
func TestDirectoryNamesConsentByUserOrDomain(t *testing.T) {
	for template, want := range map[string]string{
		"https://hub.example/c/{targetUser}":   "https://hub.example/c/mimi%3A%2F%2Flocal.example%2Fu%2F" + protocoltest.User.ID,
		"https://hub.example/c/{targetDomain}": "https://hub.example/c/local.example",
	} {
		doc := document(t)
		doc["requestConsent"] = template
		delete(doc, "updateConsent")
		d, err := protocol.ParseDirectory(encode(t, doc), domain)
		if err != nil {
			t.Fatal(err)
		}
		if u, err := d.URL(protocol.EndpointRequestConsent, protocoltest.User.String()); err != nil || u != want {
			t.Errorf("%s became %s, %v", template, u, err)
		}
		if _, err := d.URL(protocol.EndpointUpdateConsent, protocoltest.User.String()); !errors.Is(err, protocol.ErrNotOffered) {
			t.Errorf("an endpoint that is not there: %v", err)
		}
	}
	for _, bad := range []string{"https://hub.example/c/{requesterUser}", "https://hub.example/{targetUser}/{targetDomain}"} {
		doc := document(t)
		doc["requestConsent"] = bad
		if _, err := protocol.ParseDirectory(encode(t, doc), domain); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

func TestDirectoryWithoutProfile(t *testing.T) {
	for name, mgp := range map[string]any{
		"no mgp":           nil,
		"another version":  map[string]any{"versions": []int{2}, "joinCode": 7},
		"unknown versions": map[string]any{"versions": []int{}},
	} {
		doc := document(t)
		if doc["mgp"] = mgp; mgp == nil {
			delete(doc, "mgp")
		}
		d, err := protocol.ParseDirectory(encode(t, doc), domain)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := d.URL(protocol.EndpointJoinCode, ""); !errors.Is(err, protocol.ErrNoProfile) {
			t.Errorf("%s: URL of joinCode: %v", name, err)
		}
		if _, ok := d.KeyMaterialKey(suite.X25519AES128, protocoltest.At); ok {
			t.Errorf("%s: there is a key", name)
		}
	}
}

func TestDirectoryChoosesTheKeyThatLasts(t *testing.T) {
	key := func(id uint8, hours int, s suite.ID) identity.ProviderKey {
		return identity.ProviderKey{ID: id, Suite: s, NotAfter: protocoltest.At.Add(time.Duration(hours) * time.Hour)}
	}
	d := &protocol.Directory{Profile: &protocol.Profile{KeyMaterialKeys: []identity.ProviderKey{
		key(1, 0, suite.X25519AES128), key(2, 5, suite.X25519AES128), key(3, 2, suite.X25519AES128), key(4, 9, suite.P256AES128),
	}}}
	if k, ok := d.KeyMaterialKey(suite.X25519AES128, protocoltest.At); !ok || k.ID != 2 {
		t.Errorf("chose %d, %v", k.ID, ok)
	}
	if _, ok := d.KeyMaterialKey(suite.X25519AES128, protocoltest.At.Add(5*time.Hour)); ok {
		t.Error("chose an expired key")
	}
}

func TestDirectoryRefuses(t *testing.T) {
	change := func(f func(doc, mgp map[string]any)) []byte {
		doc := document(t)
		f(doc, doc["mgp"].(map[string]any))
		return encode(t, doc)
	}
	url := func(u string) []byte {
		return change(func(doc, _ map[string]any) { doc["notify"] = u })
	}
	key := func(name string, value any) []byte {
		return change(func(_, mgp map[string]any) {
			k := mgp["keymaterialKeys"].([]any)[0].(map[string]any)
			if k[name] = value; value == nil {
				delete(k, name)
			}
		})
	}
	good := string(encode(t, document(t)))
	cases := map[string][]byte{
		"empty":                   {},
		"array":                   []byte("[]"),
		"null":                    []byte("null"),
		"truncated":               []byte(good[:len(good)-1]),
		"trailing":                []byte(good + "{}"),
		"not UTF-8":               []byte(strings.Replace(good, "{", "{\"x\":\"\xff\",", 1)),
		"too long":                []byte(good + strings.Repeat(" ", protocol.MaxDirectory)),
		"repeated member":         []byte(strings.Replace(good, "{", `{"notify":"https://hub.example/{roomId}",`, 1)),
		"repeated member in mgp":  []byte(strings.Replace(good, `"mgp":{`, `"mgp":{"versions":[1],`, 1)),
		"missing endpoint":        change(func(doc, _ map[string]any) { delete(doc, "update") }),
		"missing endpoint of mgp": change(func(_, mgp map[string]any) { delete(mgp, "joinCode") }),
		"other case":              change(func(doc, _ map[string]any) { doc["UPDATE"] = doc["update"]; delete(doc, "update") }),
		"endpoint is null":        change(func(doc, _ map[string]any) { doc["update"] = nil }),
		"mgp is a list":           change(func(doc, _ map[string]any) { doc["mgp"] = []int{1} }),
		"versions are null":       change(func(_, mgp map[string]any) { mgp["versions"] = nil }),
		"no keys":                 change(func(_, mgp map[string]any) { mgp["keymaterialKeys"] = []any{} }),
		"key id twice": change(func(_, mgp map[string]any) {
			k := mgp["keymaterialKeys"].([]any)
			mgp["keymaterialKeys"] = append(k, k[0])
		}),
		"key without notAfter":          key("notAfter", nil),
		"key with notAfter in the text": key("notAfter", "1900000000"),
		"key id above 255":              key("id", 256),
		"key with padding":              key("key", "AA=="),
		"key that is empty":             key("key", ""),
		"identityCA is no PEM":          change(func(doc, _ map[string]any) { doc["identityCA"] = "x" }),
		"identityCA is null":            change(func(doc, _ map[string]any) { doc["identityCA"] = nil }),
		"http":                          url("http://hub.example/{roomId}"),
		"another host":                  url("https://evil.example/{roomId}"),
		"a host below":                  url("https://mimi.hub.example/{roomId}"),
		"user information":              url("https://hub.example@evil.example/{roomId}"),
		"password":                      url("https://a:b@hub.example/{roomId}"),
		"variable in the host":          url("https://{roomId}/"),
		"host goes on":                  url("https://hub.example{roomId}"),
		"port goes on":                  url("https://hub.example:84{roomId}/"),
		"port 0":                        url("https://hub.example:0/{roomId}"),
		"port above 65535":              url("https://hub.example:65536/{roomId}"),
		"empty port":                    url("https://hub.example:/{roomId}"),
		"query":                         url("https://hub.example/?room={roomId}"),
		"empty query":                   url("https://hub.example/{roomId}?"),
		"fragment":                      url("https://hub.example/#{roomId}"),
		"empty fragment":                url("https://hub.example/{roomId}#"),
		"no variable":                   url("https://hub.example/"),
		"variable twice":                url("https://hub.example/{roomId}/{roomId}"),
		"another variable":              url("https://hub.example/{roomId}/{targetUser}"),
		"space":                         url("https://hub.example/ {roomId}"),
		"line break":                    url("https://hub.example/\r\n{roomId}"),
		"backslash":                     url(`https://hub.example\{roomId}`),
		"too long a URL":                url("https://hub.example/{roomId}" + strings.Repeat("a", 2048)),
		"relative":                      url("/v1/{roomId}"),
		"opaque":                        url("https:hub.example/{roomId}"),
	}
	if _, err := protocol.ParseDirectory([]byte(good), domain); err != nil {
		t.Fatalf("control: %v", err)
	}
	for name, doc := range cases {
		if _, err := protocol.ParseDirectory(doc, domain); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := protocol.ParseDirectory([]byte(good), "other.example"); err == nil {
		t.Error("the document of another domain is accepted")
	}
}

func FuzzParseDirectory(f *testing.F) {
	seed := encode(f, document(f))
	if _, err := protocol.ParseDirectory(seed, domain); err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(`{"update":"https://hub.example/{roomId}"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := protocol.ParseDirectory(b, domain)
		if err != nil {
			t.Skip(err)
		}
		if _, err := protocol.ParseDirectory(encode(t, d), domain); err != nil {
			t.Errorf("what was parsed does not parse again: %v", err)
		}
	})
}

// The host must not end where the variable begins, whatever stands for it.
func TestTemplateVariableIsNotPartOfTheHost(t *testing.T) {
	for _, domain := range []string{"hub.x", "hub.xx"} {
		for _, u := range []string{"https://hub.{roomId}", "https://hub.{roomId}/", "https://hub.x{roomId}/", "https://hub.{roomId}x/"} {
			if _, err := protocol.ParseTemplate(protocol.EndpointNotify, u, domain); err == nil {
				t.Errorf("%s of %s is accepted", u, domain)
			}
		}
	}
}

func FuzzParseFrom(f *testing.F) {
	f.Add("mimi@a.example")
	f.Add("alice@a.example")
	f.Fuzz(func(t *testing.T, s string) {
		d, err := protocol.ParseFrom(s)
		if err != nil {
			t.Skip(err)
		}
		if protocol.FromHeader(d) != s {
			t.Errorf("%q names %q", s, d)
		}
	})
}

func TestFrom(t *testing.T) {
	if d, err := protocol.ParseFrom(protocol.FromHeader("a.example")); d != "a.example" || err != nil {
		t.Errorf("got %q, %v", d, err)
	}
	for _, h := range []string{
		"", "mimi", "a.example", "mimi@", "MIMI@a.example", "mimi@A.example", "alice@a.example",
		"Mimi <mimi@a.example>", "<mimi@a.example>", "mimi@a.example, mimi@b.example", " mimi@a.example", "mimi@a.example ", "mimi@[127.0.0.1]", "mimi@a.example:443",
	} {
		if d, err := protocol.ParseFrom(h); !errors.Is(err, protocol.ErrMalformed) {
			t.Errorf("%q: %q, %v", h, d, err)
		}
	}
}

func FuzzParseKeyMaterialTarget(f *testing.F) {
	f.Add("mimi://a.example/keymaterial")
	for _, bad := range []string{"mimi://a.example/keymaterial/", "mimi:///keymaterial", "mimi://A.example/keymaterial", "mimi://a.example/u/keymaterial", "mimi://a.example"} {
		if _, err := protocol.ParseKeyMaterialTarget(bad); err == nil {
			f.Errorf("%s is accepted", bad)
		}
		f.Add(bad)
	}
	f.Fuzz(func(t *testing.T, s string) {
		target, err := protocol.ParseKeyMaterialTarget(s)
		if err != nil {
			t.Skip(err)
		}
		if target.String() != s {
			t.Errorf("%q became %q", s, target)
		}
	})
}

func ExampleDirectory_URL() {
	update, err := protocol.ParseTemplate(protocol.EndpointUpdate, "https://hub.example/mimi/v1/update/{roomId}", "hub.example")
	if err != nil {
		fmt.Println(err)
		return
	}
	d := &protocol.Directory{Endpoints: map[protocol.Endpoint]protocol.Template{protocol.EndpointUpdate: update}}
	fmt.Println(d.URL(protocol.EndpointUpdate, "mimi://hub.example/r/clubhouse"))
	// Output: https://hub.example/mimi/v1/update/mimi%3A%2F%2Fhub.example%2Fr%2Fclubhouse <nil>
}
