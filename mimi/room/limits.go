package room

import (
	"fmt"
	"maps"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// checkLimits compares the room after a change with the room before it. A limit
// refuses the change that breaks it, or that makes matters worse in a room where
// it is broken already; otherwise nobody could ever leave such a room.
func (s *State) checkLimits(old *State) error {
	if err := s.checkMembership(old); err != nil {
		return err
	}
	if err := checkMax(ErrMaxUsers, s.base.MaxUsers, old.base.MaxUsers, s.users(), old.users()); err != nil {
		return err
	}
	if err := checkMax(ErrMaxClients, s.base.MaxClients, old.base.MaxClients, s.total, old.total); err != nil {
		return err
	}
	if !s.base.MultiDevice {
		for i, p := range s.participants.Participants {
			if n := s.clients[p.User]; n > 1 && (n > old.clients[p.User] || old.base.MultiDevice) {
				return fmt.Errorf("%w: participant %d would have %d", ErrSingleDevice, i, n)
			}
		}
	}
	return s.checkRoleLimits(old)
}

// checkMembership keeps the participants of a fixed-membership room, banned or
// not, as they are (draft-ietf-mimi-room-policy-03, section 5).
func (s *State) checkMembership(old *State) error {
	if !s.base.FixedMembership || !old.base.FixedMembership {
		return nil
	}
	same := len(s.roleOf) == len(old.roleOf)
	for user := range s.roleOf {
		_, was := old.roleOf[user]
		same = same && was
	}
	if !same {
		return ErrFixedMembership
	}
	return nil
}

// checkMax applies a maximum to a count. A change that introduces or lowers the
// maximum must respect it, too.
func checkMax(err error, limit, oldLimit *uint32, n, before int) error {
	if limit == nil || int64(n) <= int64(*limit) {
		return nil
	}
	if n <= before && oldLimit != nil && *oldLimit <= *limit {
		return nil
	}
	return fmt.Errorf("%w: %d, at most %d", err, n, *limit)
}

// users counts the participants who are not banned.
func (s *State) users() int {
	n := 0
	for _, p := range s.participants.Participants {
		if !s.roles.Banned(p.Role) {
			n++
		}
	}
	return n
}

// population counts, per role, participants and those of them who have clients.
type population struct{ all, active map[uint32]int }

func (s *State) population() population {
	p := population{map[uint32]int{}, map[uint32]int{}}
	for _, participant := range s.participants.Participants {
		p.all[participant.Role]++
		if s.clients[participant.User] > 0 {
			p.active[participant.Role]++
		}
	}
	return p
}

// checkRoleLimits applies the constraints of each role whose population changes:
// its maxima if it grows, its minima if it shrinks
// (draft-ietf-mimi-room-policy-03, section 8.1). The whole change counts, not each
// of its actions: replacing the only holder of a role in one commit is fine.
func (s *State) checkRoleLimits(old *State) error {
	now, before := s.population(), old.population()
	indexes := slices.Collect(maps.Keys(now.all))
	for index := range before.all {
		if now.all[index] == 0 {
			indexes = append(indexes, index)
		}
	}
	slices.Sort(indexes)
	for _, index := range indexes {
		r := s.roles.Role(index)
		if r == nil {
			continue // its last holder and its definition cannot leave in one commit
		}
		for _, c := range []struct {
			now, before     int
			minimum         uint32
			maximum         *uint32
			tooFew, tooMany error
		}{
			{now.all[index], before.all[index], r.MinParticipants, r.MaxParticipants, ErrMinParticipants, ErrMaxParticipants},
			{now.active[index], before.active[index], r.MinActive, r.MaxActive, ErrMinActive, ErrMaxActive},
		} {
			switch {
			case c.now < c.before && int64(c.now) < int64(c.minimum):
				return fmt.Errorf("%w: role %d would have %d, at least %d", c.tooFew, index, c.now, c.minimum)
			case c.now > c.before && c.maximum != nil && int64(c.now) > int64(*c.maximum):
				return fmt.Errorf("%w: role %d would have %d, at most %d", c.tooMany, index, c.now, *c.maximum)
			}
		}
	}
	return nil
}

// Active reports whether a user takes part with at least one client.
func (s *State) Active(user mimi.URI) bool { return s.clients[user] > 0 }
