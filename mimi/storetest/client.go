package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
)

// Client checks the contract of [client.Store], in one subtest for each of the
// interfaces that it is made of. Every call of open returns an empty store.
func Client(t *testing.T, open func(*testing.T) client.Store) {
	for name, check := range map[string]func(*testing.T, func(*testing.T) client.Store){
		"Atomically":       atomicallySuite,
		"Secrets":          secretsSuite,
		"Accounts":         accountsSuite,
		"Closures":         closuresSuite,
		"Contacts":         contactsSuite,
		"Requests":         requestsSuite,
		"Consents":         consentsSuite,
		"Rooms":            roomsSuite,
		"Leaves":           leavesSuite,
		"Members":          membersSuite,
		"FormerPseudonyms": formerSuite,
		"Outbox":           outboxSuite,
		"Inbox":            inboxSuite,
		"Events":           eventsSuite,
	} {
		t.Run(name, func(t *testing.T) { check(t, open) })
	}
}

// checks runs each function on an empty store.
func checks(t *testing.T, open func(*testing.T) client.Store, all map[string]func(*testing.T, client.Store)) {
	t.Helper()
	for name, check := range all {
		t.Run(name, func(t *testing.T) { check(t, open(t)) })
	}
}

func account(id string) *client.Account {
	return &client.Account{User: user(id), Client: device(id), Name: "Name of " + id, Secret: []byte("secret of " + id)}
}

// withPeople puts accounts, and rooms, which other rows refer to.
func withPeople(t *testing.T, s client.Store) {
	t.Helper()
	for _, id := range []string{"alice", "anna"} {
		do(t, s.PutAccount(t.Context(), account(id)))
	}
	for _, id := range []string{"1", "2"} {
		do(t, s.PutRoom(t.Context(), &client.Room{URI: room(id), Kind: client.RoomGroup, Secret: []byte{1}}))
	}
}

var errStop = errors.New("stop")

func secretsSuite(t *testing.T, open func(*testing.T) client.Store) {
	checks(t, open, map[string]func(*testing.T, client.Store){
		"NotFound": func(t *testing.T, s client.Store) {
			wantError(s.Secret(t.Context(), "ca"))(t, client.ErrNotFound)
		},
		"InsertsOrReplaces": func(t *testing.T, s client.Store) {
			do(t, s.PutSecret(t.Context(), "ca", []byte("one")))
			do(t, s.PutSecret(t.Context(), "queue", []byte("two")))
			get(s.Secret(t.Context(), "ca"))(t, []byte("one"))
			do(t, s.PutSecret(t.Context(), "ca", []byte{}))
			get(s.Secret(t.Context(), "ca"))(t, []byte{})
			get(s.Secret(t.Context(), "queue"))(t, []byte("two"))
		},
		"Aliasing": func(t *testing.T, s client.Store) {
			secret := []byte{1}
			do(t, s.PutSecret(t.Context(), "ca", secret))
			for range 2 {
				secret[0] = 9
				got, err := s.Secret(t.Context(), "ca")
				get(got, err)(t, []byte{1})
				secret = got
			}
		},
	})
}

