// Package peer is the client to other providers: it sends the requests of
// draft-ietf-mimi-protocol-06 and of the minimal-metadata profile over HTTPS with
// mutual TLS.
//
// A [Client] finds the endpoints of a provider in its directory document. Its
// methods take what the services of mimi/provider take, without the peer's name,
// and return what they return: a response that says success, or one of protocol's
// errors. What goes wrong on the way is an [*Error], which says whether trying
// again may help.
//
// The client itself repeats nothing but the fetching of a directory document: all
// other requests change something. They may be sent again by callers who know
// that the other side recognises the repetition, as hubs and inboxes do.
package peer
