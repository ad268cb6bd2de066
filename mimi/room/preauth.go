package room

import (
	"slices"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A Claim is one statement of a credential: in a preauthorization, one that is
// asked for; at an actor, one that its verified credential makes.
type Claim struct {
	// CredentialType is the MLS credential type that makes the claim.
	CredentialType uint16
	// ID is an X.509 OID in binary, a JWT claim name, or a CWT claim key.
	ID []byte
	// Value is compared octet by octet.
	Value []byte
}

// Wire codes the claim as
//
//	struct {
//	  CredentialType credential_type;
//	  opaque id<V>;
//	} ClaimId;
//
//	struct {
//	  ClaimId claim_id;
//	  opaque claim_value<V>;
//	} Claim;
func (c *Claim) Wire(w *wire.Codec) {
	wire.Uint16(w, &c.CredentialType)
	octets(w, &c.ID, MaxName)
	octets(w, &c.Value, MaxText)
}

func (c *Claim) equal(d *Claim) bool {
	return c.CredentialType == d.CredentialType && string(c.ID) == string(d.ID) && string(c.Value) == string(d.Value)
}

// A Preauthorization gives a role to whoever makes all of some claims.
type Preauthorization struct {
	// Claims are at least one: an entry that anyone matches would be canOpenJoin
	// in disguise.
	Claims []Claim
	// Role repeats a role of roles_list.
	Role Role
}

// Wire codes the entry as
//
//	struct {
//	  /* when all claims in the claimset are satisfied, the claimset */
//	  /* is satisfied */
//	  Claim claimset<V>;
//	  Role target_role;
//	} PreAuthRoleEntry;
func (p *Preauthorization) Wire(c *wire.Codec) {
	wire.Vector(c, &p.Claims, wire.Struct[Claim])
	wire.Struct(c, &p.Role)
	check(c, atMost("claims", p.Claims, MaxList))
	if len(p.Claims) == 0 {
		c.Fail(ErrConflict)
	}
	if p.Role.Index == RoleNone {
		c.Fail(ErrRoleZero)
	}
}

// PreauthorizedUsers is the component preauth_list, and its own update
// (draft-ietf-mimi-room-policy-03, section 4).
type PreauthorizedUsers struct {
	Entries []Preauthorization
}

// Wire codes the list as
//
//	struct {
//	  PreAuthRoleEntry preauthorized_entries<V>;
//	} PreAuthData;
func (p *PreauthorizedUsers) Wire(c *wire.Codec) {
	wire.Vector(c, &p.Entries, wire.Struct[Preauthorization])
	check(c, atMost("preauthorized entries", p.Entries, MaxList))
}

// Match returns the role of the first entry all of whose claims are among those
// given.
func (p *PreauthorizedUsers) Match(claims []Claim) (role uint32, ok bool) {
	for i := range p.Entries {
		e := &p.Entries[i]
		missing := slices.ContainsFunc(e.Claims, func(want Claim) bool {
			return !slices.ContainsFunc(claims, func(have Claim) bool { return want.equal(&have) })
		})
		if !missing {
			return e.Role.Index, true
		}
	}
	return RoleNone, false
}
