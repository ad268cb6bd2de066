package identity_test

import (
	"testing"

	"github.com/mimi-gateway/mimi-gateway/mimi/identity"
)

func aad(keys ...*identity.EncryptedIdentityLinkKey) *identity.AddAAD {
	return &identity.AddAAD{Keys: keys}
}

func gen(g identity.Generation) *identity.Generation { return &g }

// TestCommitRules goes through docs/mmr-profile.md, sections 3 and 6: hub,
// committer and members share these rules.
func TestCommitRules(t *testing.T) {
	group := identity.MinimalMetadataPolicy{Requirement: identity.RequireAll, Mode: identity.WrapperEpochRotated, MaxUsers: 9}
	with := func(r identity.LinkRequirement) identity.MinimalMetadataPolicy {
		p := group
		p.Requirement = r
		return p
	}
	connection := identity.ConnectionRoomPolicy()
	type facts = identity.CommitFacts
	key, old := wrapped(7), wrapped(3)
	psk := [][]byte{identity.JoinPSKID(7)}
	none := []bool{false}

	for name, test := range map[string]struct {
		facts facts
		aad   *identity.AddAAD
		want  error
	}{
		"nothing":                             {facts{}, nil, nil},
		"an empty AddAAD is left out":         {facts{}, aad(), identity.ErrAddAAD},
		"one entry per Add":                   {facts{AddedAdmins: []bool{false, false}}, aad(key, key), nil},
		"too few entries":                     {facts{AddedAdmins: []bool{false, false}}, aad(key), identity.ErrAddAAD},
		"no AddAAD for an Add":                {facts{AddedAdmins: none}, nil, identity.ErrAddAAD},
		"too many entries":                    {facts{AddedAdmins: none, HasPath: true}, aad(key, key, key), identity.ErrAddAAD},
		"an entry for nobody":                 {facts{}, aad(key), identity.ErrAddAAD},
		"absent where all are required":       {facts{AddedAdmins: none}, aad(nil), identity.ErrEntryRequired},
		"not the newest generation":           {facts{AddedAdmins: none}, aad(old), identity.ErrNotNewest},
		"own entry with a path":               {facts{HasPath: true}, aad(key), nil},
		"own entry beside an Add":             {facts{HasPath: true, AddedAdmins: none}, aad(key, key), nil},
		"own entry without a path":            {facts{AddedAdmins: none}, aad(key, key), identity.ErrAddAAD},
		"own entry of an old generation":      {facts{HasPath: true}, aad(old), identity.ErrNotNewest},
		"new credential with its entry":       {facts{HasPath: true, ChangesCredential: true}, aad(key), nil},
		"new credential without":              {facts{HasPath: true, ChangesCredential: true}, nil, identity.ErrAddAAD},
		"new credential without a path":       {facts{ChangesCredential: true}, aad(key), identity.ErrAddAAD},
		"admin without entry":                 {facts{Policy: with(identity.RequireAdmins), AddedAdmins: []bool{false, true}}, aad(nil, nil), identity.ErrEntryRequired},
		"only admins need one":                {facts{Policy: with(identity.RequireAdmins), AddedAdmins: []bool{false, true}}, aad(nil, key), nil},
		"committing admin without entry":      {facts{Policy: with(identity.RequireAdmins), HasPath: true, ChangesCredential: true, OwnAdmin: true}, aad(nil), identity.ErrEntryRequired},
		"optional":                            {facts{Policy: with(identity.RequireNone), AddedAdmins: []bool{true}}, aad(nil), nil},
		"Add where links are forbidden":       {facts{Policy: with(identity.Forbidden), AddedAdmins: none}, aad(nil), identity.ErrAddForbidden},
		"entry where links are forbidden":     {facts{Policy: with(identity.Forbidden), External: true, HasPath: true, JoinPSKs: psk}, aad(key), identity.ErrEntryForbidden},
		"join where links are forbidden":      {facts{Policy: with(identity.Forbidden), External: true, HasPath: true, JoinPSKs: psk}, aad(nil), nil},
		"removal":                             {facts{Removes: true, HasPath: true}, nil, nil},
		"removal with Add":                    {facts{Removes: true, HasPath: true, AddedAdmins: none}, aad(key), identity.ErrRotation},
		"removal with new credential":         {facts{Removes: true, HasPath: true, ChangesCredential: true}, aad(key), identity.ErrRotation},
		"removal with own entry":              {facts{Removes: true, HasPath: true}, aad(key), identity.ErrAddAAD},
		"removal with metadata":               {facts{Removes: true, HasPath: true, NewMetadata: gen(7)}, nil, identity.ErrRotation},
		"removal in a connection room":        {facts{Policy: connection, Removes: true, HasPath: true, NewMetadata: gen(7)}, nil, nil},
		"metadata of the newest":              {facts{Metadata: gen(7), NewMetadata: gen(7)}, nil, nil},
		"metadata of an old generation":       {facts{Metadata: gen(7), NewMetadata: gen(3)}, nil, identity.ErrNotNewest},
		"metadata is re-encrypted first":      {facts{Metadata: gen(3)}, nil, identity.ErrRotation},
		"metadata waits for a removal":        {facts{Metadata: gen(3), Removes: true, HasPath: true}, nil, nil},
		"metadata of a joiner":                {facts{Metadata: gen(3), NewMetadata: gen(7), External: true, HasPath: true, JoinPSKs: psk}, aad(key), identity.ErrJoinerMetadata},
		"metadata waits for a joiner":         {facts{Metadata: gen(3), External: true, HasPath: true, JoinPSKs: psk}, aad(key), nil},
		"join":                                {facts{External: true, HasPath: true, JoinPSKs: psk}, aad(key), nil},
		"join without entry":                  {facts{External: true, HasPath: true, JoinPSKs: psk}, nil, identity.ErrAddAAD},
		"join with Add":                       {facts{External: true, HasPath: true, JoinPSKs: psk, AddedAdmins: none}, aad(key, key), identity.ErrRotation},
		"join without PSK":                    {facts{External: true, HasPath: true}, aad(key), identity.ErrAddAAD},
		"join with two PSKs":                  {facts{External: true, HasPath: true, JoinPSKs: append(psk, psk...)}, aad(key), identity.ErrAddAAD},
		"join with another PSK":               {facts{External: true, HasPath: true, JoinPSKs: [][]byte{[]byte("x")}}, aad(key), identity.ErrAddAAD},
		"join with the PSK of an old key":     {facts{External: true, HasPath: true, JoinPSKs: [][]byte{identity.JoinPSKID(3)}}, aad(key), identity.ErrNotNewest},
		"join PSK of a member":                {facts{JoinPSKs: psk}, nil, identity.ErrAddAAD},
		"resync":                              {facts{External: true, Removes: true, HasPath: true, JoinPSKs: psk}, aad(key), nil},
		"resync with the generation it makes": {facts{External: true, Removes: true, HasPath: true, JoinPSKs: psk}, aad(wrapped(8)), identity.ErrNotNewest},
		"joiner with an old credential":       {facts{External: true, HasPath: true, ChangesCredential: true, JoinPSKs: psk}, aad(key), identity.ErrAddAAD},
	} {
		t.Run(name, func(t *testing.T) {
			f := test.facts
			f.Newest = 7
			if f.Policy == (identity.MinimalMetadataPolicy{}) {
				f.Policy = group
			}
			keys, err := f.Check(test.aad)
			wantError(t, err, test.want)
			if err != nil {
				return
			}
			if len(keys.Added) != len(f.AddedAdmins) {
				t.Errorf("%d entries for %d Adds", len(keys.Added), len(f.AddedAdmins))
			}
			if entries := len(keys.Added); keys.HasOwn != (test.aad != nil && len(test.aad.Keys) > entries) {
				t.Errorf("own entry: %t", keys.HasOwn)
			}
			if f.Rotates() != (f.Removes && f.Policy.Mode == identity.WrapperEpochRotated) {
				t.Errorf("rotates: %t", f.Rotates())
			}
		})
	}
}