func accountsSuite(t *testing.T, open func(*testing.T) client.Store) {
	checks(t, open, map[string]func(*testing.T, client.Store){
		"NotFound": func(t *testing.T, s client.Store) {
			wantError(s.Account(t.Context(), user("alice")))(t, client.ErrNotFound)
			get(s.Accounts(t.Context()))(t, nil)
		},
		"InsertsOrReplaces": func(t *testing.T, s client.Store) {
			do(t, s.PutAccount(t.Context(), account("alice")))
			do(t, s.PutAccount(t.Context(), account("anna")))
			other := account("alice")
			other.Client, other.Name, other.Secret = device("other"), "", []byte{}
			do(t, s.PutAccount(t.Context(), other))
			get(s.Account(t.Context(), user("alice")))(t, other)
			get(s.Account(t.Context(), user("anna")))(t, account("anna"))
			other.Secret = nil
			do(t, s.PutAccount(t.Context(), other))
			get(s.Account(t.Context(), user("alice")))(t, other)
		},
		// Who was active is counted from the latest time that was noted, which a
		// replaced account keeps.
		"Active": func(t *testing.T, s client.Store) {
			count := func(since time.Time, want int) {
				t.Helper()
				if n, err := s.CountActive(t.Context(), since); err != nil || n != want {
					t.Errorf("%d were active since %v, %v; want %d", n, since, err, want)
				}
			}
			do(t, s.SetActive(t.Context(), user("nobody"), kept))
			do(t, s.PutAccount(t.Context(), account("alice")))
			do(t, s.PutAccount(t.Context(), account("anna")))
			count(time.UnixMilli(1), 0)
			do(t, s.SetActive(t.Context(), user("alice"), kept))
			do(t, s.SetActive(t.Context(), user("anna"), kept.Add(time.Hour)))
			do(t, s.SetActive(t.Context(), user("anna"), kept))
			do(t, s.PutAccount(t.Context(), account("anna")))
			count(kept, 2)
			count(kept.Add(time.Millisecond), 1)
			count(kept.Add(time.Hour), 1)
			count(kept.Add(2*time.Hour), 0)
		},
		// A replaced account keeps what refers to it.
		"ReplacingDeletesNothing": func(t *testing.T, s client.Store) {
			withPeople(t, s)
			leaf := &client.Leaf{Room: room("1"), Account: user("alice"), State: client.LeafJoined}
			do(t, s.PutLeaf(t.Context(), leaf))
			do(t, s.PutAccount(t.Context(), account("alice")))
			do(t, s.PutRoom(t.Context(), &client.Room{URI: room("1"), Kind: client.RoomGroup}))
			get(s.Leaves(t.Context(), room("1")))(t, []*client.Leaf{leaf})
		},
		"Order": func(t *testing.T, s client.Store) {
			for _, id := range []string{"b", "a%2Fb", "c", "a", "a-b"} {
				do(t, s.PutAccount(t.Context(), account(id)))
			}
			get(s.Accounts(t.Context()))(t, []*client.Account{account("a"), account("a%2Fb"), account("a-b"), account("b"), account("c")})
		},
		"Aliasing": func(t *testing.T, s client.Store) {
			a := account("alice")
			do(t, s.PutAccount(t.Context(), a))
			a.Secret[0] = 0
			for range 2 {
				got, err := s.Account(t.Context(), user("alice"))
				get(got, err)(t, account("alice"))
				got.Secret[0] = 0
			}
		},
	})
}

