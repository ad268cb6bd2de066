package client

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/google/uuid"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/keymaterial"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// contactSecret is what is sealed of a contact.
//
//	struct {
//	    Contact contact;      /* of package connection */
//	    opaque unsent<V>;     /* ConnectionRequest of package protocol */
//	    opaque upload_key<V>;
//	    KeyMemory memory;
//	} contactSecret;
type contactSecret struct {
	connection.Contact
	// unsent is our request for as long as the peer's provider has not taken it;
	// the same octets at every attempt.
	unsent []byte
	// uploadKey signs the uploads of key material for this contact, and nothing
	// else. The contact, who knows connection key and token, does not know it.
	uploadKey suite.Secret
	keyMemory
}

// Wire implements [wire.Message].
func (x *contactSecret) Wire(c *wire.Codec) {
	x.Contact.Wire(c)
	wire.Opaque(c, &x.unsent)
	x.uploadKey.Wire(c)
	x.keyMemory.wire(c)
}

// newContact makes a contact that is not stored yet.
func (c *Client) newContact(account, peer mimi.URI, state ContactState) (*Contact, *contactSecret, error) {
	id, err := uuid.NewRandomFromReader(c.cfg.Random)
	if err != nil {
		return nil, nil, fmt.Errorf("client: contact id: %w", err)
	}
	ours, err := connection.NewKeys(c.cfg.Random)
	if err != nil {
		return nil, nil, err
	}
	uploadKey, err := c.newUploadKey()
	if err != nil {
		return nil, nil, err
	}
	secret := &contactSecret{Contact: connection.Contact{Peer: peer, Ours: &ours}, uploadKey: uploadKey}
	return &Contact{ID: id.String(), Account: account, Peer: peer, State: state}, secret, nil
}

// contact reads a contact with its secrets. It fails with [ErrNotFound].
func (c *Client) contact(ctx context.Context, account, peer mimi.URI) (*Contact, *contactSecret, error) {
	stored, err := c.cfg.Store.Contact(ctx, account, peer)
	if err != nil {
		return nil, nil, err
	}
	secret, err := openContact(stored)
	return stored, secret, err
}

func openContact(stored *Contact) (*contactSecret, error) {
	secret := &contactSecret{}
	if err := wire.Unmarshal(stored.Secret, secret); err != nil {
		return nil, fmt.Errorf("client: stored contact: %w", err)
	}
	return secret, nil
}

// contactStates says in the terms of package connection how far a contact is.
var contactStates = map[ContactState]connection.State{
	ContactAsked: connection.Requested, ContactConnected: connection.Connected, ContactColleague: connection.Connected,
	ContactBlocked: connection.Blocked, ContactExpired: connection.Ended, ContactEnding: connection.Ended,
	ContactLeft: connection.Ended, ContactClosed: connection.Ended,
}

// putContact stores a contact with its secrets.
func (c *Client) putContact(ctx context.Context, contact *Contact, secret *contactSecret) error {
	secret.State, secret.Room = contactStates[contact.State], contact.Room
	b, err := wire.Marshal(secret)
	if err != nil {
		return fmt.Errorf("client: store a contact: %w", err)
	}
	contact.Secret, contact.Changed = b, c.cfg.Clock.Now()
	if err := c.cfg.Store.PutContact(ctx, contact); err != nil {
		return err
	}
	c.tokens.put(secret, contact)
	return c.connectedNow(ctx, contact, secret)
}

// contactIn returns the contact of an account whose connection room this is, or
// [ErrNotFound].
func (c *Client) contactIn(ctx context.Context, room, account mimi.URI) (*Contact, error) {
	all, err := c.cfg.Store.Contacts(ctx)
	if err != nil {
		return nil, err
	}
	for _, contact := range all {
		if contact.Room == room && contact.Account == account {
			return contact, nil
		}
	}
	return nil, ErrNotFound
}

