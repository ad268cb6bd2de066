package mapping

import (
	"cmp"
	"context"
	"slices"

	"go.mau.fi/util/dbutil"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

const memberColumns = `room, leaf_index, user_pseudonym, client_pseudonym, user_uri, client_uri, not_after, committed_by`

// PutMember implements [client.Members].
func (c *Client) PutMember(ctx context.Context, member *client.Member) error {
	return c.t.exec(ctx, "write member", `
		INSERT INTO mimi_member (`+memberColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (room, leaf_index) DO UPDATE
		SET user_pseudonym = excluded.user_pseudonym, client_pseudonym = excluded.client_pseudonym,
			user_uri = excluded.user_uri, client_uri = excluded.client_uri,
			not_after = excluded.not_after, committed_by = excluded.committed_by`,
		member.Room.String(), member.Index, member.UserPseudonym.String(), member.ClientPseudonym.String(),
		member.User.String(), member.Client.String(), member.NotAfter.UnixMilli(), member.CommittedBy)
}

// Members implements [client.Members].
func (c *Client) Members(ctx context.Context, room mimi.URI) ([]*client.Member, error) {
	rows, err := c.t.db.Query(ctx,
		`SELECT `+memberColumns+` FROM mimi_member WHERE room = $1 ORDER BY leaf_index`, room.String())
	return list("read members", scanMember, rows, err)
}

// MembersBehind implements [client.Members].
func (c *Client) MembersBehind(ctx context.Context, user, device mimi.URI) ([]*client.Member, error) {
	rows, err := c.t.db.Query(ctx,
		`SELECT `+memberColumns+` FROM mimi_member WHERE user_pseudonym = $1 OR client_pseudonym = $2`,
		user.String(), device.String())
	found, err := list("read members by pseudonym", scanMember, rows, err)
	// They are few; the two indices that find them have another order.
	slices.SortFunc(found, func(a, b *client.Member) int {
		return cmp.Or(cmp.Compare(a.Room.String(), b.Room.String()), cmp.Compare(a.Index, b.Index))
	})
	return found, err
}

// DeleteMember implements [client.Members].
func (c *Client) DeleteMember(ctx context.Context, room mimi.URI, index uint32) error {
	return c.t.exec(ctx, "delete member",
		`DELETE FROM mimi_member WHERE room = $1 AND leaf_index = $2`, room.String(), index)
}

func scanMember(row dbutil.Scannable) (*client.Member, error) {
	var m client.Member
	err := row.Scan(uriColumn{&m.Room}, &m.Index, uriColumn{&m.UserPseudonym}, uriColumn{&m.ClientPseudonym},
		uriColumn{&m.User}, uriColumn{&m.Client}, timeColumn{&m.NotAfter}, &m.CommittedBy)
	return &m, err
}