func TestPolicyRules(t *testing.T) {
	group := func(r identity.LinkRequirement) identity.MinimalMetadataPolicy {
		return identity.MinimalMetadataPolicy{Requirement: r, Mode: identity.WrapperEpochRotated, MaxUsers: 9}
	}
	for name, p := range map[string]identity.MinimalMetadataPolicy{
		"static group":              {Mode: identity.WrapperStatic, MaxUsers: 9},
		"nobody":                    {Mode: identity.WrapperEpochRotated},
		"unknown requirement":       group(4),
		"unknown mode":              {Mode: 2, MaxUsers: 9},
		"connection room of three":  {Mode: identity.WrapperStatic, ConnectionRoom: true, MaxUsers: 3},
		"connection room, optional": {Requirement: identity.RequireNone, ConnectionRoom: true, MaxUsers: 2},
		"connection room, rotating": {Mode: identity.WrapperEpochRotated, ConnectionRoom: true, MaxUsers: 2},
	} {
		t.Run(name, func(t *testing.T) { wantError(t, p.Check(), identity.ErrPolicy) })
	}
	b := encode(t, ptr(group(0)))
	for at, value := range map[int]byte{0: 2, 1: 4, 2: 2, 3: 2} {
		bad := append([]byte(nil), b...)
		bad[at] = value
		if err := unmarshal(bad, new(identity.MinimalMetadataPolicy)); err == nil {
			t.Errorf("octet %d may be %d", at, value)
		}
	}

	connection := identity.ConnectionRoomPolicy()
	larger := group(identity.RequireAll)
	larger.MaxUsers = 99
	for _, test := range []struct {
		from, to identity.MinimalMetadataPolicy
		want     error
	}{
		{group(0), group(0), nil},
		{group(0), larger, nil},
		{group(0), group(1), nil},
		{group(0), group(2), nil},
		{group(1), group(2), nil},
		{group(2), group(1), identity.ErrPolicyChange},
		{group(1), group(0), identity.ErrPolicyChange},
		{group(0), group(3), identity.ErrPolicyChange},
		{group(3), group(2), identity.ErrPolicyChange},
		{group(3), group(3), nil},
		{connection, connection, identity.ErrPolicyChange},
		{group(0), connection, identity.ErrPolicyChange},
		{connection, group(0), identity.ErrPolicyChange},
		{group(0), group(9), identity.ErrPolicy},
	} {
		if err := test.from.CheckChange(&test.to); !is(err, test.want) {
			t.Errorf("%+v to %+v: %v, want %v", test.from, test.to, err, test.want)
		}
	}
}
