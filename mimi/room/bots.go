package room

import (
	"fmt"

	"github.com/mimi-gateway/mimi-gateway/mimi/wire"
)

// A Bot is a chat bot that the room allows (draft-ietf-mimi-room-policy-03,
// section 6.7).
type Bot struct {
	// Name, Description and Homepage are for people; the last two may be empty.
	Name, Description, Homepage string
	// Local bots work through another client, and have role zero.
	Local bool
	// Role of the bot, or zero if it is no active participant.
	Role uint32
	// Targets says that the bot may write to single users.
	Targets bool
	// PerUser says that the bot may send different content to each user.
	PerUser bool
}

// Wire codes the bot as
//
//	struct {
//	  opaque name<V>;
//	  opaque description<V>;
//	  Uri homepage;
//	  bool local_client_bot;
//	  uint32 bot_role_index;
//	  bool can_target_message_in_group;
//	  bool per_user_content;
//	} Bot;
func (b *Bot) Wire(c *wire.Codec) {
	text(c, &b.Name, MaxName)
	text(c, &b.Description, MaxText)
	optionalURI(c, &b.Homepage)
	boolean(c, &b.Local)
	wire.Uint32(c, &b.Role)
	boolean(c, &b.Targets)
	boolean(c, &b.PerUser)
	if b.Local && b.Role != RoleNone {
		c.Fail(fmt.Errorf("%w: local bot has role %d", ErrConflict, b.Role))
	}
}

// BotPolicy is the component bot_policy, and its own update
// (draft-ietf-mimi-room-policy-03, section 6.7).
type BotPolicy struct {
	Bots []Bot
}

// Wire codes the policy as
//
//	struct {
//	  Bot allowed_bots<V>;
//	} BotPolicy;
func (p *BotPolicy) Wire(c *wire.Codec) {
	wire.Vector(c, &p.Bots, wire.Struct[Bot])
	check(c, atMost("bots", p.Bots, MaxList))
}

// checkRoles checks that the bots' roles are roles of the room.
func (p *BotPolicy) checkRoles(roles *RoleList) error {
	for i, b := range p.Bots {
		if b.Role != RoleNone && roles.Role(b.Role) == nil {
			return fmt.Errorf("%w: bot %d has role %d", ErrUnknownRole, i, b.Role)
		}
	}
	return nil
}
