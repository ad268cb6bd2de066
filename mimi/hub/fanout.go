package hub

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// A target is a leaf as an address. In a plain room there is no fanout: a provider
// finds its users itself.
type target struct {
	user   mimi.URI
	fanout protocol.FanoutTarget
}

// domain returns the provider that the target is at.
func (t *target) domain() string { return t.user.Domain }

// targetsOf reads the addresses of leaves.
func targetsOf(view mls.View, room *mmr.Room, leaves []mls.LeafIndex) ([]target, error) {
	out := make([]target, 0, len(leaves))
	for _, i := range leaves {
		m, ok := view.Member(i)
		tbs, known := room.Leaf(i)
		if !ok || !known {
			return nil, fmt.Errorf("hub: internal error: leaf %d is not in the room", i)
		}
		if room.Plain() {
			out = append(out, target{user: tbs.UserPseudonym})
			continue
		}
		queue, err := identity.QueueFrom(m.Leaf.Extensions, tbs)
		if err != nil {
			return nil, fmt.Errorf("hub: internal error: leaf %d: %w", i, err)
		}
		out = append(out, target{tbs.UserPseudonym, protocol.FanoutTarget{Queue: *queue, TBS: *tbs}})
	}
	return out, nil
}

// everyone returns the addresses of all leaves of the epoch.
func (r *hosted) everyone() ([]target, error) {
	if r.targets == nil {
		all, err := targetsOf(r.group.View(), r.room(), r.room().Leaves())
		if err != nil {
			return nil, err
		}
		r.targets = all
	}
	return r.targets, nil
}

// A fanout collects what goes to each provider because of one request to a room.
type fanout struct {
	plain    bool
	messages map[string][]*protocol.MinimalMetadataFanout // by domain
}

func newFanout(room *mmr.Room) fanout {
	return fanout{room.Plain(), map[string][]*protocol.MinimalMetadataFanout{}}
}

// add sends a message to leaves, but not to those of users who are gone.
func (f fanout) add(message protocol.FanoutMessage, to []target, gone map[mimi.URI]bool) {
	byDomain := map[string][]protocol.FanoutTarget{}
	for i := range to {
		if !gone[to[i].user] {
			domain := to[i].domain()
			byDomain[domain] = append(byDomain[domain], to[i].fanout)
		}
	}
	for domain, targets := range byDomain {
		f.messages[domain] = append(f.messages[domain], &protocol.MinimalMetadataFanout{Message: message, Targets: targets})
	}
}

// deliveries encodes what goes to each provider but the sender's: that one has it
// already, and is responsible for all its own clients, which share one group
// state.
func (f fanout) deliveries(from string) ([]Delivery, error) {
	var out []Delivery
	for _, domain := range slices.Sorted(maps.Keys(f.messages)) {
		if domain == from {
			continue
		}
		body, err := f.marshal(domain)
		if err != nil {
			return nil, err
		}
		out = append(out, Delivery{Domain: domain, Body: body})
	}
	return out, nil
}

// marshal encodes what goes to one provider: the draft's own structs for a plain
// room, without targets (docs/mmr-profile.md, section 11, "Plain rooms").
func (f fanout) marshal(domain string) ([]byte, error) {
	if !f.plain {
		return protocol.MarshalFanout(f.messages[domain]...)
	}
	var messages []*protocol.FanoutMessage
	for _, m := range f.messages[domain] {
		messages = append(messages, &m.Message)
	}
	return protocol.MarshalPlainFanout(messages...)
}

// messageDeliveries sends an application message to all participants: those whose
// removal is pending get no more of them
// (draft-ietf-mimi-protocol-06, section 5.3).
func (r *hosted) messageDeliveries(from string, message *protocol.FanoutMessage) ([]Delivery, error) {
	gone, err := r.departing()
	if err != nil {
		return nil, err
	}
	return r.sendAll(from, message, gone)
}

// handshakeDeliveries sends proposals to all who are in the group.
func (r *hosted) handshakeDeliveries(from string, message *protocol.FanoutMessage) ([]Delivery, error) {
	return r.sendAll(from, message, nil)
}

func (r *hosted) sendAll(from string, message *protocol.FanoutMessage, gone map[mimi.URI]bool) ([]Delivery, error) {
	to, err := r.everyone()
	if err != nil {
		return nil, err
	}
	f := newFanout(r.room())
	f.add(*message, to, gone)
	return f.deliveries(from)
}

// commitDeliveries sends a Commit to those who were there before, the removed
// ones included, and in the same request the Welcome to those who are new: a
// provider that has both kinds processes them as one. A Welcome finds its way by
// the queue references of the leaves it is for (docs/mmr-profile.md, section 5).
func commitDeliveries(from string, before, after *mmr.Room, view *mls.CommitView, req *protocol.UpdateRequest, at time.Time) ([]Delivery, error) {
	there, err := targetsOf(view.Before, before, before.Leaves())
	if err != nil {
		return nil, err
	}
	f := newFanout(after)
	f.add(protocol.FanoutMessage{Accepted: at, Message: req.ProposalOrCommit}, there, nil)
	if req.Welcome != nil {
		var added []mls.LeafIndex
		for _, m := range view.Added {
			added = append(added, m.Index)
		}
		welcomed, err := targetsOf(view.After, after, added)
		if err != nil {
			return nil, err
		}
		f.add(protocol.FanoutMessage{
			Accepted: at, Message: mls.MLSMessage{Welcome: req.Welcome}, RatchetTree: protocol.FullTree(*view.After.RatchetTree()),
		}, welcomed, nil)
	}
	return f.deliveries(from)
}
