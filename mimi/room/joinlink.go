package room

import (
	"fmt"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// JoinLinkPolicy is the component join_link_policy, and its own update
// (draft-ietf-mimi-room-policy-03, section 6.2).
type JoinLinkPolicy struct {
	// OnRequest rooms keep at most one link; others are asked for at Link.
	OnRequest bool
	// Link is where a client asks for a link, or empty.
	Link string
	// MultiUser links serve several users.
	MultiUser bool
	// Expiration of a new link, in seconds after its creation.
	Expiration uint32
}

// Wire codes the policy as
//
//	struct {
//	  bool on_request;
//	  Uri join_link;
//	  bool multiuser;
//	  uint32 expiration;
//	} JoinLinkPolicy;
func (p *JoinLinkPolicy) Wire(c *wire.Codec) {
	boolean(c, &p.OnRequest)
	optionalURI(c, &p.Link)
	boolean(c, &p.MultiUser)
	wire.Uint32(c, &p.Expiration)
}

// JoinLinks is the component join_links: the active links of a room
// (draft-ietf-mimi-room-policy-03, section 6.2). The profile of this project does
// not use it: a link there is a secret that the hub must not see.
type JoinLinks struct {
	Links [][]byte
}

// Wire codes the list as
//
//	struct {
//	  opaque join_link<V>;
//	} JoinLink;
//
//	JoinLink JoinLinksData<V>;
func (l *JoinLinks) Wire(c *wire.Codec) {
	joinLinks(c, &l.Links)
}

func joinLinks(c *wire.Codec, v *[][]byte) {
	wire.Vector(c, v, func(c *wire.Codec, link *[]byte) {
		octets(c, link, MaxURI)
		if len(*link) == 0 {
			c.Fail(fmt.Errorf("%w: join link", ErrText))
		}
	})
	check(c, atMost("join links", *v, MaxList), distinct("join link", *v, func(b *[]byte) string { return string(*b) }))
}

// JoinLinksUpdate is the update of join_links.
type JoinLinksUpdate struct {
	// Removed are positions in the list of the current epoch.
	Removed []uint32
	// Added are appended.
	Added [][]byte
}

// Wire codes the update as
//
//	struct {
//	  uint32 removedIndices<V>;
//	  JoinLink added_links<V>;
//	} JoinLinksUpdate;
func (u *JoinLinksUpdate) Wire(c *wire.Codec) {
	uint32s(c, &u.Removed)
	joinLinks(c, &u.Added)
	check(c, atMost("removals", u.Removed, MaxList))
}

// Apply returns the list after the updates of one commit: first all removals,
// whose positions are those of l, then the additions in order. l is not modified.
func (l *JoinLinks) Apply(updates ...JoinLinksUpdate) (JoinLinks, error) {
	removed := map[uint32]bool{}
	for _, u := range updates {
		for _, i := range u.Removed {
			switch {
			case int64(i) >= int64(len(l.Links)):
				return JoinLinks{}, fmt.Errorf("%w: join link %d of %d", ErrIndex, i, len(l.Links))
			case removed[i]:
				return JoinLinks{}, fmt.Errorf("%w: removal of join link %d", ErrDuplicate, i)
			}
			removed[i] = true
		}
	}
	var next JoinLinks
	for i, link := range l.Links {
		if !removed[uint32(i)] {
			next.Links = append(next.Links, link)
		}
	}
	for _, u := range updates {
		for _, link := range u.Added {
			if slices.ContainsFunc(next.Links, func(b []byte) bool { return string(b) == string(link) }) {
				return JoinLinks{}, fmt.Errorf("%w: added join link", ErrDuplicate)
			}
			next.Links = append(next.Links, link)
		}
	}
	return next, atMost("join links", next.Links, MaxList)
}
