package keymaterial

import (
	"fmt"
	"io"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A Slot is one client of the user for whom a set is made.
type Slot struct {
	// Number tells the clients of the user apart; see [Row].
	Number uint32
	Client identity.ClientSigner
	// Queue is where messages for the leaf go.
	Queue identity.QueueID
}

// SetConfig is what [NewSet] makes a set from.
type SetConfig struct {
	Suite *suite.Suite
	// Account is the user, of this provider, and Peer the contact that the set is
	// made for.
	Account, Peer mimi.URI
	// Keys are what the contact was given: the set is stored under Token and its
	// links open under Key.
	Key   identity.ConnectionKey
	Token identity.ConnectionToken
	// Slots are the clients, at least one.
	Slots []Slot
	// Set is the user pseudonym of a set that another client has begun, or zero to
	// begin one.
	Set mimi.URI
	// QueueKey is the provider's newest queue key.
	QueueKey   identity.ProviderKey
	LastResort bool
	Clock      mimi.Clock
	Random     io.Reader
	// Lifetime says how long a KeyPackage is valid that is made at a time, or is nil:
	// then it is [identity.KeyPackageLifetime], as for everybody.
	Lifetime func(time.Time) (notBefore, notAfter time.Time)
}

// NewSet makes KeyPackages for one contact and one room: with fresh pseudonyms
// and keys, all else the same for everybody (docs/mmr-profile.md, section 5). The
// rows are to be stored at the provider, in one transaction with the private
// parts.
func NewSet(cfg SetConfig) ([]Row, []Private, error) {
	if len(cfg.Slots) == 0 {
		return nil, nil, fmt.Errorf("%w: no client to make KeyPackages for", ErrSet)
	}
	set := cfg.Set
	var rows []Row
	var privates []Private
	for _, slot := range cfg.Slots {
		leaf, err := identity.NewLeafIdentity(identity.LeafConfig{
			Suite: cfg.Suite, Domain: cfg.Account.Domain, User: set, Client: slot.Client, ConnectionKey: &cfg.Key, Random: cfg.Random,
		})
		if err != nil {
			return nil, nil, fmt.Errorf("make a KeyPackage: %w", err)
		}
		set = leaf.TBS().UserPseudonym
		row, private, err := cfg.keyPackage(slot, leaf)
		if err != nil {
			return nil, nil, fmt.Errorf("make a KeyPackage: %w", err)
		}
		rows, privates = append(rows, *row), append(privates, *private)
	}
	return rows, privates, nil
}

// keyPackage makes the KeyPackage of one client.
func (cfg *SetConfig) keyPackage(slot Slot, leaf *identity.LeafIdentity) (*Row, *Private, error) {
	credential, err := leaf.Credential.Credential()
	if err != nil {
		return nil, nil, err
	}
	leafExtensions, err := leaf.Extensions(cfg.QueueKey, slot.Queue)
	if err != nil {
		return nil, nil, err
	}
	lifetime := cfg.Lifetime
	if lifetime == nil {
		lifetime = identity.KeyPackageLifetime
	}
	notBefore, notAfter := lifetime(cfg.Clock.Now())
	keys, err := mls.NewKeyPackage(cfg.Random, mls.KeyPackageParams{
		CipherSuite: cfg.Suite.ID(),
		Leaf: mls.LeafParams{
			Credential: credential, Capabilities: identity.Capabilities(), Extensions: leafExtensions, SignatureKey: leaf.Key,
		},
		NotBefore: uint64(notBefore.Unix()), NotAfter: uint64(notAfter.Unix()), LastResort: cfg.LastResort,
	})
	if err != nil {
		return nil, nil, err
	}
	encoded, err := wire.Marshal(&keys.KeyPackage)
	if err != nil {
		return nil, nil, err
	}
	private, err := (&PrivateKeyPackage{cfg.Account, cfg.Peer, cfg.LastResort, leaf.LinkKey, keys}).stored(notAfter)
	if err != nil {
		return nil, nil, err
	}
	return &Row{
		Token: HashToken(cfg.Token), Set: leaf.TBS().UserPseudonym, Slot: slot.Number, Suite: cfg.Suite.ID(),
		KeyPackage: encoded, LastResort: cfg.LastResort, NotAfter: notAfter,
	}, private, nil
}

// A PrivateKeyPackage is an own KeyPackage with everything that belongs to it:
// what a Welcome for it needs.
type PrivateKeyPackage struct {
	// Account is the local user whose it is, and Peer the contact for whom it was
	// made: a Welcome by somebody else is a stranger's.
	Account, Peer mimi.URI
	LastResort    bool
	LinkKey       identity.LinkKey
	Keys          *mls.KeyPackagePrivate
}

// stored returns the private part as the store keeps it.
func (p *PrivateKeyPackage) stored(notAfter time.Time) (*Private, error) {
	ref, err := p.Keys.KeyPackage.Ref()
	if err != nil {
		return nil, err
	}
	secret, err := p.Marshal()
	if err != nil {
		return nil, err
	}
	return &Private{Ref: [32]byte(ref), NotAfter: notAfter, Secret: secret}, nil
}

// privateKeyPackage is how a PrivateKeyPackage is stored.
type privateKeyPackage struct {
	account, peer mimi.URI
	lastResort    uint8
	link, keys    suite.Secret
}

func (x *privateKeyPackage) Wire(c *wire.Codec) {
	x.account.Wire(c)
	x.peer.Wire(c)
	wire.Uint8(c, &x.lastResort)
	x.link.Wire(c)
	x.keys.Wire(c)
	if x.lastResort > 1 {
		c.Fail(fmt.Errorf("stored KeyPackage: last_resort is %d", x.lastResort))
	}
}

// Marshal returns the KeyPackage with its private keys, for storing it sealed.
func (p *PrivateKeyPackage) Marshal() ([]byte, error) {
	keys, err := p.Keys.MarshalSecret()
	if err != nil {
		return nil, fmt.Errorf("store a KeyPackage: %w", err)
	}
	defer keys.Erase()
	x := privateKeyPackage{account: p.Account, peer: p.Peer, link: p.LinkKey.Secret, keys: keys}
	if p.LastResort {
		x.lastResort = 1
	}
	return wire.Marshal(&x)
}

// UnmarshalPrivateKeyPackage reads what [PrivateKeyPackage.Marshal] wrote.
func UnmarshalPrivateKeyPackage(b []byte) (*PrivateKeyPackage, error) {
	var x privateKeyPackage
	if err := wire.Unmarshal(b, &x); err != nil {
		return nil, fmt.Errorf("stored KeyPackage: %w", err)
	}
	keys, err := mls.UnmarshalKeyPackagePrivate(x.keys)
	if err != nil {
		return nil, fmt.Errorf("stored KeyPackage: %w", err)
	}
	return &PrivateKeyPackage{x.account, x.peer, x.lastResort == 1, identity.LinkKey{Secret: x.link}, keys}, nil
}
