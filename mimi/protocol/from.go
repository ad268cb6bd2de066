package protocol

import (
	"fmt"
	"strings"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// FromHeader returns the content of the From header that names the source
// provider of a request: mimi@domain (draft-ietf-mimi-protocol-06, section 4.1).
func FromHeader(domain string) string { return "mimi@" + domain }

// ParseFrom returns the domain that a From header names. Only the addr-spec
// variant with the local part "mimi" and a lower-case domain is accepted; all
// else fails with [ErrMalformed].
func ParseFrom(header string) (domain string, err error) {
	domain, ok := strings.CutPrefix(header, "mimi@")
	if !ok || mimi.CheckDomain(domain) != nil {
		return "", fmt.Errorf("%w: the From header must be mimi@ and a domain", ErrMalformed)
	}
	return domain, nil
}

// A KeyMaterialTarget is the constant target of an anonymous key material
// request: mimi://domain/keymaterial (mmr-profile.md, section 5). It names a
// provider's store of key material and nobody in it, and is no URI of mimi.URI.
type KeyMaterialTarget struct {
	// Domain of the provider that holds the key material.
	Domain string
}

const keyMaterialPath = "/keymaterial"

// String returns the URI.
func (t KeyMaterialTarget) String() string { return "mimi://" + t.Domain + keyMaterialPath }

// ParseKeyMaterialTarget is the inverse of [KeyMaterialTarget.String]; it fails
// with [ErrMalformed].
func ParseKeyMaterialTarget(s string) (KeyMaterialTarget, error) {
	rest, scheme := strings.CutPrefix(s, "mimi://")
	domain, path := strings.CutSuffix(rest, keyMaterialPath)
	if !scheme || !path || mimi.CheckDomain(domain) != nil {
		return KeyMaterialTarget{}, fmt.Errorf("%w: want mimi://domain%s", ErrMalformed, keyMaterialPath)
	}
	return KeyMaterialTarget{domain}, nil
}
