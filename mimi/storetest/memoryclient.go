package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// A ClientStore keeps in memory what the engine of the local users must know
// after a restart.
type ClientStore struct {
	// Faults make it fail.
	Faults *Faults

	m *memory[clientState]
}

var _ client.Store = (*ClientStore)(nil)

// NewClient returns an empty store.
func NewClient() *ClientStore {
	faults := &Faults{}
	return &ClientStore{faults, newMemory(faults, (*clientState).disown)}
}

type clientState struct {
	secrets  table[string, []byte]
	accounts table[mimi.URI, client.Account]
	active   table[mimi.URI, int64] // milliseconds since 1970
	closures table[mimi.URI, client.Closure]
	contacts table[string, client.Contact]
	requests table[[32]byte, client.Request]
	consents table[[32]byte, client.Consent]
	rooms    table[mimi.URI, client.Room]
	rows     table[rowKey, roomRow]
	leaves   table[leafKey, client.Leaf]
	members  table[memberKey, client.Member]
	former   table[formerKey, client.FormerPseudonym]
	outbox   table[outKey, client.Outgoing]
	inbox    table[uint64, incoming]
	seen     table[seenKey, uint64] // seq
	events   table[uint64, client.StoredEvent]

	lastOutgoing, lastIncoming, lastEvent uint64 // sequence numbers
}

type (
	rowKey struct {
		room mimi.URI
		key  string
	}
	roomRow struct {
		room mimi.URI
		row  mls.Row
	}
	leafKey   struct{ room, account mimi.URI }
	memberKey struct {
		room  mimi.URI
		index uint32
	}
	formerKey struct {
		account         mimi.URI
		pseudonym, room [32]byte
	}
	outKey struct {
		room   mimi.URI
		source string
	}
)

func (s *clientState) disown() {
	s.secrets.disown()
	s.accounts.disown()
	s.active.disown()
	s.closures.disown()
	s.contacts.disown()
	s.requests.disown()
	s.consents.disown()
	s.rooms.disown()
	s.rows.disown()
	s.leaves.disown()
	s.members.disown()
	s.former.disown()
	s.outbox.disown()
	s.inbox.disown()
	s.seen.disown()
	s.events.disown()
}

// needAccount and needRoom refuse rows that hang in the air, as foreign keys
// do.
func (s *clientState) needAccount(user mimi.URI) error {
	if _, ok := s.accounts.get(user); !ok {
		return errors.New("storetest: there is no such account")
	}
	return nil
}

func (s *clientState) needRoom(room mimi.URI) error {
	if _, ok := s.rooms.get(room); !ok {
		return errors.New("storetest: there is no such room")
	}
	return nil
}

// Atomically implements [client.Store].
func (c *ClientStore) Atomically(ctx context.Context, f func(ctx context.Context) error) error {
	return c.m.atomically(ctx, f)
}

// one reads a row or fails with [client.ErrNotFound].
func one[K comparable, V any](ctx context.Context, c *ClientStore, pick func(*clientState) *table[K, V], key K, clone func(V) V) (found *V, err error) {
	err = c.m.read(ctx, func(s *clientState) error {
		row, ok := pick(s).get(key)
		if !ok {
			return client.ErrNotFound
		}
		row = clone(row)
		found = &row
		return nil
	})
	return found, err
}

// many reads rows.
func many[K comparable, V any](ctx context.Context, c *ClientStore, pick func(*clientState) *table[K, V], keep func(V) bool, order func(a, b V) int, clone func(V) V) (all []*V, err error) {
	err = c.m.read(ctx, func(s *clientState) error {
		all = pick(s).list(keep, order, clone)
		return nil
	})
	return all, err
}

func accounts(s *clientState) *table[mimi.URI, client.Account] { return &s.accounts }
func contacts(s *clientState) *table[string, client.Contact]   { return &s.contacts }
func requests(s *clientState) *table[[32]byte, client.Request] { return &s.requests }
func rooms(s *clientState) *table[mimi.URI, client.Room]       { return &s.rooms }
func leaves(s *clientState) *table[leafKey, client.Leaf]       { return &s.leaves }
func members(s *clientState) *table[memberKey, client.Member]  { return &s.members }
func outbox(s *clientState) *table[outKey, client.Outgoing]    { return &s.outbox }
func cloneAccount(a client.Account) client.Account             { a.Secret = slices.Clone(a.Secret); return a }

func cloneRoom(r client.Room) client.Room       { r.Secret = slices.Clone(r.Secret); return r }
func cloneLeaf(l client.Leaf) client.Leaf       { return l }
func cloneMember(m client.Member) client.Member { m.NotAfter = milliseconds(m.NotAfter); return m }

func cloneEvent(e client.StoredEvent) client.StoredEvent { e.Secret = slices.Clone(e.Secret); return e }

func cloneContact(c client.Contact) client.Contact {
	c.Changed, c.Secret = milliseconds(c.Changed), slices.Clone(c.Secret)
	return c
}

func cloneRequest(r client.Request) client.Request {
	r.Received, r.Secret = milliseconds(r.Received), slices.Clone(r.Secret)
	return r
}

