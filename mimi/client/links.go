package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mmr"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
	rules "github.com/mimi-gateway/mimi-gateway/mimi/room"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// rowLink begins the keys of the rows with the join links that accounts here have
// made, sealed: + SHA-256 of the code, in hexadecimal.
const rowLink = "client/link/"

// LinkOptions bound what a join link is good for. A zero field means the default.
type LinkOptions struct {
	// Uses is how many people may enter with the link: 1 if it is 0, at most
	// [Limits.LinkUses].
	Uses uint32
	// Lifetime of the link: [Limits.LinkLife] if it is 0, at most
	// [Limits.MaxLinkLife].
	Lifetime time.Duration
}

// A Link lets whoever has its text enter a room (docs/mmr-profile.md, section 3,
// "Join links"). It dies with the first removal of anybody from the room.
type Link struct {
	// ID names the link among those of a room, and opens nothing.
	ID string
	// Account has made the link.
	Account mimi.URI
	Room    mimi.URI
	// Made and NotAfter bound its life.
	Made, NotAfter time.Time
	// Uses is how many people may enter with it in all.
	Uses uint32

	link identity.JoinLink
}

// Text returns the link as people hand it on: a secret.
func (l *Link) Text() string { return l.link.Text() }

// Format shows the link without its secrets, whatever the verb.
func (l *Link) Format(f fmt.State, verb rune) { l.link.Format(f, verb) }

// Wire codes a link as it is stored.
//
//	struct {
//	    IdentifierUri account;
//	    opaque code<V>;
//	    opaque key<V>;
//	    uint64 made;         /* milliseconds */
//	    uint64 not_after;    /* seconds */
//	    uint32 uses;
//	} Link;
func (l *Link) Wire(c *wire.Codec) {
	l.Account.Wire(c)
	l.link.Code.Wire(c)
	l.link.Key.Wire(c)
	made, notAfter := uint64(max(0, l.Made.UnixMilli())), uint64(max(0, l.NotAfter.Unix())) //nolint:gosec // not negative
	wire.Uint64(c, &made)
	wire.Uint64(c, &notAfter)
	wire.Uint32(c, &l.Uses)
	if c.Decoding() {
		l.Made, l.NotAfter = time.UnixMilli(int64(made)).UTC(), time.Unix(int64(notAfter), 0).UTC() //nolint:gosec // as it was stored
	}
}

// linkID returns the id of a link by the hash of its code, as [Ref.String] does for
// requests.
func linkID(hash [sha256.Size]byte) string { return hex.EncodeToString(hash[:4]) }

// newLink makes a link of an account; nothing knows of it yet.
func (c *Client) newLink(account, room mimi.URI, opts LinkOptions) (*Link, error) {
	link, err := identity.NewJoinLink(room, c.cfg.Random)
	if err != nil {
		return nil, err
	}
	now := c.cfg.Clock.Now()
	return &Link{
		ID: linkID(link.CodeHash()), Account: account, Room: room, Made: now.Truncate(time.Millisecond).UTC(),
		NotAfter: now.Add(opts.Lifetime).Truncate(time.Second).UTC(), Uses: opts.Uses, link: link,
	}, nil
}

// complete sets what is not set, and fails with [ErrLinkOptions] if a limit is
// passed.
func (o *LinkOptions) complete(l *Limits) error {
	if o.Uses == 0 {
		o.Uses = 1
	}
	if o.Lifetime == 0 {
		o.Lifetime = l.LinkLife
	}
	if o.Uses > l.LinkUses || o.Lifetime < time.Second || o.Lifetime > l.MaxLinkLife {
		return ErrLinkOptions
	}
	return nil
}

// putLink notes a link of an account here, or with nil that there is none under a
// row's key any more.
func (r *room) putLink(key string, l *Link) error {
	row := mls.Row{Key: key, Secret: true}
	if l == nil {
		delete(r.links, key)
	} else {
		var err error
		if row.Value, err = wire.Marshal(l); err != nil {
			return err
		}
		r.links[key] = l
	}
	r.rows = append(r.rows, row)
	return nil
}

// readLink reads the row of a link.
func (r *room) readLink(row mls.Row) error {
	l := &Link{Room: r.uri()}
	if err := wire.Unmarshal(row.Value, l); err != nil {
		return fmt.Errorf("row of a join link: %w", err)
	}
	l.link.Room = r.uri()
	l.ID = linkID(l.link.CodeHash())
	r.links[row.Key] = l
	return nil
}

func (l *Link) key() string {
	hash := l.link.CodeHash()
	return rowLink + hex.EncodeToString(hash[:])
}