func contactsSuite(t *testing.T, open func(*testing.T) client.Store) {
	contact := func(id, of, peer string) *client.Contact {
		return &client.Contact{
			ID: id, Account: user(of), Peer: user(peer), State: client.ContactAsked, Room: room("1"), Name: "Bob",
			Changed: kept, Secret: []byte("secret of " + id),
		}
	}
	checks(t, open, map[string]func(*testing.T, client.Store){
		"NotFound": func(t *testing.T, s client.Store) {
			withPeople(t, s)
			wantError(s.Contact(t.Context(), user("alice"), user("bob")))(t, client.ErrNotFound)
			get(s.Contacts(t.Context()))(t, nil)
			do(t, s.DeleteContact(t.Context(), "1"))
		},
		"InsertsOrReplaces": func(t *testing.T, s client.Store) {
			withPeople(t, s)
			c := contact("1", "alice", "bob")
			c.Changed = precise
			do(t, s.PutContact(t.Context(), c))
			do(t, s.PutContact(t.Context(), contact("2", "anna", "bob")))
			got, err := s.Contact(t.Context(), user("alice"), user("bob"))
			get(got, err)(t, contact("1", "alice", "bob"))
			wantUTC(t, got.Changed)
			other := &client.Contact{ID: "1", Account: user("alice"), Peer: user("ben"), State: client.ContactBlocked}
			do(t, s.PutContact(t.Context(), other))
			wantError(s.Contact(t.Context(), user("alice"), user("bob")))(t, client.ErrNotFound)
			get(s.Contact(t.Context(), user("alice"), user("ben")))(t, other)
			get(s.Contact(t.Context(), user("anna"), user("bob")))(t, contact("2", "anna", "bob"))
		},
		"OnePerPair": func(t *testing.T, s client.Store) {
			withPeople(t, s)
			do(t, s.PutContact(t.Context(), contact("1", "alice", "bob")))
			refused(t, "a second contact of one pair", s.PutContact(t.Context(), contact("2", "alice", "bob")))
			do(t, s.PutContact(t.Context(), contact("2", "alice", "ben")))
			refused(t, "a contact that becomes the second of a pair", s.PutContact(t.Context(), contact("2", "alice", "bob")))
			get(s.Contacts(t.Context()))(t, []*client.Contact{contact("1", "alice", "bob"), contact("2", "alice", "ben")})
		},
		"OrderAndDelete": func(t *testing.T, s client.Store) {
			withPeople(t, s)
			for _, c := range []*client.Contact{contact("c", "alice", "bob"), contact("B", "alice", "ben"), contact("a", "anna", "bob")} {
				do(t, s.PutContact(t.Context(), c))
			}
			get(s.Contacts(t.Context()))(t, []*client.Contact{contact("B", "alice", "ben"), contact("a", "anna", "bob"), contact("c", "alice", "bob")})
			do(t, s.DeleteContact(t.Context(), "a"))
			get(s.Contacts(t.Context()))(t, []*client.Contact{contact("B", "alice", "ben"), contact("c", "alice", "bob")})
			do(t, s.PutContact(t.Context(), contact("d", "anna", "bob")))
		},
		"UnknownAccount": func(t *testing.T, s client.Store) {
			refused(t, "a contact of nobody", s.PutContact(t.Context(), contact("1", "alice", "bob")))
		},
	})
}

func requestsSuite(t *testing.T, open func(*testing.T) client.Store) {
	req := func(ref byte, of string) *client.Request {
		return &client.Request{Ref: [32]byte{31: ref}, Account: user(of), Peer: user("bob"), Received: kept, Secret: []byte{ref}}
	}
	checks(t, open, map[string]func(*testing.T, client.Store){
		"NotFound": func(t *testing.T, s client.Store) {
			wantError(s.Request(t.Context(), [32]byte{}))(t, client.ErrNotFound)
			get(s.Requests(t.Context(), user("alice")))(t, nil)
			do(t, s.DeleteRequest(t.Context(), [32]byte{}))
		},
		"InsertsOrReplaces": func(t *testing.T, s client.Store) {
			withPeople(t, s)
			r := req(1, "alice")
			r.Received = precise
			do(t, s.PutRequest(t.Context(), r))
			got, err := s.Request(t.Context(), r.Ref)
			get(got, err)(t, req(1, "alice"))
			wantUTC(t, got.Received)
			other := &client.Request{Ref: r.Ref, Account: user("anna"), Peer: user("ben")}
			do(t, s.PutRequest(t.Context(), other))
			get(s.Request(t.Context(), r.Ref))(t, other)
			get(s.Requests(t.Context(), user("alice")))(t, nil)
		},
		"OldestFirst": func(t *testing.T, s client.Store) {
			withPeople(t, s)
			for i, ref := range []byte{3, 1, 2} {
				r := req(ref, "alice")
				r.Received = kept.AddDate(0, 0, i)
				do(t, s.PutRequest(t.Context(), r))
			}
			do(t, s.PutRequest(t.Context(), req(4, "anna")))
			got, err := s.Requests(t.Context(), user("alice"))
			do(t, err)
			var refs []byte
			for _, r := range got {
				refs = append(refs, r.Ref[31])
			}
			get(refs, nil)(t, []byte{3, 1, 2})
			do(t, s.DeleteRequest(t.Context(), [32]byte{31: 1}))
			wantError(s.Request(t.Context(), [32]byte{31: 1}))(t, client.ErrNotFound)
			get(s.Requests(t.Context(), user("anna")))(t, []*client.Request{req(4, "anna")})
		},
		"UnknownAccount": func(t *testing.T, s client.Store) {
			refused(t, "a request to nobody", s.PutRequest(t.Context(), req(1, "alice")))
		},
	})
}

