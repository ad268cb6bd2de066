// Package privacy is the proof of section 9 of docs/mmr-profile.md: for each of the
// properties T1 to T15 a search for its opposite, in what really went over the wire
// and what really lies on disk, and a control, in which the same search has to find
// something.
//
// A hub hosts the groups of the users of four other providers, and has no users
// itself, so that everything that it has is something that a hub has. One of the
// providers is a gateway with a Matrix side. Every name, address, room name and text
// is made up anew for each run.
//
// The package is in builds with the tag lab alone, since most controls are faults
// that no other build has.
package privacy
