package room

import (
	"fmt"
	"maps"
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// Apply returns the room after a change, or says why no such change is valid,
// whoever sends it: an error that wraps [ErrInvalid] for what is malformed or
// contradicts itself, [ErrDenied] for what a limit of the room forbids. It does
// not ask who may do this: that is [Decide]. s is not modified.
func (s *State) Apply(ch Change) (*State, error) {
	next, err := s.apply(ch)
	if err != nil {
		return nil, err
	}
	if err := next.checkLimits(s); err != nil {
		return nil, err
	}
	return next, nil
}

// apply is [State.Apply] without the limits of the room.
func (s *State) apply(ch Change) (*State, error) {
	changes, err := s.collect(ch)
	if err != nil {
		return nil, err
	}
	if err := changes.checkTogether(); err != nil {
		return nil, err
	}
	next := *s
	next.data = maps.Clone(s.data)
	for _, id := range changes.order() {
		if changes.removed[id] {
			delete(next.data, id)
		} else if next.data[id], err = ApplyComponent(id, s.data[id], changes.updates[id]); err != nil {
			return nil, err
		}
		if err := next.load(id); err != nil {
			return nil, err
		}
	}
	if next.clients, err = s.applyClients(ch); err != nil {
		return nil, err
	}
	if err := next.checkLeavers(s); err != nil {
		return nil, err
	}
	if err := next.finish(); err != nil {
		return nil, err
	}
	if ch.Committer != (mimi.URI{}) && next.clients[ch.Committer] == 0 {
		return nil, ErrCommitterLeaves
	}
	return &next, nil
}

// componentChanges are the component operations of one change.
type componentChanges struct {
	updates map[ComponentID][][]byte
	removed map[ComponentID]bool
	list    []ParticipantListUpdate
}

// collect sorts the component operations of a change, and checks what
// draft-ietf-mls-extensions-09, section 4.7, asks of a list of them.
func (s *State) collect(ch Change) (*componentChanges, error) {
	c := &componentChanges{updates: map[ComponentID][][]byte{}, removed: map[ComponentID]bool{}}
	for i, a := range ch.Actions {
		var err error
		switch op := a.Operation.(type) {
		case UpdateComponent:
			err = c.update(op)
		case RemoveComponent:
			err = c.remove(s, op.ID)
		case AddClient, RemoveClient, ReInit, DestroyRoom:
		default:
			err = ErrOperation
		}
		if err != nil {
			return nil, &ActionError{i, a.Actor.User, err}
		}
	}
	return c, nil
}

func (c *componentChanges) update(op UpdateComponent) error {
	if _, ok := components[op.ID]; !ok {
		return fmt.Errorf("%w: %v", ErrUnknownComponent, op.ID)
	}
	if c.removed[op.ID] {
		return fmt.Errorf("%w: update and removal of %v", ErrUpdateConflict, op.ID)
	}
	if op.ID == ComponentParticipantList {
		u, err := Decode[ParticipantListUpdate](op.Data)
		if err != nil {
			return err
		}
		c.list = append(c.list, u)
	}
	c.updates[op.ID] = append(c.updates[op.ID], op.Data)
	return nil
}

func (c *componentChanges) remove(s *State, id ComponentID) error {
	comp, ok := components[id]
	switch _, present := s.data[id]; {
	case !ok || !present:
		return fmt.Errorf("%w: removal of %v", ErrUnknownComponent, id)
	case comp.stays:
		return fmt.Errorf("%w: removal of %v", ErrMissingComponent, id)
	case c.removed[id] || c.updates[id] != nil:
		return fmt.Errorf("%w: removal of %v", ErrUpdateConflict, id)
	}
	c.removed[id] = true
	return nil
}

// checkTogether refuses components that must not change in one commit
// (draft-ietf-mimi-room-policy-03, sections 3 and 4).
func (c *componentChanges) checkTogether() error {
	if c.changes(ComponentRolesList) && c.changes(ComponentParticipantList) {
		return ErrRolesWithParticipants
	}
	if !c.changes(ComponentPreauthList) {
		return nil
	}
	for _, u := range c.list {
		if len(u.Changed) > 0 || len(u.Added) > 0 {
			return ErrPreauthWithParticipants
		}
	}
	return nil
}

func (c *componentChanges) changes(id ComponentID) bool { return c.removed[id] || c.updates[id] != nil }

// order returns the changed components, ascending, so that the error for a given
// change is always the same.
func (c *componentChanges) order() []ComponentID {
	ids := slices.Collect(maps.Keys(c.updates))
	for id := range c.removed {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// applyClients counts the clients after a change.
func (s *State) applyClients(ch Change) (map[mimi.URI]int, error) {
	next := maps.Clone(s.clients)
	removed := map[mimi.URI]int{}
	for i, a := range ch.Actions {
		switch op := a.Operation.(type) {
		case AddClient:
			next[op.User]++
		case RemoveClient:
			// Only clients of the epoch can be removed, not those being added.
			if removed[op.User]++; removed[op.User] > s.clients[op.User] {
				return nil, &ActionError{i, a.Actor.User, ErrNoClient}
			}
			next[op.User]--
		}
	}
	maps.DeleteFunc(next, func(_ mimi.URI, n int) bool { return n == 0 })
	return next, nil
}

// checkLeavers fails if a user leaves the participant list while a client stays
// (draft-ietf-mimi-room-policy-03, section 8.1.2).
func (s *State) checkLeavers(old *State) error {
	if len(s.clients) == 0 {
		return nil
	}
	stay := make(map[mimi.URI]bool, len(s.participants.Participants))
	for _, p := range s.participants.Participants {
		stay[p.User] = true
	}
	for i, p := range old.participants.Participants {
		if !stay[p.User] && s.clients[p.User] > 0 {
			return fmt.Errorf("%w: participant %d", ErrClientsRemain, i)
		}
	}
	return nil
}
