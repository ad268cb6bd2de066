// Package provider serves the endpoints of draft-ietf-mimi-protocol-06 and of the
// minimal-metadata profile to other providers, over HTTPS with mutual TLS.
//
// [New] makes a [Server] from the services behind it, which are small interfaces:
// [Hub], [Inbox], [People], [KeyMaterial] and [Directory]. The server
// authenticates the peer, bounds everything before it does work, decodes, calls
// the service, and turns its result into an answer. Services return protocol's
// errors; only this package knows status codes. The answers are, in this order of
// checks:
//
//	421 wrongHost             the Host header does not name this provider
//	401 noClientCertificate   the TLS client showed no certificate
//	400 badFrom               From is missing, repeated, or not mimi@domain
//	403 wrongFrom             the certificate does not name the From domain
//	403 peerBarred            this provider does not federate with that domain
//	403 untrustedCertificate  the certificate does not verify
//	503 unavailable           too many requests of all peers under way; Retry-After
//	404 unknownEndpoint
//	405 methodNotAllowed      with Allow
//	429 rateLimited           too many requests of this peer; Retry-After
//	415 unsupportedMediaType
//	413 tooLarge
//	400 malformed             truncated, trailing, unknown values, wrong path
//	403 wrongHub              notify or keyMaterialAnonymous not from the room's hub
//	404 noSuchRoom
//	403 notAllowed            where the response has no code for it
//	500 internal
//
// Error answers have a protocol.Problem for their body. What the protocol has a
// response code for is 200 with a response: a wrong epoch is no HTTP error.
package provider
