// Package client acts for the local users: it is the MIMI client of each of them,
// and the part of their provider that only a client can be, because it makes key
// material when it is asked for.
//
// A [Client] has one MLS group per room, however many of its accounts are in it.
// Everything that it must not forget is in its [Store]; it keeps rooms in memory
// only to be quick. What happens reaches the Matrix side as [Event]s through a
// [Sink], and what Matrix users do comes in as calls.
//
// The rules for what is done where:
//
//   - A room is worked on by one goroutine at a time (see room.go). Its lock is
//     held while the hub decides about a commit, and never while an event is
//     delivered or a message is submitted.
//   - Nothing waits for the network inside a transaction.
//   - A message from a hub is stored before it is acknowledged, and a message of a
//     local user before it is encrypted; both are worked off in order, again after
//     a crash.
package client
