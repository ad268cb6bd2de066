package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// rowUntold is the row of a room with the Adds of accounts here of which they do not
// know that they were accepted.
const rowUntold = "client/untold"

// untoldFor is how long it is remembered that an account does not know of its Add. Who
// asks for it again later is told that the person is there.
const untoldFor = time.Hour

// An untold is an Add whose answer was lost, after which its account was told that it had
// failed, and which was accepted all the same. The first time that the account asks for
// it again is no mistake of its user, and a success.
//
//	struct {
//	    IdentifierUri account;
//	    IdentifierUri user_pseudonym;     /* of who was added */
//	    uint64 since;                     /* milliseconds */
//	} untold;
type untold struct {
	account, pseudonym mimi.URI
	since              time.Time
}

// Wire implements [wire.Message].
func (u *untold) Wire(c *wire.Codec) {
	u.account.Wire(c)
	u.pseudonym.Wire(c)
	wireTime(c, &u.since)
}

// untolds is untold adds<V>.
type untolds []untold

// Wire implements [wire.Message].
func (l *untolds) Wire(c *wire.Codec) {
	wire.Vector(c, (*[]untold)(l), func(c *wire.Codec, u *untold) { u.Wire(c) })
}

// setUntold says which Adds are untold, and notes the row of it.
func (r *room) setUntold(all untolds) error {
	row := mls.Row{Key: rowUntold}
	if len(all) > 0 {
		var err error
		if row.Value, err = wire.Marshal(&all); err != nil {
			return err
		}
	}
	r.untold, r.rows = all, append(r.rows, row)
	return nil
}

// readUntold reads the row of untold Adds.
func (r *room) readUntold(row mls.Row) error {
	if err := wire.Unmarshal(row.Value, &r.untold); err != nil {
		return fmt.Errorf("row %s: %w", row.Key, err)
	}
	return nil
}

// noteUntold notes whom a Commit of an own leaf has added, unless its account waits for
// the answer to it, and forgets what was noted long ago.
func (r *room) noteUntold(result *mls.CommitResult, now time.Time) error {
	own, ok := r.ownAt(result.Committer)
	if r.awaited || result.External || !ok || len(result.Added) == 0 {
		return nil
	}
	all := slices.DeleteFunc(slices.Clone(r.untold), func(u untold) bool { return now.Sub(u.since) >= untoldFor })
	for _, a := range result.Added {
		if tbs, ok := r.public().Leaf(a.Index); ok {
			all = append(all, untold{own.Account, tbs.UserPseudonym, now})
		}
	}
	return r.setUntold(all)
}

// errAdded reports that an Add of the same account, whose answer was lost, has brought
// somebody in. To who asks for it again it is a success.
var errAdded = errors.New("client: added by a commit whose answer was lost")

// notThere fails if a person is in a room that an account adds them to: with errAdded if
// it has done so itself and does not know, and else with [ErrAlreadyMember].
func (c *Client) notThere(ctx context.Context, r *room, account, user mimi.URI) error {
	m, ok := r.memberOf(user)
	if !ok {
		return nil
	}
	now, told := c.cfg.Clock.Now(), false
	left := slices.DeleteFunc(slices.Clone(r.untold), func(u untold) bool {
		mine := u.account == account && u.pseudonym == m.UserPseudonym
		told = told || mine && now.Sub(u.since) < untoldFor
		return mine
	})
	if !told {
		return ErrAlreadyMember
	}
	if err := r.setUntold(left); err != nil {
		return err
	}
	if err := c.saveNow(ctx, r); err != nil {
		return err
	}
	return errAdded
}
