package mls

import "iter"

// Ephemeral lists what the AppEphemeral proposals of a commit bring to a
// component, with who sent it, in the order of the commit. It is processed after
// the proposals of RFC 9420 and before those of AppDataUpdate: data of the
// GroupContext is still that of Before (draft-ietf-mls-extensions-09, section
// "Attaching Application Data to a Commit"). Nothing of it is kept in the group.
func (v *CommitView) Ephemeral(id ComponentID) iter.Seq2[Sender, []byte] {
	return func(yield func(Sender, []byte) bool) {
		for i := range v.Proposals {
			e, ok := v.Proposals[i].Proposal.Body.(*AppEphemeral)
			if ok && e.Component == id && !yield(v.Proposals[i].Sender, e.Data) {
				return
			}
		}
	}
}