func atomicallySuite(t *testing.T, open func(*testing.T) client.Store) {
	checks(t, open, map[string]func(*testing.T, client.Store){
		"Together":     atomicallyTogether,
		"Never":        atomicallyNever,
		"Invisible":    atomicallyInvisible,
		"Joins":        atomicallyJoins,
		"NestedFails":  atomicallyNestedFails,
		"Panics":       atomicallyPanics,
		"Canceled":     atomicallyCanceled,
		"Concurrently": atomicallyConcurrently,
	})
}

// everything writes one row of each kind.
func everything(t *testing.T, s client.Store) func(ctx context.Context) error {
	t.Helper()
	return func(ctx context.Context) error {
		steps := []func() error{
			func() error { return s.PutSecret(ctx, "ca", []byte{1}) },
			func() error { return s.PutAccount(ctx, account("carol")) },
			func() error {
				return s.PutContact(ctx, &client.Contact{ID: "1", Account: user("carol"), Peer: user("bob")})
			},
			func() error { return s.PutRequest(ctx, &client.Request{Ref: request(1), Account: user("carol")}) },
			func() error { return s.PutConsent(ctx, &client.Consent{Ref: request(1), Account: user("carol")}) },
			func() error { return s.PutRoom(ctx, &client.Room{URI: room("3")}) },
			func() error { return s.PutRows(ctx, room("3"), []mls.Row{{Key: "a", Value: []byte{1}, Secret: true}}) },
			func() error { return s.PutLeaf(ctx, &client.Leaf{Room: room("3"), Account: user("carol")}) },
			func() error { return s.PutMember(ctx, &client.Member{Room: room("3")}) },
			func() error {
				return s.PutOutgoing(ctx, &client.Outgoing{Room: room("3"), Account: user("carol"), Source: "$1"})
			},
			func() error { _, err := s.AddIncoming(ctx, &client.Incoming{Room: room("3")}); return err },
			func() error { return s.AddEvent(ctx, &client.StoredEvent{Lane: room("3")}) },
		}
		for i, step := range steps {
			if err := step(); err != nil {
				return fmt.Errorf("step %d: %w", i, err)
			}
		}
		return nil
	}
}

// wantEverything counts what everything has written, as ctx sees it.
func wantEverything(ctx context.Context, t *testing.T, s client.Store, want int) {
	t.Helper()
	count := func(what string, n int, err error) {
		t.Helper()
		if err != nil || n != want {
			t.Errorf("%d %s (%v), want %d", n, what, err, want)
		}
	}
	secret, err := s.Secret(ctx, "ca")
	if errors.Is(err, client.ErrNotFound) {
		err = nil
	}
	count("octets of the secret", len(secret), err)
	accounts, err := s.Accounts(ctx)
	count("accounts", len(accounts), err)
	contacts, err := s.Contacts(ctx)
	count("contacts", len(contacts), err)
	requests, err := s.Requests(ctx, user("carol"))
	count("requests", len(requests), err)
	consents, err := s.Consents(ctx, user("carol"))
	count("consents", len(consents), err)
	rooms, err := s.Rooms(ctx)
	count("rooms", len(rooms), err)
	rows, err := s.Rows(ctx, room("3"))
	count("rows", len(rows), err)
	leaves, err := s.Leaves(ctx, room("3"))
	count("leaves", len(leaves), err)
	members, err := s.Members(ctx, room("3"))
	count("members", len(members), err)
	outgoing, err := s.Unaccepted(ctx)
	count("outgoing", len(outgoing), err)
	incoming, err := s.RoomsWithIncoming(ctx)
	count("rooms with incoming", len(incoming), err)
	events, err := s.EventLanes(ctx)
	count("lanes", len(events), err)
}

