package peer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// A Kind says what a failure means for the sender.
type Kind uint8

// The kinds of failures.
const (
	// Unreachable: there was no answer. The request may have been received.
	Unreachable Kind = iota + 1
	// Temporary: the peer asks to try again later, or is broken at the moment.
	Temporary
	// Permanent: the peer refuses this request, or gave an answer that is not of
	// this protocol. Sending it again gives the same.
	Permanent
)

// String returns the kind in words.
func (k Kind) String() string {
	switch k {
	case Unreachable:
		return "unreachable"
	case Temporary:
		return "temporary"
	case Permanent:
		return "permanent"
	}
	return "Kind(" + strconv.Itoa(int(k)) + ")"
}

// An Error is a request to a peer that got no answer of the protocol.
type Error struct {
	// Peer is the domain of the other provider.
	Peer string
	// Endpoint that the request was for; empty for the directory document.
	Endpoint protocol.Endpoint
	Kind     Kind
	// Status and Code of the answer, if there was one. Code is empty for answers
	// that do not come from a provider of this protocol.
	Status int
	Code   protocol.Code
	// RetryAfter is how long the peer asks to wait; zero if it does not say. At most
	// [MaxRetryAfter].
	RetryAfter time.Duration

	reason string // completes the sentence that begins with the peer's name
	err    error
}

// MaxRetryAfter bounds Error.RetryAfter: a peer must not be able to silence a
// lane for a month.
const MaxRetryAfter = 24 * time.Hour

// Error implements error with a sentence for people.
func (e *Error) Error() string { return e.Peer + " " + e.reason }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.err }

// stale reports whether the endpoint may have moved since the directory document
// was fetched: no room and no user is unknown by these statuses.
func (e *Error) stale() bool {
	switch e.Status {
	case http.StatusNotFound, http.StatusGone, http.StatusMisdirectedRequest:
		return true
	}
	return e.Kind == Unreachable
}

// IsTemporary reports whether sending the same again later may succeed: err is an
// [*Error] of kind Unreachable or Temporary, or a *protocol.RetryLaterError of a
// hub that was called directly.
func IsTemporary(err error) bool {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind != Permanent
	}
	_, later := errors.AsType[*protocol.RetryLaterError](err)
	return later
}

// errPrivateAddress reports a domain that points into a private network.
var errPrivateAddress = errors.New("peer: the domain resolves to an address that is not public")

// errRedirect reports an answer that points elsewhere.
var errRedirect = errors.New("peer: redirect")

// sendFailed explains an error of the transport.
func sendFailed(peer string, e protocol.Endpoint, err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err // without the URL, which names rooms and users
	}
	f := &Error{Peer: peer, Endpoint: e, Kind: Unreachable, reason: "can't be reached", err: err}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		f.reason = "can't be found: there is no such provider"
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		f.reason = "can't prove who it is: its certificate does not verify"
		if _, ok := errors.AsType[x509.HostnameError](err); ok {
			f.reason = "can't prove who it is: its certificate is for another name"
		}
	}
	if _, ok := errors.AsType[tls.AlertError](err); ok {
		f.reason = "has refused our TLS connection"
	}
	if t, ok := errors.AsType[net.Error](err); ok && t.Timeout() || errors.Is(err, context.DeadlineExceeded) {
		f.reason = "did not answer in time"
	}
	switch {
	case errors.Is(err, context.Canceled):
		f.reason = "did not answer: the request was called off"
	case errors.Is(err, errPrivateAddress):
		f.Kind, f.reason = Permanent, "can't be reached: it is not in a public network"
	case errors.Is(err, errRedirect):
		f.Kind, f.reason = Permanent, "answered with a redirect, which is not part of this protocol"
	}
	return f
}

// statusFailed explains an answer with an error status. What the protocol has an
// error for is that error.
func statusFailed(peer string, e protocol.Endpoint, resp *http.Response, p protocol.Problem, now time.Time) error {
	f := &Error{
		Peer: peer, Endpoint: e, Status: resp.StatusCode, Code: p.Code,
		RetryAfter: retryAfter(resp.Header.Get("Retry-After"), now),
	}
	switch p.Code {
	case protocol.CodeNoSuchRoom:
		return protocol.ErrNoSuchRoom
	case protocol.CodeNotAllowed:
		return &protocol.NotAllowedError{Reason: p.Detail}
	}
	switch s := resp.StatusCode; {
	case s == http.StatusTooManyRequests:
		f.Kind, f.reason = Temporary, "asks us to slow down"
	case s == http.StatusRequestTimeout, s >= http.StatusInternalServerError && s != http.StatusNotImplemented && s != http.StatusHTTPVersionNotSupported:
		f.Kind, f.reason = Temporary, "has a problem at the moment (HTTP "+strconv.Itoa(s)+")"
	case s >= 300 && s < 400:
		f.Kind, f.reason = Permanent, "answered with a redirect, which is not part of this protocol"
	case s == http.StatusUnauthorized, s == http.StatusForbidden:
		f.Kind, f.reason = Permanent, "does not accept us as a peer (HTTP "+strconv.Itoa(s)+", "+codeText(p.Code)+")"
	default:
		f.Kind, f.reason = Permanent, "refuses the request (HTTP "+strconv.Itoa(s)+", "+codeText(p.Code)+")"
	}
	return f
}

// codeText is a peer's code for people, or a word for its absence.
func codeText(c protocol.Code) string {
	if c == "" {
		return "no reason given"
	}
	return fmt.Sprintf("%.40q", string(c))
}

// answerFailed reports an answer with a good status that is not one of this
// protocol.
func answerFailed(peer string, e protocol.Endpoint, status int, err error) error {
	return &Error{Peer: peer, Endpoint: e, Kind: Permanent, Status: status, reason: "gave an answer that can't be read", err: err}
}

// retryAfter reads a Retry-After header: seconds or a date (RFC 9110, section
// 10.2.3).
func retryAfter(header string, now time.Time) time.Duration {
	if n, err := strconv.ParseUint(header, 10, 31); err == nil {
		return min(time.Duration(n)*time.Second, MaxRetryAfter)
	}
	if t, err := http.ParseTime(header); err == nil {
		return min(max(t.Sub(now), 0), MaxRetryAfter)
	}
	return 0
}