// Contacts returns whom an account has asked, is or was connected with, or has
// blocked. Colleagues are not among them.
func (c *Client) Contacts(ctx context.Context, account mimi.URI) ([]*Contact, error) {
	all, err := c.cfg.Store.Contacts(ctx)
	if err != nil {
		return nil, err
	}
	var out []*Contact
	for _, contact := range all {
		if contact.Account == account && contact.State != ContactColleague && contact.State != ContactEnding {
			secret, err := openContact(contact)
			if err != nil {
				return nil, err
			}
			contact.Verified, contact.KeyChanged = len(secret.verified) > 0, secret.fallen
			contact.Secret = nil
			out = append(out, contact)
		}
	}
	return out, nil
}

func (c *Client) blocked(ctx context.Context, user, requester mimi.URI) (bool, error) {
	contact, err := c.cfg.Store.Contact(ctx, user, requester)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil && contact.State == ContactBlocked, err
}

// colleague returns the contact of one account with another one here, and makes
// it and its mirror image if need be: the operator is the same, so nobody has to
// be asked.
func (c *Client) colleague(ctx context.Context, account, peer mimi.URI) (secret *contactSecret, err error) {
	return secret, c.cfg.Store.Atomically(ctx, func(ctx context.Context) error {
		_, secret, err = c.contact(ctx, account, peer)
		if !errors.Is(err, ErrNotFound) {
			return err
		}
		if _, err := c.cfg.Store.Account(ctx, peer); errors.Is(err, ErrNotFound) {
			return ErrNoPerson
		} else if err != nil {
			return err
		}
		mine, mySecret, err := c.newContact(account, peer, ContactColleague)
		if err != nil {
			return err
		}
		theirs, theirSecret, err := c.newContact(peer, account, ContactColleague)
		if err != nil {
			return err
		}
		mySecret.Theirs, theirSecret.Theirs = theirSecret.Ours, mySecret.Ours
		secret = mySecret
		return errors.Join(c.putContact(ctx, mine, mySecret), c.putContact(ctx, theirs, theirSecret))
	})
}

// tokens finds the contact that was given a connection token. It is in memory
// alone: no column of the database joins key material to an account
// (docs/mmr-profile.md, section 5).
type tokens struct {
	mu     sync.RWMutex
	byHash map[keymaterial.TokenHash]tokenOwner
	// owners has those of byHash.
	owners map[tokenOwner]bool
}

type tokenOwner struct{ account, peer mimi.URI }

func (t *tokens) put(secret *contactSecret, contact *Contact) {
	if secret.Ours == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byHash == nil {
		t.byHash, t.owners = map[keymaterial.TokenHash]tokenOwner{}, map[tokenOwner]bool{}
	}
	owner := tokenOwner{contact.Account, contact.Peer}
	t.byHash[keymaterial.HashToken(secret.Ours.Token)], t.owners[owner] = owner, true
}

func (t *tokens) drop(hash keymaterial.TokenHash) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.owners, t.byHash[hash])
	delete(t.byHash, hash)
}

// has reports whether an account has given a person a token.
func (t *tokens) has(account, peer mimi.URI) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.owners[tokenOwner{account, peer}]
}

func (t *tokens) owner(hash keymaterial.TokenHash) (tokenOwner, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	o, ok := t.byHash[hash]
	return o, ok
}

// loadTokens fills tokens from the store.
func (c *Client) loadTokens(ctx context.Context) error {
	all, err := c.cfg.Store.Contacts(ctx)
	if err != nil {
		return fmt.Errorf("client: read contacts: %w", err)
	}
	for _, contact := range all {
		secret, err := openContact(contact)
		if err != nil {
			return err
		}
		c.tokens.put(secret, contact)
	}
	return nil
}

// queueID is the queue of an account, for a new leaf.
func (c *Client) queueID(account *accountSecret) identity.QueueID {
	_, notAfter := identity.KeyPackageLifetime(c.cfg.Clock.Now())
	return identity.QueueID{ID: account.queue, NotAfter: uint64(notAfter.Unix())}
}