func atomicallyTogether(t *testing.T, s client.Store) {
	do(t, s.Atomically(t.Context(), everything(t, s)))
	wantEverything(t.Context(), t, s, 1)
}

func atomicallyNever(t *testing.T, s client.Store) {
	err := s.Atomically(t.Context(), func(ctx context.Context) error {
		do(t, everything(t, s)(ctx))
		return errStop
	})
	if !errors.Is(err, errStop) {
		t.Errorf("error is %v, want that of f", err)
	}
	wantEverything(t.Context(), t, s, 0)
	do(t, s.Atomically(t.Context(), everything(t, s))) // nothing is in the way
	wantEverything(t.Context(), t, s, 1)
}

// Others see nothing of a transaction before its end; it sees itself.
func atomicallyInvisible(t *testing.T, s client.Store) {
	do(t, s.Atomically(t.Context(), func(ctx context.Context) error {
		do(t, everything(t, s)(ctx))
		wantEverything(ctx, t, s, 1)
		others := make(chan struct{})
		go func() {
			defer close(others)
			wantEverything(t.Context(), t, s, 0)
		}()
		<-others
		return nil
	}))
	wantEverything(t.Context(), t, s, 1)
}

func atomicallyJoins(t *testing.T, s client.Store) {
	err := s.Atomically(t.Context(), func(ctx context.Context) error {
		do(t, s.Atomically(ctx, everything(t, s)))
		wantEverything(ctx, t, s, 1)
		return errStop
	})
	if !errors.Is(err, errStop) {
		t.Errorf("error is %v, want that of f", err)
	}
	wantEverything(t.Context(), t, s, 0)
}

// What a nested function has written is never kept if it fails, even if the
// outer one goes on.
func atomicallyNestedFails(t *testing.T, s client.Store) {
	do(t, s.Atomically(t.Context(), func(ctx context.Context) error {
		do(t, s.PutAccount(ctx, account("before")))
		err := s.Atomically(ctx, func(ctx context.Context) error {
			do(t, s.PutAccount(ctx, account("inside")))
			return errStop
		})
		if !errors.Is(err, errStop) {
			t.Errorf("error is %v, want that of f", err)
		}
		return s.PutAccount(ctx, account("behind"))
	}))
	get(s.Accounts(t.Context()))(t, []*client.Account{account("before"), account("behind")})
}

// A panic keeps nothing, and does not keep others from writing.
func atomicallyPanics(t *testing.T, s client.Store) {
	func() {
		defer func() {
			if p := recover(); p != "stop" {
				t.Errorf("recovered %v, want the panic of f", p)
			}
		}()
		_ = s.Atomically(t.Context(), func(ctx context.Context) error {
			return s.Atomically(ctx, func(ctx context.Context) error {
				do(t, everything(t, s)(ctx))
				panic("stop")
			})
		})
	}()
	wantEverything(t.Context(), t, s, 0)
	do(t, s.PutAccount(t.Context(), account("alice")))
}

// A transaction whose context ends before it does keeps nothing.
func atomicallyCanceled(t *testing.T, s client.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	refused(t, "a transaction of a canceled context", s.Atomically(ctx, func(ctx context.Context) error {
		do(t, everything(t, s)(ctx))
		cancel()
		return nil
	}))
	wantEverything(t.Context(), t, s, 0)
	do(t, s.PutAccount(t.Context(), account("alice")))
}

// Transactions that read before they write lose no write of each other.
func atomicallyConcurrently(t *testing.T, s client.Store) {
	do(t, s.PutAccount(t.Context(), account("alice")))
	const writers, each = 4, 8
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				if err := s.Atomically(t.Context(), func(ctx context.Context) error {
					a, err := s.Account(ctx, user("alice"))
					if err != nil {
						return err
					}
					a.Name += "."
					return s.PutAccount(ctx, a)
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	a, err := s.Account(t.Context(), user("alice"))
	do(t, err)
	if got, want := len(a.Name), len(account("alice").Name)+writers*each; got != want {
		t.Errorf("%d of %d writes remain", got-len(account("alice").Name), writers*each)
	}
}
