package content

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/mimi-gateway/mimi-gateway/mimi"
)

// A Kind is what a message does.
type Kind uint8

// The kinds of messages.
const (
	// KindUnknown does nothing that is known here, such as a body that says
	// nothing about no message.
	KindUnknown Kind = iota
	// KindText is a message of its own, whatever the media type of its body.
	KindText
	// KindReply is a [KindText] that answers Target.
	KindReply
	// KindReaction puts Reactions on Target; if Replaces is not zero, in the
	// place of those of that earlier reaction.
	KindReaction
	// KindUnreact takes back the reaction message Target.
	KindUnreact
	// KindEdit gives Target a new body.
	KindEdit
	// KindDelete takes back Target.
	KindDelete
	// KindProfile tells the sender's display name; see [DecodeProfile].
	KindProfile
	// KindClosed says that the sender's account was deleted; see [Closed].
	KindClosed
	// KindLost asks for a join link to a room; see [DecodeLost].
	KindLost
	// KindLink answers that; see [DecodeLink].
	KindLink
)

// String returns a lower-case word.
func (k Kind) String() string {
	names := [...]string{"unknown", "text", "reply", "reaction", "unreact", "edit", "delete", "profile", "closed", "lost", "link"}
	if int(k) >= len(names) {
		return names[KindUnknown]
	}
	return names[k]
}

// An Action is what a message asks its receivers to do.
type Action struct {
	Kind Kind
	// Target is the message that it is done to; zero where the kind names none.
	Target MessageID
	// Replaces is the earlier reaction that a [KindReaction] supersedes; zero
	// otherwise.
	Replaces MessageID
	// Reactions of a [KindReaction], one or more, each a text such as an emoji.
	Reactions []string
}

// Classify returns what a message asks for. It looks at the message alone:
// whether the target exists, is of the right kind, and may be changed by this
// sender is for [Action.Authorize] to say.
func Classify(m Message) Action {
	if m.Part.Body == nil {
		return classifyNull(m)
	}
	switch m.Part.Disposition.Effective() {
	case ProfilePart:
		return Action{Kind: profileKind(m.Part)}
	case ReactionPart:
		reactions := reactionTexts(m.Part)
		if m.InReplyTo.IsZero() || len(reactions) == 0 {
			return Action{}
		}
		return Action{Kind: KindReaction, Target: m.InReplyTo, Replaces: m.Replaces, Reactions: reactions}
	}
	switch {
	case !m.Replaces.IsZero():
		return Action{Kind: KindEdit, Target: m.Replaces}
	case !m.InReplyTo.IsZero():
		return Action{Kind: KindReply, Target: m.InReplyTo}
	default:
		return Action{Kind: KindText}
	}
}

// classifyNull: "A body with zero parts is permitted when deleting or unliking"
// (section "Message Bodies"). The draft's examples tell the two apart by the
// disposition alone.
func classifyNull(m Message) Action {
	switch {
	case m.Replaces.IsZero():
		return Action{}
	case m.Part.Disposition == ReactionPart:
		return Action{Kind: KindUnreact, Target: m.Replaces}
	default:
		return Action{Kind: KindDelete, Target: m.Replaces}
	}
}

func profileKind(p Part) Kind {
	single, ok := p.Body.(*Single)
	switch {
	case ok && single.ContentType == ProfileType:
		return KindProfile
	case ok && single.ContentType == ClosedType && string(single.Content) == closedContent:
		return KindClosed
	case ok && single.ContentType == LostType:
		return KindLost
	case ok && single.ContentType == LinkType:
		return KindLink
	default:
		return KindUnknown
	}
}

// reactionTexts returns the reactions of a body that are text. Each is one part:
// "the ensemble of multiple text reactions MUST NOT be represented as a single
// text part" (section "Reaction").
func reactionTexts(body Part) []string {
	leaves := Choose(body, func(p Part) int {
		if single, ok := p.Body.(*Single); ok {
			if text, format := single.Text(); format == Plain && text != "" {
				return 1
			}
		}
		return 0
	})
	var texts []string
	for _, leaf := range leaves {
		if leaf.Rank > 0 {
			text, _ := leaf.Part.Body.(*Single).Text()
			texts = append(texts, text)
		}
	}
	return texts
}

// The reasons for which [Action.Authorize] refuses.
var (
	// ErrNotSender reports an attempt to change someone else's message.
	ErrNotSender = errors.New("content: only the sender of a message may change it")
	// ErrWrongTarget reports a change that does not fit the message that it
	// names, such as an edit of a reaction.
	ErrWrongTarget = errors.New("content: message can't be changed in this way")
)

// Original is what a receiver keeps of a message to judge what later messages
// want to do to it.
type Original struct {
	// Sender of the message, as [Received] had it.
	Sender mimi.URI
	// Kind of the message, as [Classify] told it.
	Kind Kind
}

// Changes returns the message whose [Original] must be looked up for
// [Action.Authorize], and false if the action changes no earlier message.
func (a Action) Changes() (MessageID, bool) {
	switch a.Kind {
	case KindEdit, KindDelete, KindUnreact:
		return a.Target, true
	case KindReaction:
		return a.Replaces, !a.Replaces.IsZero()
	default:
		return MessageID{}, false
	}
}

// Authorize says whether actor may do a to the message of which original is
// kept, and returns the kind of action that it amounts to: a deletion of a
// reaction is [KindUnreact], whatever its disposition. "Receiving clients MUST
// NOT allow parties other than the original sender of a message to edit or delete
// that message", unless the room's policy does (section "Rendering and
// authorization of edits and deletes"); such a policy is the caller's to ask. It
// fails with [ErrNotSender] or [ErrWrongTarget].
//
// Of an authorised edit only the body counts: the same section forbids that it
// changes anything else of the original, such as what it replies to.
func (a Action) Authorize(actor mimi.URI, original Original) (Kind, error) {
	if _, changes := a.Changes(); !changes {
		return a.Kind, nil
	}
	if actor.IsZero() || actor != original.Sender {
		return KindUnknown, ErrNotSender
	}
	reaction := original.Kind == KindReaction
	switch original.Kind {
	case KindText, KindReply, KindReaction, KindUnknown:
	default:
		return KindUnknown, fmt.Errorf("%w: %s is not the first version of a message", ErrWrongTarget, original.Kind)
	}
	switch {
	case a.Kind == KindDelete && reaction, a.Kind == KindUnreact && reaction:
		return KindUnreact, nil
	case a.Kind == KindDelete, a.Kind == KindUnreact:
		return KindDelete, nil
	case (a.Kind == KindReaction) != reaction:
		return KindUnknown, fmt.Errorf("%w: %s of a %s", ErrWrongTarget, a.Kind, original.Kind)
	default:
		return a.Kind, nil
	}
}

// MaxReaction is the longest reaction in octets that [Reaction] makes. The
// longest emoji sequences that Unicode recommends take about 50.
const MaxReaction = 128

func validReaction(s string) bool {
	return s != "" && len(s) <= MaxReaction && utf8.ValidString(s)
}