// MakeLink makes a join link of a group, and its hub know it: whoever has the text
// can enter. It fails with [ErrDenied] if the account may not let others in, and with
// [ErrTooManyLinks].
func (c *Client) MakeLink(ctx context.Context, account, uri mimi.URI, opts LinkOptions) (*Link, error) {
	if err := opts.complete(&c.cfg.Limits); err != nil {
		return nil, err
	}
	var made *Link
	err := c.attempt(ctx, uri, account, func(r *room, own *Leaf) (err error) {
		made, err = c.makeLink(ctx, r, own, opts)
		return err
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

// makeLink is MakeLink on a locked room. The link is stored when the hub has it: of
// one that the hub knows, and nobody else after a crash, nothing comes.
func (c *Client) makeLink(ctx context.Context, r *room, own *Leaf, opts LinkOptions) (*Link, error) {
	if r.record.Kind == RoomConnection {
		return nil, ErrConnectionRoom
	}
	if r.plain() {
		return nil, ErrPlainRoom
	}
	if err := r.forgetLinks(c.cfg.Clock.Now()); err != nil {
		return nil, err
	}
	if len(r.linksOf(own.Account)) >= c.cfg.Limits.Links {
		return nil, ErrTooManyLinks
	}
	l, err := c.offerLink(ctx, r, own, opts)
	if err != nil {
		return nil, err
	}
	if err := r.putLink(l.key(), l); err != nil {
		return nil, err
	}
	return l, c.saveNow(ctx, r)
}

// offerLink makes a link and its hub know it. Nothing here remembers it.
func (c *Client) offerLink(ctx context.Context, r *room, own *Leaf, opts LinkOptions) (*Link, error) {
	tbs, ok := r.public().Leaf(mls.LeafIndex(own.Index))
	if !ok {
		return nil, ErrNotMember
	}
	if !r.public().State().Holds(tbs.UserPseudonym, rules.CanAddParticipant) {
		return nil, ErrDenied
	}
	if len(mmr.Leaving(r.proposed())) > 0 {
		return nil, &errAgain{removal: true} // it would die with it
	}
	live, err := r.ring.Live(r.public().Table(), r.public().Metadata())
	if err != nil {
		return nil, err
	}
	l, err := c.newLink(own.Account, r.uri(), opts)
	if err != nil {
		return nil, err
	}
	bundle, err := l.link.Seal(r.suite, live, c.cfg.Random)
	if err != nil {
		return nil, err
	}
	encoded, err := mls.Marshal(bundle)
	if err != nil {
		return nil, err
	}
	return l, c.registerCode(ctx, r, own.Index, &protocol.JoinCodeRegistration{
		CodeHash: protocol.HashJoiningCode(l.link.Code.Bytes()), Bundle: encoded, NotAfter: l.NotAfter, Uses: l.Uses,
	})
}

// registerCode tells the hub of a room about a joining code, in the name of an own
// leaf.
func (c *Client) registerCode(ctx context.Context, r *room, leaf uint32, registration *protocol.JoinCodeRegistration) error {
	key, ok := r.group.SignatureKey(mls.LeafIndex(leaf))
	if !ok {
		return ErrNotMember
	}
	registration.Room = r.uri()
	if err := registration.Sign(r.suite, key); err != nil {
		return err
	}
	call, cancel := c.call(ctx)
	defer cancel()
	err := c.cfg.Hub.JoinCode(call, registration)
	if err == nil {
		return nil
	}
	if verdict := hubVerdict(err); verdict != nil {
		return fmt.Errorf("client: register a joining code: %w", verdict)
	}
	return unreachable(err)
}

// linksOf returns the links of an account in the order of their making.
func (r *room) linksOf(account mimi.URI) []*Link {
	var out []*Link
	for _, l := range r.links {
		if l.Account == account {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b *Link) int {
		if d := a.Made.Compare(b.Made); d != 0 {
			return d
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out
}

// forgetLinks drops the links that have expired.
func (r *room) forgetLinks(now time.Time) error {
	for key, l := range r.links {
		if now.After(l.NotAfter) {
			if err := r.putLink(key, nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// Links returns the join links of an account to a room that have not expired and not
// died, oldest first. Whether all their uses are spent is known to the hub alone.
func (c *Client) Links(ctx context.Context, account, uri mimi.URI) (links []*Link, err error) {
	err = c.withRoom(ctx, uri, func(r *room) error {
		if _, err := r.speaker(account); err != nil {
			return err
		}
		if err := r.forgetLinks(c.cfg.Clock.Now()); err != nil {
			return err
		}
		for _, l := range r.linksOf(account) {
			shown := *l
			links = append(links, &shown)
		}
		return c.saveNow(ctx, r)
	})
	return links, err
}

// RevokeLink withdraws a link of an account, by its ID, at the hub and here. It fails
// with [ErrNoLink], and with [ErrLinkStays] if the hub does not withdraw links: then
// the link goes on working until it expires or dies.
func (c *Client) RevokeLink(ctx context.Context, account, uri mimi.URI, id string) error {
	return c.attempt(ctx, uri, account, func(r *room, own *Leaf) error {
		i := slices.IndexFunc(r.linksOf(account), func(l *Link) bool { return strings.EqualFold(l.ID, id) })
		if i < 0 {
			return ErrNoLink
		}
		l := r.linksOf(account)[i]
		err := c.registerCode(ctx, r, own.Index, protocol.Withdrawal(protocol.HashJoiningCode(l.link.Code.Bytes())))
		if errors.Is(err, ErrDenied) {
			return fmt.Errorf("%w: %w", ErrLinkStays, err)
		} else if err != nil {
			return err
		}
		if err := r.putLink(l.key(), nil); err != nil {
			return err
		}
		return c.saveNow(ctx, r)
	})
}

// linksDie drops all links of a room whose wrapper key has rotated, and tells their
// makers, if they are still there.
func (c *Client) linksDie(ctx context.Context, r *room, at time.Time, t *told) error {
	told := map[mimi.URI]bool{}
	for key, l := range r.links {
		own, there := r.own[l.Account]
		expired := at.After(l.NotAfter)
		if err := r.putLink(key, nil); err != nil {
			return err
		}
		if !there || own.State != LeafJoined || told[l.Account] || expired {
			continue
		}
		told[l.Account] = true
		if err := c.tell(ctx, t, &Event{
			Kind: EventAlert, Time: at, Account: l.Account, Room: r.uri(), Name: r.shown().Name, Reason: ReasonLinkDied,
		}); err != nil {
			return err
		}
	}
	return nil
}
