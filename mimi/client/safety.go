package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// maxSeen is how many clients and keys of a contact are remembered. Of more, the oldest
// are forgotten: they alert again if they come back.
const maxSeen = 16

// A seenClient is a client of a contact, and the key that its certificate names.
type seenClient struct {
	client mimi.URI
	key    []byte
}

// Wire implements [wire.Message].
func (s *seenClient) Wire(c *wire.Codec) {
	s.client.Wire(c)
	wire.Opaque(c, &s.key)
}

// keyMemory is what is remembered of the keys of a contact, at rest with its secrets.
//
//	struct {
//	    SeenClient seen<V>;      /* oldest first; the last is the one that is used */
//	    opaque verified<V>;      /* digest of the safety code that was compared */
//	    uint8 fallen;            /* a code was compared, and keys have changed since */
//	} KeyMemory;
type keyMemory struct {
	seen     []seenClient
	verified []byte
	fallen   bool
}

func (m *keyMemory) wire(c *wire.Codec) {
	wire.Vector(c, &m.seen, wire.Struct)
	wire.Opaque(c, &m.verified)
	var fallen uint8
	if m.fallen {
		fallen = 1
	}
	wire.Uint8(c, &fallen)
	m.fallen = fallen == 1
}

// note remembers a client and its key. It reports whether they are others than those
// that were seen before; the first are not.
func (m *keyMemory) note(s seenClient) (fresh, changed bool) {
	for _, old := range m.seen {
		if old.client == s.client && bytes.Equal(old.key, s.key) {
			return false, false
		}
	}
	changed = len(m.seen) > 0
	m.seen = append(m.seen, s)
	if len(m.seen) > maxSeen {
		m.seen = m.seen[1:]
	}
	return true, changed
}

// fall takes back that the contact was verified, and reports whether it was.
func (m *keyMemory) fall() bool {
	if len(m.verified) == 0 {
		return false
	}
	m.verified, m.fallen = nil, true
	return true
}

// noteKey compares the key behind a link that was just opened with those that the
// contacts of its person have seen, and alerts them of another one: once, as it is
// remembered in the same transaction. A certificate that was renewed for the same key is
// no change.
func (c *Client) noteKey(ctx context.Context, r *room, link *identity.OpenedLink, t *told) error {
	if link == nil || link.User().Domain == c.cfg.Domain {
		return nil
	}
	for _, l := range r.accounts() {
		if !c.tokens.has(l.Account, link.User()) {
			continue
		}
		contact, secret, err := c.contact(ctx, l.Account, link.User())
		if errors.Is(err, ErrNotFound) {
			continue
		} else if err != nil {
			return err
		}
		fresh, changed := secret.note(seenClient{link.Client(), link.Certificate().PublicKey()})
		if !fresh {
			continue
		}
		reason := ReasonKeyChanged
		if secret.fall() {
			reason = ReasonVerifiedChanged
		}
		if err := c.putContact(ctx, contact, secret); err != nil {
			return err
		}
		if !changed {
			continue
		}
		c.cfg.Log.WarnContext(ctx, "a contact uses another key than before; the account is told", "room", r.uri())
		if err := c.tell(ctx, t, &Event{
			Kind: EventAlert, Time: c.cfg.Clock.Now(), Account: l.Account, Peer: link.User(), Reason: reason,
		}); err != nil {
			return err
		}
	}
	return nil
}

// Safety is what an account can compare with a contact.
type Safety struct {
	Code identity.SafetyCode
	// Verified says that the account has compared this code, and KeyChanged that it has
	// compared one that does not hold any more.
	Verified, KeyChanged bool
}

// Safety returns the safety code of an account and a contact (docs/mmr-profile.md,
// section 4). It fails with [ErrNotConnected], and with [ErrNoKey] before the contact has
// answered.
func (c *Client) Safety(ctx context.Context, account, peer mimi.URI) (*Safety, error) {
	contact, secret, err := c.contact(ctx, account, peer)
	switch {
	case errors.Is(err, ErrNotFound):
		return nil, ErrNotConnected
	case err != nil:
		return nil, err
	case contact.State == ContactColleague:
		return nil, ErrColleague
	case contact.State.ended():
		return nil, ErrNotConnected
	case len(secret.seen) == 0:
		return nil, ErrNoKey
	}
	ours, err := c.ownParty(ctx, account)
	if err != nil {
		return nil, err
	}
	authority, err := c.known(ctx, peer.Domain)
	if err != nil {
		return nil, err
	}
	last := secret.seen[len(secret.seen)-1]
	code, err := identity.NewSafetyCode(ours, &identity.SafetyParty{
		CipherSuite: c.cfg.Suite.ID(), User: peer, Client: last.client, PublicKey: last.key, Authority: authority.Fingerprint(),
	})
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	digest := code.Digest()
	return &Safety{Code: code, Verified: bytes.Equal(secret.verified, digest[:]), KeyChanged: secret.fallen}, nil
}

// ownParty is an account as others know it.
func (c *Client) ownParty(ctx context.Context, account mimi.URI) (*identity.SafetyParty, error) {
	a, err := c.cfg.Store.Account(ctx, account)
	if err != nil {
		return nil, err
	}
	x, err := openAccount(a)
	if err != nil {
		return nil, err
	}
	key, err := c.cfg.Suite.ImportSignatureKey(x.seed)
	if err != nil {
		return nil, fmt.Errorf("client: stored account: %w", err)
	}
	authority, err := c.known(ctx, account.Domain)
	if err != nil {
		return nil, err
	}
	return &identity.SafetyParty{
		CipherSuite: c.cfg.Suite.ID(), User: account, Client: a.Client, PublicKey: key.Public(), Authority: authority.Fingerprint(),
	}, nil
}

// Verify notes that an account has compared a safety code, whose digest is given, with
// a contact. It fails with [ErrKeyChanged] if it is not the code any more.
func (c *Client) Verify(ctx context.Context, account, peer mimi.URI, digest [sha256.Size]byte) error {
	return c.changeMemory(ctx, account, peer, func(ctx context.Context, m *keyMemory) error {
		safety, err := c.Safety(ctx, account, peer)
		if err != nil {
			return err
		}
		if safety.Code.Digest() != digest {
			return ErrKeyChanged
		}
		m.verified, m.fallen = digest[:], false
		return nil
	})
}

// Unverify takes back that an account has compared anything with a contact. What is sent
// to a person whose keys have changed since is not held back after that.
func (c *Client) Unverify(ctx context.Context, account, peer mimi.URI) error {
	return c.changeMemory(ctx, account, peer, func(_ context.Context, m *keyMemory) error {
		m.verified, m.fallen = nil, false
		return nil
	})
}

func (c *Client) changeMemory(ctx context.Context, account, peer mimi.URI, f func(ctx context.Context, m *keyMemory) error) error {
	return c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		contact, secret, err := c.contact(ctx, account, peer)
		if errors.Is(err, ErrNotFound) {
			return ErrNotConnected
		} else if err != nil {
			return err
		}
		if err := f(ctx, &secret.keyMemory); err != nil {
			return err
		}
		return c.putContact(ctx, contact, secret)
	})
}
