package identity

import (
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// The ways in which what a GroupInfo says about a room's keys is refused.
var (
	// ErrLinkState reports a GroupInfo without identity_link_state, or one that
	// does not fit what came with it.
	ErrLinkState = errors.New("identity: identity_link_state does not fit")
	// ErrLeakedKeys reports a public GroupInfo with the component that may stand
	// inside a Welcome alone. A hub refuses it; a client that receives one
	// reports it and drops it (docs/mmr-profile.md, section 3).
	ErrLeakedKeys = errors.New("identity: wrapper keys in a public GroupInfo")
)

// An IdentityLinkState stands in every GroupInfo and binds the table and the
// newest wrapper key to it (docs/mmr-profile.md, section 3).
//
//	struct {
//	    uint64 newest_generation;
//	    opaque newest_key_commitment<V>;
//	    opaque table_hash<V>;
//	} IdentityLinkState;
type IdentityLinkState struct {
	NewestGeneration    Generation
	NewestKeyCommitment []byte
	TableHash           []byte
}

// Wire codes the structure and refuses other sizes with [ErrLinkState].
func (x *IdentityLinkState) Wire(c *wire.Codec) {
	wire.Uint64(c, &x.NewestGeneration)
	wire.Opaque(c, &x.NewestKeyCommitment)
	wire.Opaque(c, &x.TableHash)
	if len(x.NewestKeyCommitment) != linkHash || len(x.TableHash) != linkHash {
		c.Fail(fmt.Errorf("%w: hashes of %d and %d octets", ErrLinkState, len(x.NewestKeyCommitment), len(x.TableHash)))
	}
}

// NewLinkState makes the state of a table and the newest wrapper key.
func NewLinkState(s *suite.Suite, table *IdentityLinkTable, newest WrapperKey) (*IdentityLinkState, error) {
	commitment, err := newest.Commitment(s, table.GroupID)
	if err != nil {
		return nil, err
	}
	hash, err := table.Hash(s)
	if err != nil {
		return nil, err
	}
	return &IdentityLinkState{newest.Generation, commitment, hash}, nil
}

// CheckTable fails with [ErrLinkState] unless the state is of this table: what a
// hub can check.
func (x *IdentityLinkState) CheckTable(s *suite.Suite, table *IdentityLinkTable) error {
	hash, err := table.Hash(s)
	if err != nil {
		return err
	}
	if !bytes.Equal(hash, x.TableHash) {
		return mimi.Refuse("link-state-table", fmt.Errorf("%w: hash of another table", ErrLinkState))
	}
	return nil
}

// CheckKey fails with [ErrLinkState] unless newest is the key that the state
// commits to in this group. A joiner asks before it opens or sends anything.
func (x *IdentityLinkState) CheckKey(s *suite.Suite, groupID []byte, newest WrapperKey) error {
	if newest.Generation != x.NewestGeneration {
		return mimi.Refuse("link-state-generation", fmt.Errorf("%w: newest generation is %d, we have %d", ErrLinkState, x.NewestGeneration, newest.Generation))
	}
	commitment, err := newest.Commitment(s, groupID)
	if err != nil {
		return err
	}
	if subtle.ConstantTimeCompare(commitment, x.NewestKeyCommitment) != 1 {
		return mimi.Refuse("link-state-key", fmt.Errorf("%w: another key of generation %d", ErrLinkState, newest.Generation))
	}
	return nil
}

// LinkStateFrom returns the identity_link_state of a public GroupInfo with these
// extensions. It fails with [ErrLeakedKeys] if wrapper keys stand there too, and
// with [ErrLinkState] if there is no state.
func LinkStateFrom(groupInfo mls.Extensions) (*IdentityLinkState, error) {
	d, err := groupInfo.AppDataDictionary()
	if err != nil {
		return nil, err
	}
	if _, leaked := d.Get(ComponentWrapperKeys); leaked {
		return nil, mimi.Refuse("wrapper-keys-public", ErrLeakedKeys)
	}
	return linkState(d)
}

func linkState(d mls.AppDataDictionary) (*IdentityLinkState, error) {
	data, ok := d.Get(ComponentLinkState)
	if !ok {
		return nil, mimi.Refuse("link-state-missing", fmt.Errorf("%w: the GroupInfo has none", ErrLinkState))
	}
	var x IdentityLinkState
	if err := wire.Unmarshal(data, &x); err != nil {
		return nil, fmt.Errorf("component identity_link_state: %w", err)
	}
	return &x, nil
}

// PublicComponents returns what the profile puts into the public GroupInfo.
func (x *IdentityLinkState) PublicComponents() (mls.AppDataDictionary, error) {
	state, err := component(ComponentLinkState, x)
	return mls.AppDataDictionary{state}, err
}

// WelcomeKeys is IdentityLinkWrapperKeys: all that a new member needs for opening
// the links of a room (docs/mmr-profile.md, section 3). It has no exported
// encoding, so that it cannot be put anywhere but into a [WelcomeComponents].
//
//	struct {
//	    WrapperKey keys<V>;   /* live keys, ascending */
//	    IdentityLinkTable table;
//	} IdentityLinkWrapperKeys;
type WelcomeKeys struct {
	Keys  []WrapperKey
	Table *IdentityLinkTable
}

// Format shows no key, whatever the verb.
func (WelcomeKeys) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

type welcomeKeys struct {
	keys  wrapperKeys
	table IdentityLinkTable
}

func (w *welcomeKeys) Wire(c *wire.Codec) {
	w.keys.Wire(c)
	w.table.Wire(c)
}

// WelcomeComponents is the app_data_dictionary of the GroupInfo inside a
// Welcome. It is a type of its own so that it cannot take the place of the
// public one's: whoever builds a Welcome asks for this type.
type WelcomeComponents struct{ dictionary mls.AppDataDictionary }

// Dictionary returns the components. The caller encrypts them in a Welcome and
// does nothing else with them.
func (w WelcomeComponents) Dictionary() mls.AppDataDictionary { return w.dictionary }

// Format shows no key, whatever the verb.
func (WelcomeComponents) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte("[redacted]")) }

