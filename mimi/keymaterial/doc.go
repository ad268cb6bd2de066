// Package keymaterial stores, hands out and checks KeyPackages of people who are
// only known by pseudonyms (docs/mmr-profile.md, section 5;
// draft-kohbrok-mimi-metadata-minimalization-01, section "KeyPackages").
//
// KeyPackages are made for one contact and stored under the hash of the token
// that the contact was given. All that share a user pseudonym are a set, for one
// room, with one KeyPackage of each client of the user; a set is handed out once,
// except for sets of last resort:
//
//	contact (adder)        hub of the room        provider                    client
//	    |                      |                      |<-- tokens, blinded ------| [RequestTokens]
//	    |                      |            [Issuer]  |--- evaluated ----------->| [Wallet]
//	    |                      |                      |                          | [NewPlan], [NewSet]
//	    |                      |   [Provider.Upload]  |<-- [KeyMaterialUpload] --|
//	    |-- token, sealed ---->|--------------------->| [Provider.KeyMaterial]
//	    |<-- set, sealed ------|<---------------------|
//	    | [CheckSet]           |                      |
//
// The rows that are handed out carry no account, and no index or log line joins
// them to one: an upload is signed by a key that was made for its token alone, and
// paid with tokens that fit every account equally well. In a gateway, provider and
// client are one process: that guards against leaks, not against the operator.
package keymaterial
