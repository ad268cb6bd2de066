// Package mimi is the vocabulary of More Instant Messaging Interoperability:
// the URIs that name providers, users, clients and rooms, the addresses that
// people write, and the revisions of the documents which the packages below it
// implement. It does no I/O.
package mimi

// The documents that this project implements, by name and revision. Comments and
// test data use the same names.
const (
	DraftProtocol      = "draft-ietf-mimi-protocol-06"
	DraftContent       = "draft-ietf-mimi-content-08"
	DraftRoomPolicy    = "draft-ietf-mimi-room-policy-03"
	DraftMLSExtensions = "draft-ietf-mls-extensions-09"
	DraftMetadata      = "draft-kohbrok-mimi-metadata-minimalization-01"
	// Profile is the revision of docs/mmr-profile.md.
	Profile = "MGP1"
)
