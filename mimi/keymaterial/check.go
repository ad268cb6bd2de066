package keymaterial

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls"
	"github.com/mimi-gateway/mimi-gateway/mimi/mls/suite"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// The ways in which a fetched set is refused by the adder (docs/mmr-profile.md,
// section 5). Beside them stand the errors of identity.ParseCredential and
// identity.OpenLink.
var (
	// ErrSet reports KeyPackages that are no set: none, of several user
	// pseudonyms, or with a pseudonym or key twice.
	ErrSet = errors.New("keymaterial: KeyPackages are not one set")
	// ErrKeyPackage reports a KeyPackage that is malformed, not signed, or of
	// another cipher suite or version than the room.
	ErrKeyPackage = errors.New("keymaterial: unusable KeyPackage")
	// ErrOtherPerson reports a set that opens to somebody else than was asked for.
	ErrOtherPerson = errors.New("keymaterial: KeyPackages are another person's")
	// ErrLifetime reports a KeyPackage that is not valid now.
	ErrLifetime = errors.New("keymaterial: KeyPackage is not valid at this time")
	// ErrPseudonymSeen reports a set that was handed out before and is not of last
	// resort: somebody replays an answer, or shares the set with another room.
	ErrPseudonymSeen = errors.New("keymaterial: KeyPackages were handed out before")
)

// A CheckConfig is what [CheckSet] needs to know.
type CheckConfig struct {
	// Suite of the room.
	Suite *suite.Suite
	// User is the person whose key material was asked for.
	User mimi.URI
	// Key is what that person gave us.
	Key identity.ConnectionKey
	// Authority is the pinned identity CA of the person's domain.
	Authority *identity.Authority
	// Pseudonyms remembers what was handed out.
	Pseudonyms Pseudonyms
	Clock      mimi.Clock
}

// A Checked is a KeyPackage of the person that was asked for.
type Checked struct {
	KeyPackage *mls.KeyPackage
	Credential *identity.PseudonymousCredential
	// Link says who is behind the credential, and LinkKey opens it: to be wrapped
	// for the room's AddAAD.
	Link       *identity.OpenedLink
	LinkKey    identity.LinkKey
	LastResort bool
}

// CheckSet makes the adder's checks of an answer: one user pseudonym; distinct
// client pseudonyms and keys; every credential opens under the derived link key
// to the expected user; lifetimes; and a pseudonym that was never seen before,
// unless the set is of last resort. Reused is how often such a set was seen
// before; it is to be shown.
func CheckSet(ctx context.Context, cfg CheckConfig, answer *protocol.KeyMaterialResponse) (set []Checked, reused uint64, err error) {
	if err := answer.Err(); err != nil {
		return nil, 0, err
	}
	if answer.User.Domain != cfg.User.Domain || len(answer.Clients) == 0 {
		return nil, 0, mimi.Refuse("set-domain", fmt.Errorf("%w: no KeyPackages of this domain", ErrSet))
	}
	seen := distinct{}
	var until time.Time
	for i := range answer.Clients {
		client := &answer.Clients[i]
		if client.Status != protocol.ClientSuccess {
			continue // a client that cannot take part; the others can
		}
		c, err := cfg.check(answer.User, client, seen)
		if err != nil {
			return nil, 0, fmt.Errorf("KeyPackage %d: %w", i, err)
		}
		if len(set) > 0 && c.LastResort != set[0].LastResort {
			return nil, 0, mimi.Refuse("set-mixed", fmt.Errorf("%w: some are of last resort", ErrSet))
		}
		set = append(set, *c)
		if end := time.Unix(int64(c.KeyPackage.LeafNode.NotAfter), 0).UTC(); end.After(until) {
			until = end
		}
	}
	if len(set) == 0 {
		return nil, 0, fmt.Errorf("%w: none is usable", ErrSet)
	}
	before, err := cfg.Pseudonyms.NotePseudonym(ctx, answer.User, until)
	if err != nil {
		return nil, 0, fmt.Errorf("check key material: %w", err)
	}
	if before > 0 && !set[0].LastResort {
		return nil, 0, mimi.Refuse("set-seen", ErrPseudonymSeen)
	}
	return set, before, nil
}

// check makes the checks of one KeyPackage.
func (cfg *CheckConfig) check(user mimi.URI, client *protocol.ClientKeyMaterial, seen distinct) (*Checked, error) {
	kp, now := client.KeyPackage, cfg.Clock.Now()
	if kp == nil || kp.Version != mls.MLS10 || kp.CipherSuite != cfg.Suite.ID() || kp.LeafNode.Source != mls.LeafNodeSourceKeyPackage {
		return nil, mimi.Refuse("key-package-form", fmt.Errorf("%w: for another suite, version or purpose", ErrKeyPackage))
	}
	if err := kp.VerifySignatures(cfg.Suite); err != nil {
		return nil, mimi.Refuse("key-package-signature", fmt.Errorf("%w: %w", ErrKeyPackage, err))
	}
	cred, err := identity.ParseCredential(cfg.Suite, kp.LeafNode.Credential, kp.LeafNode.SignatureKey)
	if err != nil {
		return nil, err
	}
	if cred.UserPseudonym != user || cred.ClientPseudonym != client.Client {
		return nil, mimi.Refuse("set-pseudonyms", fmt.Errorf("%w: pseudonyms differ from the answer's", ErrSet))
	}
	if err := seen.add(cred.ClientPseudonym.String(), string(kp.InitKey), string(kp.LeafNode.EncryptionKey), string(kp.LeafNode.SignatureKey)); err != nil {
		return nil, err
	}
	if _, err := identity.QueueFrom(kp.LeafNode.Extensions, &cred.PseudonymousCredentialTBS); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyPackage, err)
	}
	if sec := now.Unix(); sec < 0 || kp.LeafNode.NotBefore > uint64(sec) || kp.LeafNode.NotAfter < uint64(sec) || kp.LeafNode.NotAfter > mimi.LastSecond {
		return nil, mimi.Refuse("key-package-time", ErrLifetime)
	}
	key, err := identity.DeriveLinkKey(cfg.Suite, cfg.Key, &cred.PseudonymousCredentialTBS)
	if err != nil {
		return nil, err
	}
	link, err := identity.OpenLink(cfg.Suite, cred, key, cfg.Authority, identity.NewLeaf(now, now))
	if err != nil {
		return nil, err
	}
	if link.User() != cfg.User {
		return nil, mimi.Refuse("key-package-person", ErrOtherPerson)
	}
	if _, err := kp.Extensions.AppDataDictionary(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeyPackage, err)
	}
	return &Checked{kp, cred, link, key, kp.LastResort()}, nil
}

// distinct collects what may occur once in a set.
type distinct map[string]bool

func (d distinct) add(values ...string) error {
	for _, v := range values {
		if d[v] {
			return mimi.Refuse("set-twice", fmt.Errorf("%w: a pseudonym or key occurs twice", ErrSet))
		}
		d[v] = true
	}
	return nil
}
