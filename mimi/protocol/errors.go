package protocol

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrMalformed reports a message that is not one of this protocol: a decoder
	// refused it, or a rule of its struct is broken. Sending it again is useless.
	ErrMalformed = errors.New("malformed message")
	// ErrNoSuchRoom reports a room that the hub does not have, or does not want to
	// admit having.
	ErrNoSuchRoom = errors.New("the hub has no such room")
	// ErrNoProfile reports a provider that does not speak the minimal-metadata
	// profile; only plain rooms are possible with it.
	ErrNoProfile = errors.New("this provider does not offer minimal-metadata rooms")
	// ErrNotOffered reports a provider that does not serve an endpoint which the draft
	// leaves to it.
	ErrNotOffered = errors.New("this provider does not offer this")
	// ErrNoSuchUser reports a user whom the provider does not know, or does not want to
	// admit knowing.
	ErrNoSuchUser = errors.New("the provider does not know this person")
)

// ReasonRemovalPending is the Reason of the [*NotAllowedError] for an Add or an
// external Commit while the removal of another leaf is pending
// (mmr-profile.md, section 3): commit the removal, then try again.
const ReasonRemovalPending = "mgp1:removal-pending"

// A WrongEpochError says that a message was made for another epoch than the
// hub's: wrongEpoch of an update, epochTooOld of a message. Catch up to Current,
// make the message anew if it still makes sense.
type WrongEpochError struct {
	// Current is the epoch of the group at the hub.
	Current uint64
}

// Error implements error.
func (e *WrongEpochError) Error() string {
	return fmt.Sprintf("the room has moved on to epoch %d", e.Current)
}

// A NotAllowedError says that the hub's or a provider's policy forbids the
// request.
type NotAllowedError struct {
	// Reason is the other side's errorDescription, cut to [MaxDescription]. It is
	// untrusted text, and empty where the answer has no place for one.
	Reason string
}

// Error implements error.
func (e *NotAllowedError) Error() string {
	if e.Reason == "" {
		return "the room does not allow this"
	}
	return fmt.Sprintf("the room does not allow this: %q", e.Reason)
}

// An InvalidProposalError names proposals that the hub found invalid.
type InvalidProposalError struct {
	// Refs are the ProposalRefs of the invalid proposals (RFC 9420, section 5.2).
	Refs [][]byte
	// Reason is as in [NotAllowedError].
	Reason string
}

// Error implements error.
func (e *InvalidProposalError) Error() string {
	return fmt.Sprintf("the hub finds %d proposals invalid: %q", len(e.Refs), e.Reason)
}

// A RetryLaterError says that a request was refused unseen, and is welcome later.
type RetryLaterError struct {
	// After is how long to wait; zero leaves it to the sender.
	After time.Duration
	// Limited tells a rate limit on this sender (429) from a lack of resources on
	// the other side (503).
	Limited bool
}

// Error implements error.
func (e *RetryLaterError) Error() string {
	if e.Limited {
		return "too many requests"
	}
	return "temporarily unavailable"
}

// A Code is the machine-readable part of a [Problem]. Codes are stable.
type Code string

// The codes of HTTP error answers. The draft leaves these to HTTP; they exist so
// that an operator can tell one 403 from another.
const (
	CodeMalformed       Code = "malformed"           // 400: the body does not decode, or breaks a rule
	CodeBadFrom         Code = "badFrom"             // 400: From is missing, repeated or not mimi@domain
	CodeNoCertificate   Code = "noClientCertificate" // 401: no client certificate was presented
	CodeUntrusted       Code = "untrustedCertificate"
	CodeWrongFrom       Code = "wrongFrom"  // 403: the client certificate does not name the From domain
	CodeUnknownPeer     Code = "peerBarred" // 403: this provider does not federate with the From domain
	CodeNotAllowed      Code = "notAllowed" // 403: policy
	CodeWrongHub        Code = "wrongHub"   // 403: the From domain is not the hub of the room
	CodeNoSuchRoom      Code = "noSuchRoom" // 404
	CodeUnknownEndpoint Code = "unknownEndpoint"
	CodeMethod          Code = "methodNotAllowed"     // 405
	CodeTooLarge        Code = "tooLarge"             // 413
	CodeMediaType       Code = "unsupportedMediaType" // 415
	CodeWrongHost       Code = "wrongHost"            // 421: the Host header names another provider
	CodeLimited         Code = "rateLimited"          // 429, with Retry-After
	CodeInternal        Code = "internal"             // 500
	CodeUnavailable     Code = "unavailable"          // 503, with Retry-After
)

// A Problem is the body of an HTTP error answer (RFC 9457), of media type
// [ProblemMediaType]. It never has identifiers or parts of the request in it.
type Problem struct {
	// Title and Status are those of the HTTP status.
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Detail is one sentence for a person.
	Detail string `json:"detail,omitempty"`
	// Code is for programs; an extension member in the sense of RFC 9457.
	Code Code `json:"code,omitempty"`
}

// ProblemMediaType is the Content-Type of a [Problem].
const ProblemMediaType = "application/problem+json"

// clip cuts s to at most n octets.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 { // do not cut inside a UTF-8 sequence
		n--
	}
	return s[:n]
}
