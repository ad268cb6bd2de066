//go:build lab

package privacy

import (
	"fmt"
	"strings"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/connection"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity/identitytest"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// authority is the identity CA of a provider, which everybody can have.
func (s *stage) authority(domain string) *identity.Authority {
	for _, side := range s.world.Providers {
		if side.Domain == domain {
			return must(side.Node.Directory(s.ctx)).IdentityCA
		}
	}
	panic(failure{errNothing})
}

// openWith tries to open a leaf with a link key, and says whose it is.
func (s *stage) openWith(l hubLeaf, key identity.LinkKey) (mimi.URI, bool) {
	opened, err := identity.OpenLink(s.suite, l.credential, key, s.authority(l.credential.Domain()), identity.LeafInTree(time.Now()))
	if err != nil {
		return mimi.URI{}, false
	}
	return opened.User(), true
}

// openWithWrapper tries every wrapper key on the hub's entry of a leaf, also as one of
// another generation than its own.
func (s *stage) openWithWrapper(room mimi.URI, l hubLeaf, keys []identity.WrapperKey) (user mimi.URI, ok bool, tries int) {
	if l.entry == nil {
		return mimi.URI{}, false, 0
	}
	for _, key := range keys {
		for _, generation := range []identity.Generation{key.Generation, l.entry.Generation} {
			as := identity.WrapperKey{Generation: generation, Key: key.Key}
			entry := *l.entry
			entry.Generation = generation
			tries++
			link, err := as.Unwrap(s.suite, identity.GroupID(room), &l.credential.PseudonymousCredentialTBS, &entry)
			if err != nil {
				continue
			}
			if user, ok := s.openWith(l, link); ok {
				return user, true, tries
			}
		}
	}
	return mimi.URI{}, false, tries
}

// removedMember is T5: carol takes her wrapper keys along, and gets all that the hub
// has. Ben was added after her removal, cora came by a link, and bob has a new
// credential; alice and dora were there before.
func removedMember(s *story) *finding {
	f := &finding{}
	later := map[string]bool{}
	for _, p := range []*person{s.ben, s.cora, s.bob} {
		later[s.leafOf(s.first, p).credential.ClientPseudonym.String()] = true
	}
	tried, known := 0, 0
	for _, l := range s.leaves(s.first) {
		user, ok, tries := s.openWithWrapper(s.first, l, s.carolKeys)
		switch {
		case later[l.credential.ClientPseudonym.String()]:
			tried += tries
			if ok {
				f.hit("leaf %d is %s", l.index, user)
			}
		case ok:
			known++
		}
	}
	if tried == 0 || known == 0 {
		check(errNothing) // her keys have to open those whom she knew
	}
	f.figures = fmt.Sprintf("%d leaves that came later, %d tries with %d wrapper keys: 0 of 1024 octets of a link read; %d leaves of those whom she met open, as they may",
		len(later), tried, len(s.carolKeys), known)
	return f
}

// staticRoom is the control of T5: in a connection room, whose mode is static, who has
// left opens what comes later.
func staticRoom(p *proof, _ *story) *finding {
	s := newStage(p.ctx, p.open, Setup{}, newNames(p.seed))
	defer s.world.Close()
	alice, bob := s.person(s.provider(0)), s.person(s.provider(1))
	s.connect(alice, bob)
	var room mimi.URI
	for _, c := range must(bob.client().Contacts(s.ctx, bob.user)) {
		room = c.Room
	}
	keys := must(bob.client().WrapperKeys(s.ctx, room))
	check(bob.client().Leave(s.ctx, bob.user, room))
	must(alice.side.Await(s.ctx, "that bob is gone", func(e *client.Event) bool {
		return e.Kind == client.EventMembers && e.Room == room && len(e.Removed) > 0
	}))
	check(alice.client().Renew(s.ctx, alice.user, room))
	hub := s.world.Hub
	s.world.Hub = s.provider(0) // who made the room hosts it
	defer func() { s.world.Hub = hub }()
	f := &finding{}
	for _, l := range s.leaves(room) {
		if user, ok, _ := s.openWithWrapper(room, l, keys); ok {
			f.hit("who left opens leaf %d, which is new: it is %s", l.index, user)
		}
	}
	return f
}

// contactKeys are the connection keys that somebody has of somebody else.
func (s *stage) contactKeys(has, of *person) *connection.Keys {
	keys := must(has.client().TheirKeys(s.ctx, has.user, of.user))
	if keys == nil {
		check(errNothing)
	}
	return keys
}

// openAsContact opens a leaf with the link key that a contact derives.
func (s *stage) openAsContact(l hubLeaf, keys *connection.Keys) (mimi.URI, bool) {
	return s.openWith(l, must(identity.DeriveLinkKey(s.suite, keys.Key, &l.credential.PseudonymousCredentialTBS)))
}

// contactWithHub is T6: alice is ben's contact. With all that the hub has she opens
// neither ben's leaf in the others' room, which anna's KeyPackage made, nor, with
// bob's key, the leaves of creators and joiners.
func contactWithHub(s *story) *finding {
	f := &finding{}
	ben, bob := s.contactKeys(s.alice, s.ben), s.contactKeys(s.alice, s.bob)
	leaves := s.leaves(s.others)
	for _, l := range leaves {
		if user, ok := s.openAsContact(l, ben); ok {
			f.hit("alice opens leaf %d of a room that she is not in: %s", l.index, user)
		}
	}
	random := []hubLeaf{s.leafOf(s.first, s.bob), s.leafOf(s.masked, s.bob)}
	for _, l := range random {
		if user, ok := s.openAsContact(l, bob); ok {
			f.hit("alice opens leaf %d, whose link key is random: %s", l.index, user)
		}
	}
	f.figures = fmt.Sprintf("%d leaves made for others and %d with random link keys: none opens", len(leaves), len(random))
	return f
}

// ownContact is the control of T6: what was made for a contact opens for it.
func ownContact(_ *proof, s *story) *finding {
	f := &finding{}
	l := s.leafOf(s.second, s.bob)
	if user, ok := s.openAsContact(l, s.contactKeys(s.alice, s.bob)); ok {
		f.hit("alice, and a hub, open leaf %d, which was made for her: %s", l.index, user)
	}
	return f
}

// crafted is a credential whose link opens under two keys, as far as AES-GCM goes.
type crafted struct {
	credential *identity.PseudonymousCredential
	keys       [2]identity.LinkKey
	aead       [2]suite.Secret
	aad        []byte
}

// craft makes one from bob's credential.
func (s *story) craft() crafted {
	l := s.leafOf(s.first, s.bob)
	c := crafted{credential: l.credential}
	for i := range c.keys {
		c.keys[i] = must(identity.NewLinkKey(s.suite, randomOctets{}))
		c.aead[i] = s.suite.ExpandWithLabel(c.keys[i].Secret, "key", nil, s.suite.Nk())
	}
	link := &c.credential.Link
	link.Commitment = s.suite.ExpandWithLabel(c.keys[0].Secret, "commit", nil, s.suite.Nh()).Bytes()
	c.aad = append(must(wire.Marshal(&c.credential.PseudonymousCredentialTBS)), append([]byte{byte(len(link.Commitment))}, link.Commitment...)...)
	link.Ciphertext = must(identitytest.TwoKeyCiphertext(c.aead[0], c.aead[1], link.Nonce, c.aad, len(link.Ciphertext)-16))
	return c
}

// twoKeys is T8.
func twoKeys(s *story) *finding {
	f := &finding{}
	c := s.craft()
	for _, key := range c.keys {
		_, err := identity.OpenLink(s.suite, c.credential, key, s.authority(c.credential.Domain()), identity.LeafInTree(time.Now()))
		if err == nil {
			f.hit("it opens")
		} else if key.Equal(c.keys[1].Secret) && !strings.Contains(err.Error(), identity.ErrCommitment.Error()) {
			f.hit("the key without the commitment gets as far as %v", err)
		}
	}
	f.figures = "one ciphertext, two keys: one stops at the commitment, the other at the padding; 0 octets of a link read"
	return f
}

// plainGCM is the control of T8: without the commitment both keys decrypt.
func plainGCM(_ *proof, s *story) *finding {
	f := &finding{}
	c := s.craft()
	for i, key := range c.aead {
		if plaintext, err := s.suite.Open(key, c.credential.Link.Nonce, c.aad, c.credential.Link.Ciphertext); err == nil {
			f.hit("key %d decrypts %d octets", i+1, len(plaintext))
		}
	}
	if len(f.hits) < 2 {
		f.hits = nil
	}
	return f
}

// maskedRoom is T12: neither members, nor with all wrapper keys of all rooms, nor
// contacts open a leaf.
func maskedRoom(s *story) *finding { return s.opened(s.masked) }

// unmaskedRoom is the control of T12.
func unmaskedRoom(_ *proof, s *story) *finding { return s.opened(s.second) }

func (s *story) opened(room mimi.URI) *finding {
	f := &finding{}
	var keys []identity.WrapperKey
	for _, k := range s.keys {
		keys = append(keys, k...)
	}
	leaves, tries := s.leaves(room), 0
	for _, l := range leaves {
		if l.entry != nil {
			f.hit("the hub has an entry for leaf %d", l.index)
		}
		user, ok, n := s.openWithWrapper(room, l, keys)
		tries += n
		if ok {
			f.hit("leaf %d is %s", l.index, user)
		}
		for _, pair := range [][2]*person{{s.alice, s.bob}, {s.alice, s.ben}, {s.anna, s.cora}} {
			tries++
			if user, ok := s.openAsContact(l, s.contactKeys(pair[0], pair[1])); ok {
				f.hit("leaf %d is %s to a contact", l.index, user)
			}
		}
	}
	for _, side := range s.sides(room) {
		for _, m := range must(side.Node.Client().Room(s.ctx, room)).Members {
			if !m.User.IsZero() && m.User.Domain != side.Domain {
				f.hit("%s knows who %s is", side.Name, m.Pseudonym)
			}
		}
	}
	if len(leaves) == 0 || tries == 0 {
		check(errNothing)
	}
	f.figures = fmt.Sprintf("%d leaves, no entry, %d tries with %d wrapper keys and the keys of contacts; no member is shown anybody's address", len(leaves), tries, len(keys))
	return f
}
