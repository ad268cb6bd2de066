package protocol

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
)

// DirectoryPath is where a provider's directory document lies
// (draft-ietf-mimi-protocol-06, section 5.1).
const DirectoryPath = "/.well-known/mimi-protocol-directory"

// DirectoryMediaType is the Content-Type of a directory document.
const DirectoryMediaType = "application/json"

// Limits of a directory document. One that breaks them is refused as a whole.
const (
	// MaxDirectory is the longest document in octets, checked before parsing.
	MaxDirectory = 64 << 10
	maxURL       = 2048
	maxVersions  = 16
	maxKeys      = 16
	maxKey       = 2048 // an HPKE public key in octets; room for post-quantum ones
)

// ProfileVersion is the one version of the minimal-metadata profile there is.
const ProfileVersion = 1

// A Directory is a provider's directory document: where its endpoints are, and
// the keys that are taken from nowhere else (draft-ietf-mimi-protocol-06, section
// 5.1; mmr-profile.md, sections 6 and 10).
type Directory struct {
	// Endpoints has the URL of each endpoint of the draft that the provider
	// serves. keyMaterial, update, notify, submitMessage and groupInfo are always
	// there.
	Endpoints map[Endpoint]Template
	// IdentityCA issues the client credentials of the provider's users; nil where
	// there are none. Whether it is the right one, the receiver's identity.Pinner
	// decides.
	IdentityCA *identity.Authority
	// Profile is nil where the provider does not speak the minimal-metadata
	// profile in a version known here.
	Profile *Profile
}

// A Profile is the "mgp" member of a directory document: what a provider of
// minimal-metadata rooms adds.
type Profile struct {
	// Endpoints has connectionPackage, connectionRequest, keyMaterialAnonymous and
	// joinCode, always all of them.
	Endpoints map[Endpoint]Template
	// KeyMaterialKeys seal connection tokens; at least one. Their NotAfter are in
	// whole seconds. A key of an unknown suite is kept.
	KeyMaterialKeys []identity.ProviderKey
}

// URL returns the URL of an endpoint with value in place of the variable, which
// must be empty for an endpoint that has none. A provider that does not offer
// the endpoint gives [ErrNoProfile] for those of the profile, and [ErrNotOffered]
// for those of the draft.
func (d *Directory) URL(e Endpoint, value string) (string, error) {
	t, ok := d.Endpoints[e]
	if e.Profile() {
		if d.Profile == nil {
			return "", ErrNoProfile
		}
		t, ok = d.Profile.Endpoints[e]
	}
	if !ok {
		return "", fmt.Errorf("%w: %s", ErrNotOffered, e)
	}
	if domain := e.rule().domain; domain != "" && t.variable == "{"+domain+"}" {
		user, err := mimi.ParseURIKind(value, mimi.KindUser)
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		value = user.Domain
	}
	return t.Expand(value), nil
}

// KeyMaterialKey returns the key for the given suite that is usable longest at
// the time now, or false.
func (d *Directory) KeyMaterialKey(cs suite.ID, now time.Time) (best identity.ProviderKey, ok bool) {
	if d.Profile == nil {
		return best, false
	}
	for _, k := range d.Profile.KeyMaterialKeys {
		if k.Suite == cs && k.NotAfter.After(now) && (!ok || k.NotAfter.After(best.NotAfter)) {
			best, ok = k, true
		}
	}
	return best, ok
}

// errDirectory starts every refusal of a directory document.
var errDirectory = errors.New("malformed directory document")

// ParseDirectory reads the directory document of the provider at domain, which
// the caller fetched from there over authenticated TLS. It is strict: members
// must be of their type and may not be repeated, and every URL must be https with
// the provider's domain for its host. Members that are not known are ignored, as
// in the directory of ACME (RFC 8555, section 7.1.1).
func ParseDirectory(document []byte, domain string) (*Directory, error) {
	if len(document) > MaxDirectory {
		return nil, fmt.Errorf("%w: it has more than %d octets", errDirectory, MaxDirectory)
	}
	members, err := object(document)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDirectory, err)
	}
	d := &Directory{}
	if d.Endpoints, err = templates(members, domain, false); err != nil {
		return nil, fmt.Errorf("%w: %w", errDirectory, err)
	}
	if raw, ok := members["identityCA"]; ok {
		var s string
		if err = strictString(raw, &s); err == nil {
			d.IdentityCA, err = identity.ParseAuthority(domain, []byte(s))
		}
		if err != nil {
			return nil, fmt.Errorf("%w: identityCA: %w", errDirectory, err)
		}
	}
	if raw, ok := members["mgp"]; ok {
		if d.Profile, err = parseProfile(raw, domain); err != nil {
			return nil, fmt.Errorf("%w: mgp: %w", errDirectory, err)
		}
	}
	return d, nil
}

func templates(members map[string]json.RawMessage, domain string, profile bool) (map[Endpoint]Template, error) {
	found := map[Endpoint]Template{}
	for _, e := range Endpoints() {
		if e.Profile() != profile {
			continue
		}
		raw, ok := members[string(e)]
		if !ok && e.required() {
			return nil, fmt.Errorf("%s is missing", e)
		} else if !ok {
			continue
		}
		var s string
		if err := strictString(raw, &s); err != nil {
			return nil, fmt.Errorf("%s: %w", e, err)
		}
		t, err := ParseTemplate(e, s, domain)
		if err != nil {
			return nil, err
		}
		found[e] = t
	}
	return found, nil
}

