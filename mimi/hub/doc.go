// Package hub orders what happens in the rooms that this provider hosts, and
// passes it on (draft-ietf-mimi-protocol-06, sections 5.3 to 5.6).
//
// A hub sees pseudonyms and public MLS state; nothing that it is ever given could
// open an identity link or a message. It decides with package mmr, which members
// use as well, so that it accepts exactly what they can apply.
//
// A request is accepted in one step: the new public state, the identity link
// table and the deliveries become visible together (see [Store]). Delivery is in
// order for each room and provider, and repeated until it is acknowledged.
package hub
