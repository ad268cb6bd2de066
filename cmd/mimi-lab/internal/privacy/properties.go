//go:build lab

package privacy

// properties are those of docs/mmr-profile.md, section 9, in its order.
func properties() []property {
	return []property{
		{
			name: "T1", promise: "the hub has no real identifier, in any encoding", show: realIdentifiers,
			words: "a plain room", control: plainRoom,
		},
		{name: "T2", promise: "two rooms of the same users share no opaque field", show: sharedFields, fault: "last-resort-twice"},
		{name: "T3", promise: "sizes do not depend on the user", alone: userSizes, fault: "no-padding"},
		{name: "T4", promise: "two users can change places, and the hub's trace is the same", alone: swappedUsers, fault: "mark-user"},
		{
			name: "T5", promise: "a removed member with the hub's data cannot open who came later", show: removedMember,
			words: "a room in static mode", control: staticRoom,
		},
		{
			name: "T6", promise: "a contact with the hub opens no leaf that was not made for it", show: contactWithHub,
			words: "the contact's own", control: ownContact,
		},
		{name: "T7", promise: "an active hub is refused", alone: activeHub, fault: "believe-hub"},
		{
			name: "T8", promise: "a ciphertext that opens under two keys is refused", show: twoKeys,
			words: "plain AES-GCM", control: plainGCM,
		},
		{name: "T9", promise: "nothing tells the hub when what is fetched was uploaded", show: uploadTimes, fault: "upload-at-once"},
		{name: "T10", promise: "no wrapper key leaves a Welcome or the fragment of a link", show: wrapperKeys, fault: "leak-wrapper-key"},
		{name: "T11", promise: "queue references differ, change with the leaf and open in no other", show: queueReferences, fault: "reuse-queue"},
		{
			name: "T12", promise: "where links are forbidden nobody opens anything", show: maskedRoom,
			words: "a room that requires links", control: unmaskedRoom,
		},
		{name: "T13", promise: "the disclosure comes before the first message", alone: disclosures, fault: "undisclosed"},
		{name: "T14", promise: "key material joins to no account", show: keyMaterialOwners, fault: "log-key-material"},
		{name: "T15", promise: "a refused Commit leaves the hub's table as it was", alone: refusedCommit, fault: "early-table"},
	}
}
