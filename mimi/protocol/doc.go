// Package protocol holds what providers say to each other: the requests,
// responses and signatures of draft-ietf-mimi-protocol-06, the additions of the
// minimal-metadata profile (docs/mmr-profile.md, section 10), the directory
// document, and the errors that travel. It does no I/O: mimi/provider serves
// these messages and mimi/peer sends them.
//
// # Results and errors
//
// In Go a hub's answer is either a response that says success, or an error with
// an identity: [*WrongEpochError], [*NotAllowedError], [*InvalidProposalError],
// [ErrNoSuchRoom]. UpdateResult, SubmitResult and GroupInfoResult turn such an
// error into the response that says the same, and the Err method of a response
// turns it back. Code that talks to a hub therefore sees the same values whether
// the hub is called or reached over HTTPS.
//
// # What is left out
//
// identifierQuery, reportAbuse and proxyDownload have their places in [Directory], so that a peer's document can be read, and no
// messages yet. SemiPrivateMessage is not known to mimi/mls, and refused.
package protocol
