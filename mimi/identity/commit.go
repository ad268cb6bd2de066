package identity

import (
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// The ways in which a Commit breaks the profile's rules about link keys
// (docs/mmr-profile.md, sections 3 and 6). Hub and members refuse it.
var (
	// ErrAddAAD reports an AddAAD with the wrong number of entries, or one where
	// none may be.
	ErrAddAAD = errors.New("identity: AddAAD does not fit the Commit")
	// ErrEntryRequired reports an absent link key where the policy requires one.
	ErrEntryRequired = errors.New("identity: the room's policy requires a link key")
	// ErrEntryForbidden reports a link key in a room whose policy forbids them.
	ErrEntryForbidden = errors.New("identity: the room's policy forbids link keys")
	// ErrNotNewest reports a new entry, metadata or join PSK of another generation
	// than the newest.
	ErrNotNewest = errors.New("identity: not the newest generation of the wrapper key")
	// ErrRotation reports a removing Commit that does more than remove, or one
	// that leaves out what follows a rotation.
	ErrRotation = errors.New("identity: Commit mixes a removal with something that needs its new key")
	// ErrJoinerMetadata reports an external Commit that says something about the
	// room, which its sender has not yet seen.
	ErrJoinerMetadata = errors.New("identity: a joiner updates the room metadata")
	// ErrGenerations reports a removing Commit after which more than
	// [MaxGenerations] generations of the wrapper key would be live.
	ErrGenerations = errors.New("identity: too many generations of the wrapper key are live")
	// ErrAddForbidden reports an Add in a room that is entered by external Commit
	// alone.
	ErrAddForbidden = errors.New("identity: the room's policy forbids Adds")
)

// CommitFacts is what the rules about link keys have to know of a Commit. All of
// it is visible to the hub.
type CommitFacts struct {
	// Policy of the room before the Commit.
	Policy MinimalMetadataPolicy
	// Newest generation before the Commit.
	Newest Generation
	// AddedAdmins has one element per Add, in the Commit's order: whether the
	// added leaf's user is an admin in the epoch that the Commit begins.
	AddedAdmins []bool
	// OwnAdmin says the same of the committer.
	OwnAdmin bool
	// External says that the committer joins by this Commit.
	External bool
	// Removes says that the Commit removes a leaf: by Remove, SelfRemove or, if
	// it is external too, as a resync.
	Removes bool
	// HasPath says that the Commit has an UpdatePath.
	HasPath bool
	// ChangesCredential says that the committer, a member before, has another
	// credential after the Commit.
	ChangesCredential bool
	// Metadata is the generation of the encrypted room metadata before the
	// Commit, or nil if there is none.
	Metadata *Generation
	// NewMetadata is the generation of the metadata that the Commit sets, or nil
	// if it sets none.
	NewMetadata *Generation
	// JoinPSKs are the psk_ids of the external PSKs that the Commit refers to.
	JoinPSKs [][]byte
}

// NewLinkKeys are the entries that a Commit brings, checked. A nil key is
// legally absent.
type NewLinkKeys struct {
	// Added has one element per Add, in the Commit's order.
	Added []*EncryptedIdentityLinkKey
	// HasOwn says that there is an entry for the committer's own leaf: Own.
	HasOwn bool
	Own    *EncryptedIdentityLinkKey
}

// Rotates reports whether the Commit begins a new generation.
func (f *CommitFacts) Rotates() bool { return f.Removes && f.Policy.Mode == WrapperEpochRotated }

// Check applies the rules to a Commit with this AddAAD, nil if it has none, and
// returns the entries for the identity link table. Hub, committer and members
// share it. It fails with the errors that are declared beside it.
func (f *CommitFacts) Check(aad *AddAAD) (*NewLinkKeys, error) {
	if err := f.checkForm(); err != nil {
		return nil, err
	}
	if err := f.checkMetadata(); err != nil {
		return nil, err
	}
	if err := f.checkJoinPSK(); err != nil {
		return nil, err
	}
	keys, err := f.split(aad)
	if err != nil {
		return nil, err
	}
	for i, key := range keys.Added {
		if err := f.checkEntry(key, f.AddedAdmins[i]); err != nil {
			return nil, fmt.Errorf("entry of Add %d: %w", i, err)
		}
	}
	if keys.HasOwn {
		if err := f.checkEntry(keys.Own, f.OwnAdmin); err != nil {
			return nil, fmt.Errorf("own entry: %w", err)
		}
	}
	return keys, nil
}

// checkForm refuses combinations that no entry could make right.
func (f *CommitFacts) checkForm() error {
	adds := len(f.AddedAdmins) > 0
	switch {
	case adds && f.Policy.Requirement == Forbidden:
		return mimi.Refuse("add-forbidden", ErrAddForbidden)
	case adds && f.External:
		return mimi.Refuse("joiner-adds", fmt.Errorf("%w: an external Commit adds others", ErrRotation))
	case adds && f.Removes:
		return mimi.Refuse("rotation-add", fmt.Errorf("%w: Add", ErrRotation))
	case f.ChangesCredential && f.External:
		return fmt.Errorf("%w: a joiner has no credential to change", ErrAddAAD)
	case f.ChangesCredential && !f.HasPath, f.External && !f.HasPath:
		return fmt.Errorf("%w: a new leaf needs a path", ErrAddAAD)
	case f.Rotates() && f.ChangesCredential:
		return mimi.Refuse("rotation-credential", fmt.Errorf("%w: new credential", ErrRotation))
	case f.Rotates() && f.NewMetadata != nil:
		return mimi.Refuse("rotation-metadata", fmt.Errorf("%w: room metadata", ErrRotation))
	}
	return nil
}

// checkMetadata makes the first non-removing Commit of a member after a rotation
// re-encrypt the room metadata. A joiner cannot: it has not yet seen the room. And it
// must not: the room's policy lets whoever re-encrypts pass, since nobody but members
// can see whether the name is still the same.
func (f *CommitFacts) checkMetadata() error {
	if f.External && f.NewMetadata != nil {
		return mimi.Refuse("joiner-metadata", ErrJoinerMetadata)
	}
	if f.NewMetadata != nil {
		if *f.NewMetadata != f.Newest {
			return mimi.Refuse("metadata-generation", fmt.Errorf("%w: room metadata of %d, newest is %d", ErrNotNewest, *f.NewMetadata, f.Newest))
		}
		return nil
	}
	if f.Metadata != nil && *f.Metadata != f.Newest && !f.Removes && !f.External {
		return mimi.Refuse("metadata-stale", fmt.Errorf("%w: room metadata is still of generation %d", ErrRotation, *f.Metadata))
	}
	return nil
}

// checkJoinPSK wants exactly one PSK in an external Commit: the join PSK of the
// newest generation. What members refer to among themselves is their affair,
// except that the join PSK is the joiners'.
func (f *CommitFacts) checkJoinPSK() error {
	if !f.External {
		for _, id := range f.JoinPSKs {
			if _, ok := ParseJoinPSKID(id); ok {
				return mimi.Refuse("member-join-psk", fmt.Errorf("%w: a member uses the join PSK", ErrAddAAD))
			}
		}
		return nil
	}
	if len(f.JoinPSKs) != 1 {
		return mimi.Refuse("join-psk-count", fmt.Errorf("%w: an external Commit with %d PSKs, where one is needed", ErrAddAAD, len(f.JoinPSKs)))
	}
	for _, id := range f.JoinPSKs {
		g, ok := ParseJoinPSKID(id)
		if !ok {
			return mimi.Refuse("join-psk-kind", fmt.Errorf("%w: the PSK of an external Commit is no join PSK", ErrAddAAD))
		}
		if g != f.Newest {
			return mimi.Refuse("join-psk-generation", fmt.Errorf("%w: join PSK of %d, newest is %d", ErrNotNewest, g, f.Newest))
		}
	}
	return nil
}

// split assigns the entries: one per Add, then perhaps the committer's own,
// which is required of joiners and for a new credential, and allowed in any
// other non-removing Commit with a path.
func (f *CommitFacts) split(aad *AddAAD) (*NewLinkKeys, error) {
	var entries []*EncryptedIdentityLinkKey
	if aad != nil {
		if entries = aad.Keys; len(entries) == 0 {
			return nil, mimi.Refuse("add-aad-empty", fmt.Errorf("%w: an empty one is left out", ErrAddAAD))
		}
	}
	adds := len(f.AddedAdmins)
	required := f.External || f.ChangesCredential
	allowed := required || f.HasPath && !f.Removes
	switch own := len(entries) - adds; {
	case own < 0 || own > 1:
		return nil, mimi.Refuse("entry-count", fmt.Errorf("%w: %d entries for %d Adds", ErrAddAAD, len(entries), adds))
	case own == 0 && required:
		return nil, mimi.Refuse("own-entry-missing", fmt.Errorf("%w: the committer's own entry is required", ErrAddAAD))
	case own == 1 && !allowed:
		return nil, mimi.Refuse("own-entry-forbidden", fmt.Errorf("%w: the committer's own entry is not allowed", ErrAddAAD))
	case own == 0:
		return &NewLinkKeys{Added: entries}, nil
	}
	return &NewLinkKeys{Added: entries[:adds], HasOwn: true, Own: entries[adds]}, nil
}

func (f *CommitFacts) checkEntry(key *EncryptedIdentityLinkKey, admin bool) error {
	if key == nil {
		if f.Policy.RequiresEntry(admin) {
			return mimi.Refuse("entry-required", ErrEntryRequired)
		}
		return nil
	}
	if f.Policy.Requirement == Forbidden {
		return mimi.Refuse("entry-forbidden", ErrEntryForbidden)
	}
	if key.Generation != f.Newest {
		return mimi.Refuse("entry-generation", fmt.Errorf("%w: %d, newest is %d", ErrNotNewest, key.Generation, f.Newest))
	}
	return nil
}

// RequiresEntry reports whether a leaf must have an entry in the table; admin
// says whether its user's role is admin.
func (p *MinimalMetadataPolicy) RequiresEntry(admin bool) bool {
	return p.Requirement == RequireAll || p.Requirement == RequireAdmins && admin
}
