// Package protocoltest has what the tests of mimi/protocol, mimi/provider and
// mimi/peer share: one well-formed sample of every message, and certificates for
// TLS.
package protocoltest