// A jsonKey is an element of keymaterialKeys as it stands in the document. Keys
// are base64url without padding, like the secrets of join links; notAfter is in
// seconds since the Unix epoch, like every not_after of the profile.
type jsonKey struct {
	ID       uint8  `json:"id"`
	Suite    uint16 `json:"suite"`
	Key      string `json:"key"`
	NotAfter int64  `json:"notAfter"`
}

func parseProfile(raw json.RawMessage, domain string) (*Profile, error) {
	members, err := object(raw)
	if err != nil {
		return nil, err
	}
	var versions []int
	if err := json.Unmarshal(members["versions"], &versions); err != nil || versions == nil || len(versions) > maxVersions {
		return nil, errors.New("versions must be a short list of numbers")
	}
	if !slices.Contains(versions, ProfileVersion) {
		return nil, nil // the rest may have any form
	}
	p := &Profile{}
	if p.Endpoints, err = templates(members, domain, true); err != nil {
		return nil, err
	}
	var keys []json.RawMessage
	if err := json.Unmarshal(members["keymaterialKeys"], &keys); err != nil || len(keys) == 0 || len(keys) > maxKeys {
		return nil, fmt.Errorf("keymaterialKeys must be a list of 1 to %d keys", maxKeys)
	}
	ids := map[uint8]bool{}
	for _, raw := range keys {
		k, err := parseKey(raw)
		if err != nil {
			return nil, fmt.Errorf("keymaterialKeys: %w", err)
		}
		if ids[k.ID] {
			return nil, fmt.Errorf("keymaterialKeys: id %d is used twice", k.ID)
		}
		ids[k.ID] = true
		p.KeyMaterialKeys = append(p.KeyMaterialKeys, k)
	}
	return p, nil
}

func parseKey(raw json.RawMessage) (identity.ProviderKey, error) {
	members, err := object(raw)
	if err != nil {
		return identity.ProviderKey{}, err
	}
	for _, name := range []string{"id", "suite", "key", "notAfter"} {
		if len(members[name]) == 0 || string(members[name]) == "null" {
			return identity.ProviderKey{}, fmt.Errorf("%s is missing", name)
		}
	}
	var k jsonKey
	for name, into := range map[string]any{"id": &k.ID, "suite": &k.Suite, "key": &k.Key, "notAfter": &k.NotAfter} {
		if err := json.Unmarshal(members[name], into); err != nil {
			return identity.ProviderKey{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	key, err := base64.RawURLEncoding.Strict().DecodeString(k.Key)
	if err != nil || len(key) == 0 || len(key) > maxKey {
		return identity.ProviderKey{}, errors.New("key must be base64url without padding")
	}
	if k.NotAfter <= 0 {
		return identity.ProviderKey{}, errors.New("notAfter must be seconds since 1970")
	}
	return identity.ProviderKey{ID: k.ID, Suite: suite.ID(k.Suite), Public: key, NotAfter: time.Unix(k.NotAfter, 0).UTC()}, nil
}

// MarshalJSON implements [json.Marshaler]: it writes the document that
// [ParseDirectory] reads.
func (d *Directory) MarshalJSON() ([]byte, error) {
	document := map[string]any{}
	for e, t := range d.Endpoints {
		document[string(e)] = t.String()
	}
	if d.IdentityCA != nil {
		document["identityCA"] = string(d.IdentityCA.PEM())
	}
	if d.Profile != nil {
		keys := []jsonKey{}
		for _, k := range d.Profile.KeyMaterialKeys {
			keys = append(keys, jsonKey{k.ID, uint16(k.Suite), base64.RawURLEncoding.EncodeToString(k.Public), k.NotAfter.Unix()})
		}
		mgp := map[string]any{"versions": []int{ProfileVersion}, "keymaterialKeys": keys}
		for e, t := range d.Profile.Endpoints {
			mgp[string(e)] = t.String()
		}
		document["mgp"] = mgp
	}
	return json.Marshal(document)
}

// object splits a JSON object into its members. Unlike json.Unmarshal it refuses
// repeated names, text that is not UTF-8 and input behind the object, and never
// takes a name for another of other case.
func object(raw []byte) (map[string]json.RawMessage, error) {
	if !utf8.Valid(raw) {
		return nil, errors.New("not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("want a JSON object")
	}
	members := map[string]json.RawMessage{}
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, ok := t.(string)
		if !ok {
			return nil, errors.New("want a member name")
		}
		if _, twice := members[name]; twice {
			return nil, fmt.Errorf("member %.32q is there twice", name)
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		members[name] = value
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("input behind the object")
	}
	return members, nil
}

// strictString is json.Unmarshal that refuses null.
func strictString(raw json.RawMessage, s *string) error {
	if len(raw) == 0 || raw[0] != '"' {
		return errors.New("want a string")
	}
	return json.Unmarshal(raw, s)
}