// ForWelcome returns the components of the GroupInfo inside the Welcome of a
// Commit: keys, table, and the state that the public GroupInfo has as well. It
// fails with [ErrKeys] if the keys are not ascending or too many.
func (w WelcomeKeys) ForWelcome(s *suite.Suite) (WelcomeComponents, error) {
	if len(w.Keys) == 0 || w.Table == nil {
		return WelcomeComponents{}, fmt.Errorf("%w: a Welcome needs keys and a table", ErrKeys)
	}
	state, err := NewLinkState(s, w.Table, w.Keys[len(w.Keys)-1])
	if err != nil {
		return WelcomeComponents{}, err
	}
	d, err := state.PublicComponents()
	if err != nil {
		return WelcomeComponents{}, err
	}
	keys, err := component(ComponentWrapperKeys, &welcomeKeys{w.Keys, *w.Table})
	if err != nil {
		return WelcomeComponents{}, err
	}
	return WelcomeComponents{d.With(keys.ID, keys.Data)}, nil
}

// KeysFromWelcome reads and checks what came inside a Welcome: state, keys, and
// the table for the group's leaves, ascending (docs/mmr-profile.md, section 3:
// a joiner checks hash, generation and key commitment before it opens or sends
// anything). It fails with [ErrLinkState], [ErrTable] or [ErrKeys].
func KeysFromWelcome(s *suite.Suite, groupInfo mls.Extensions, groupID []byte, epoch uint64, leaves []mls.LeafIndex) (*WelcomeKeys, error) {
	d, err := groupInfo.AppDataDictionary()
	if err != nil {
		return nil, err
	}
	state, err := linkState(d)
	if err != nil {
		return nil, err
	}
	data, ok := d.Get(ComponentWrapperKeys)
	if !ok {
		return nil, mimi.Refuse("welcome-keys-missing", fmt.Errorf("%w: the Welcome brings none", ErrKeys))
	}
	var w welcomeKeys
	if err := wire.Unmarshal(data, &w); err != nil {
		return nil, fmt.Errorf("component identity_link_wrapper_keys: %w", err)
	}
	if err := w.table.CheckLeaves(groupID, epoch, leaves); err != nil {
		return nil, err
	}
	if err := state.CheckTable(s, &w.table); err != nil {
		return nil, err
	}
	if err := state.CheckKey(s, groupID, w.keys[len(w.keys)-1]); err != nil {
		return nil, err
	}
	return &WelcomeKeys{w.keys, &w.table}, nil
}