// PutSecret implements [client.Secrets].
func (c *ClientStore) PutSecret(ctx context.Context, name string, secret []byte) error {
	return c.m.write(ctx, func(s *clientState) error {
		s.secrets.put(name, slices.Clone(secret))
		return nil
	})
}

// Secret implements [client.Secrets].
func (c *ClientStore) Secret(ctx context.Context, name string) ([]byte, error) {
	secret, err := one(ctx, c, func(s *clientState) *table[string, []byte] { return &s.secrets }, name, slices.Clone)
	if err != nil {
		return nil, err
	}
	return *secret, nil
}

// PutAccount implements [client.Accounts].
func (c *ClientStore) PutAccount(ctx context.Context, account *client.Account) error {
	return c.m.write(ctx, func(s *clientState) error {
		s.accounts.put(account.User, cloneAccount(*account))
		return nil
	})
}

// Account implements [client.Accounts].
func (c *ClientStore) Account(ctx context.Context, user mimi.URI) (*client.Account, error) {
	return one(ctx, c, accounts, user, cloneAccount)
}

// Accounts implements [client.Accounts].
func (c *ClientStore) Accounts(ctx context.Context) ([]*client.Account, error) {
	return many(ctx, c, accounts, always, func(a, b client.Account) int { return compareURIs(a.User, b.User) }, cloneAccount)
}

// SetActive implements [client.Accounts].
func (c *ClientStore) SetActive(ctx context.Context, user mimi.URI, at time.Time) error {
	return c.m.write(ctx, func(s *clientState) error {
		if last, _ := s.active.get(user); s.needAccount(user) == nil && last < at.UnixMilli() {
			s.active.put(user, at.UnixMilli())
		}
		return nil
	})
}

// CountActive implements [client.Accounts].
func (c *ClientStore) CountActive(ctx context.Context, since time.Time) (n int, err error) {
	err = c.m.read(ctx, func(s *clientState) error {
		n = len(s.active.list(func(at int64) bool { return at >= since.UnixMilli() }, cmp.Compare[int64], func(at int64) int64 { return at }))
		return nil
	})
	return n, err
}

// PutContact implements [client.Contacts].
func (c *ClientStore) PutContact(ctx context.Context, contact *client.Contact) error {
	return c.m.write(ctx, func(s *clientState) error {
		if err := s.needAccount(contact.Account); err != nil {
			return err
		}
		for id, other := range s.contacts.rows {
			if id != contact.ID && other.Account == contact.Account && other.Peer == contact.Peer {
				return errors.New("storetest: a second contact of the same pair")
			}
		}
		s.contacts.put(contact.ID, cloneContact(*contact))
		return nil
	})
}

// Contact implements [client.Contacts].
func (c *ClientStore) Contact(ctx context.Context, account, peer mimi.URI) (*client.Contact, error) {
	found, err := many(ctx, c, contacts,
		func(o client.Contact) bool { return o.Account == account && o.Peer == peer },
		func(a, b client.Contact) int { return cmp.Compare(a.ID, b.ID) }, cloneContact)
	if err == nil && len(found) == 0 {
		err = client.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return found[0], nil
}

// Contacts implements [client.Contacts].
func (c *ClientStore) Contacts(ctx context.Context) ([]*client.Contact, error) {
	return many(ctx, c, contacts, always, func(a, b client.Contact) int { return cmp.Compare(a.ID, b.ID) }, cloneContact)
}

// DeleteContact implements [client.Contacts].
func (c *ClientStore) DeleteContact(ctx context.Context, id string) error {
	return c.m.write(ctx, func(s *clientState) error {
		s.contacts.delete(func(key string, _ client.Contact) bool { return key == id })
		return nil
	})
}

// PutRequest implements [client.Requests].
func (c *ClientStore) PutRequest(ctx context.Context, request *client.Request) error {
	return c.m.write(ctx, func(s *clientState) error {
		if err := s.needAccount(request.Account); err != nil {
			return err
		}
		s.requests.put(request.Ref, cloneRequest(*request))
		return nil
	})
}

// Request implements [client.Requests].
func (c *ClientStore) Request(ctx context.Context, ref [32]byte) (*client.Request, error) {
	return one(ctx, c, requests, ref, cloneRequest)
}

// Requests implements [client.Requests].
func (c *ClientStore) Requests(ctx context.Context, account mimi.URI) ([]*client.Request, error) {
	return many(ctx, c, requests, func(r client.Request) bool { return r.Account == account },
		func(a, b client.Request) int {
			return cmp.Or(a.Received.Compare(b.Received), bytes.Compare(a.Ref[:], b.Ref[:]))
		}, cloneRequest)
}

// DeleteRequest implements [client.Requests].
func (c *ClientStore) DeleteRequest(ctx context.Context, ref [32]byte) error {
	return c.m.write(ctx, func(s *clientState) error {
		s.requests.delete(func(key [32]byte, _ client.Request) bool { return key == ref })
		return nil
	})
}

// String keeps what is stored out of the output of a test.
func (c *ClientStore) String() string { return fmt.Sprintf("storetest.ClientStore at %p", c) }
