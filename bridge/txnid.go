package bridge

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"maunium.net/go/mautrix/appservice"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/database"
	"maunium.net/go/mautrix/bridgev2/simplevent"
)

// A Cause is the MIMI message that causes Matrix events. While bridgev2
// handles it, the Cause travels in the context, because bridgev2 offers no
// other way from a remote event to the requests made for it; the transport
// that [InstallTransactionIDs] sets gives each of these requests a transaction
// id that is the same after a crash, so that the homeserver answers a repeated
// one with the first event's id in place of a second event.
//
// The transaction id is SHA-256 over room, message id and part. The part names
// the request among those of one message: what it is, whether the message had
// been understood by then, who sends it, and how many like it went before.
type Cause struct {
	room, message string

	mu        sync.Mutex
	converted bool
	ids       map[string]string // by the path that mautrix made; for its retries
	count     map[string]uint64 // by kind
	failed    string            // the request that was not answered, or ""
}

// NewCause returns the Cause of one handling of a message.
func NewCause(room, message string) *Cause {
	return &Cause{room: room, message: message, ids: map[string]string{}, count: map[string]uint64{}}
}

// ErrEarlier reports a request that was not made, because an earlier one of the
// same Cause had failed: what follows must not be shown before it. bridgev2 would
// go on with the next part of a message. It is a cancellation, which mautrix does
// not try again.
var ErrEarlier = fmt.Errorf("bridge: an earlier part of the message could not be sent: %w", context.Canceled)

// Check fails with [ErrEarlier] if another request than this one was not
// answered.
func (c *Cause) Check(request string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != "" && c.failed != request {
		return ErrEarlier
	}
	return nil
}

// Answered notes whether a request was answered; one that was not may be repeated.
func (c *Cause) Answered(request string, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = ""
	if !ok {
		c.failed = request
	}
}

type causeKey struct{}

// WithCause returns a context whose requests to the homeserver are caused by c.
func WithCause(ctx context.Context, c *Cause) context.Context {
	return context.WithValue(ctx, causeKey{}, c)
}

// CauseFrom returns the Cause of ctx, or nil.
func CauseFrom(ctx context.Context) *Cause {
	c, _ := ctx.Value(causeKey{}).(*Cause)
	return c
}

// MarkConverted says that the message was understood: what follows is the
// message itself. What went before, such as the notice that a message could
// not be converted, must not take the message's transaction id, or the message
// would be lost when it is understood at a second attempt.
func (c *Cause) MarkConverted() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.converted = true
}

// TransactionID returns the transaction id of the next request of a kind, for
// instance "send m.room.message @ghost:example.org". request identifies the
// request itself: the same one gets the same id.
func (c *Cause) TransactionID(kind, request string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if id, ok := c.ids[request]; ok {
		return id
	}
	phase := "before"
	if c.converted {
		phase = "content"
	}
	kind = phase + " " + kind
	id := transactionID(c.room, c.message, fmt.Sprintf("%s %d", kind, c.count[kind]))
	c.count[kind]++
	c.ids[request] = id
	return id
}

// transactionID hashes the parts with their lengths, so that no two triples
// are hashed alike, and shortens nothing.
func transactionID(room, message, part string) string {
	h := sha256.New()
	for _, s := range []string{room, message, part} {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	return "mimi_" + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// CauseMessage makes evt and all Matrix events that come of it carry the
// transaction ids of the MIMI message.
func CauseMessage[T any](evt *simplevent.Message[T], room, message string) {
	CauseMeta(&evt.EventMeta, room, message)
	if convert := evt.ConvertMessageFunc; convert != nil {
		evt.ConvertMessageFunc = func(ctx context.Context, portal *bridgev2.Portal, intent bridgev2.MatrixAPI, data T) (*bridgev2.ConvertedMessage, error) {
			out, err := convert(ctx, portal, intent, data)
			if c := CauseFrom(ctx); c != nil && err == nil {
				c.MarkConverted()
			}
			return out, err
		}
	}
	if convert := evt.ConvertEditFunc; convert != nil {
		evt.ConvertEditFunc = func(ctx context.Context, portal *bridgev2.Portal, intent bridgev2.MatrixAPI, existing []*database.Message, data T) (*bridgev2.ConvertedEdit, error) {
			out, err := convert(ctx, portal, intent, existing, data)
			if c := CauseFrom(ctx); c != nil && err == nil {
				c.MarkConverted()
			}
			return out, err
		}
	}
}

// CauseMeta is [CauseMessage] for events without content of their own:
// reactions, removals and the like.
func CauseMeta(meta *simplevent.EventMeta, room, message string) {
	before := meta.MutateContextFunc
	meta.MutateContextFunc = func(ctx context.Context) context.Context {
		if before != nil {
			ctx = before(ctx)
		}
		return WithCause(ctx, NewCause(room, message))
	}
}

// InstallTransactionIDs makes all requests of as, for ghosts, the bot and
// double puppets of this homeserver, use the transaction ids of their Cause.
// It must be called before the first request.
func InstallTransactionIDs(as *appservice.AppService) {
	next := as.HTTPClient.Transport
	if next == nil {
		next = http.DefaultTransport
	}
	as.HTTPClient.Transport = &causeTransport{next: next}
}

type causeTransport struct{ next http.RoundTripper }

// RoundTrip replaces the last element of the paths
//
//	/_matrix/client/v3/rooms/{roomId}/send/{eventType}/{txnId}
//	/_matrix/client/v3/rooms/{roomId}/redact/{eventId}/{txnId}
//
// of requests that have a [Cause].
func (t *causeTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	c := CauseFrom(r.Context())
	kind, prefix, ok := splitSend(r.URL)
	if c == nil || r.Method != http.MethodPut || !ok {
		return t.next.RoundTrip(r)
	}
	request := r.URL.EscapedPath() + "?" + r.URL.RawQuery
	id := c.TransactionID(kind+" "+r.URL.Query().Get("user_id"), request)
	if err := c.Check(request); err != nil {
		return nil, err
	}
	r = r.Clone(r.Context())
	r.URL.RawPath = prefix + id
	r.URL.Path, _ = url.PathUnescape(r.URL.RawPath)
	response, err := t.next.RoundTrip(r)
	c.Answered(request, err == nil && response.StatusCode < http.StatusInternalServerError && response.StatusCode != http.StatusTooManyRequests)
	return response, err
}

// splitSend recognises the two paths, and returns what the request does and
// the escaped path up to the transaction id.
func splitSend(u *url.URL) (kind, prefix string, ok bool) {
	path := u.EscapedPath()
	elements := strings.Split(path, "/")
	n := len(elements)
	if n < 5 || elements[n-5] != "rooms" || !strings.Contains(path, "/_matrix/client/") {
		return "", "", false
	}
	if elements[n-3] != "send" && elements[n-3] != "redact" {
		return "", "", false
	}
	return elements[n-3] + " " + elements[n-2], strings.Join(elements[:n-1], "/") + "/", true
}
