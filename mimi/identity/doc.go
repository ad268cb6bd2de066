// Package identity says who somebody is in a minimal-metadata room, without
// telling the hub: identity CAs and client certificates, pseudonymous
// credentials and the links behind them, the keys that open the links, and the
// profile's components (docs/mmr-profile.md, sections 1 to 3, 5 and 6;
// draft-ietf-mimi-protocol-06, section "Minimal metadata rooms";
// draft-kohbrok-mimi-metadata-minimalization-01).
//
// A leaf shows a [PseudonymousCredential]: two random URIs, a fresh signature
// key, and a ciphertext. Whoever has the leaf's [LinkKey] opens the ciphertext
// to the client's X.509 certificate:
//
//	connection_key --+
//	                 +--> identity link key --> IdentityLinkTBE
//	random ----------+          ^               (signature, certificate)
//	                            |                        |
//	wrapper key of a generation +                        v
//	(exporter, Welcome, link)                        OpenedLink
//
// The hub keeps the link keys of a room in an [IdentityLinkTable], each wrapped
// under a [WrapperKey] that the members know and the hub does not. A [KeyRing]
// holds the wrapper keys that are still in use.
//
// A [PseudonymousCredential] is what somebody claims. An [OpenedLink] is what
// was verified; only this package makes one.
package identity
