//go:build lab

package privacy

import (
	"encoding/hex"
	"strings"
	"time"

	"github.com/mimi-gateway/mimi-gateway/cmd/mimi-lab/internal/wiretap"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
)

// A dump is what a hub has stored of a room, at one moment.
type dump struct {
	rows  []mls.Row
	group *mls.PublicGroup
	room  *mmr.Room
}

// A hubLeaf is a leaf as the hub knows it.
type hubLeaf struct {
	index      mls.LeafIndex
	node       *mls.LeafNode
	credential *identity.PseudonymousCredential
	// entry is what the hub has of the leaf's link key, or nil.
	entry *identity.EncryptedIdentityLinkKey
	queue *identity.QueueReference
}

// dump reads a room from the hub's database.
func (s *stage) dump(room mimi.URI) (*dump, error) {
	rows, _, err := s.world.Hub.Store.Hub().Load(s.ctx, room)
	if err != nil {
		return nil, err
	}
	d := &dump{rows: rows}
	var others []mls.Row
	for _, row := range rows {
		if !strings.HasPrefix(row.Key, "hub/") {
			others = append(others, row)
		}
	}
	stored, others, err := mmr.SplitRows(others)
	if err != nil {
		return nil, err
	}
	rules := mmr.NewRules(nil)
	if d.group, err = mls.LoadPublicGroup(mls.Config{Policy: rules, Now: time.Now}, others); err != nil {
		return nil, err
	}
	d.room, err = stored.Open(s.suite, d.group.View())
	return d, err
}

// leaves are those of a room at the hub.
func (s *stage) leaves(room mimi.URI) (out []hubLeaf) {
	d := must(s.dump(room))
	for m := range d.group.View().Members() {
		l := hubLeaf{index: m.Index, node: m.Leaf}
		l.credential = must(identity.ParseCredential(s.suite, m.Leaf.Credential, m.Leaf.SignatureKey))
		l.entry, _ = d.room.Table().Key(m.Index)
		l.queue = must(identity.QueueFrom(m.Leaf.Extensions, &l.credential.PseudonymousCredentialTBS))
		out = append(out, l)
	}
	return out
}

// leafOf is the leaf that a person has in a room, which the person's provider knows.
func (s *stage) leafOf(room mimi.URI, p *person) hubLeaf {
	info := must(p.client().Room(s.ctx, room))
	for _, m := range info.Members {
		if m.User != p.user {
			continue
		}
		for _, l := range s.leaves(room) {
			if l.credential.UserPseudonym == m.Pseudonym {
				return l
			}
		}
	}
	panic(failure{errNothing})
}

// seen is what the hub has seen on the wire: requests to it, and answers that it
// got.
func (s *stage) seen() (out []seen) {
	hub := s.world.Hub.Domain
	for i, x := range s.world.Log.All() {
		if x.To == hub || x.From == hub {
			out = append(out, seen{i, x})
		}
	}
	return out
}

// A seen is an exchange with its number in the recording.
type seen struct {
	number int
	*wiretap.Exchange
}

// endpoint is the name of the endpoint that was called.
func (x seen) endpoint() string {
	parts := strings.Split(strings.TrimPrefix(x.Target, "/mimi/v1/"), "/")
	return parts[0]
}

// about reports whether the exchange is about a room: the path names it, or the
// request does.
func (x seen) about(room mimi.URI) bool {
	return strings.Contains(x.Target, room.ID) || strings.Contains(string(x.Request), room.String())
}

// received is what came to the hub's provider in an exchange.
func (s *stage) received(x seen) []byte {
	if x.To == s.world.Hub.Domain {
		return x.Request
	}
	return x.Response
}

func hexOf(s suite.Secret) string { return hex.EncodeToString(s.Bytes()) }
