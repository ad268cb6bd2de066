// Package mls is Messaging Layer Security: RFC 9420 with the parts of
// draft-ietf-mls-extensions-09 that MIMI uses.
//
// A [Group] is what a member knows, or several members of one program: it can
// hold a set of own leaves. A [PublicGroup] is what a hub knows, which sees the
// handshake and holds no secret. Both validate by the same code, and both ask a
// [Policy] for what only the application can decide.
//
// Nothing a peer sends changes a group before all of it is verified: messages
// are staged on a copy, and the copy is put in place last.
package mls
