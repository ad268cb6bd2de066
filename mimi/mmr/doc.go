// Package mmr knows the rules of rooms: what a Commit or proposal may do to the
// group of a room, as far as everyone can see it, the hub included. Rooms are
// minimal-metadata rooms (draft-ietf-mimi-protocol-06, section "Minimal metadata
// rooms"; docs/mmr-profile.md), unless they are plain ones, in which participants
// stand by their real addresses: see [Room.Plain].
//
// A [Room] is the public state of a room at one epoch. [Rules] puts it behind
// [mls.Policy], so that the hub's PublicGroup and a member's Group come to the
// same decision about every handshake message before anything is applied. What
// only members can check, identity links above all, is not here: members never
// refuse what the hub has accepted, or they would fork the group.
package mmr
