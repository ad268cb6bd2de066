package bridge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/networkid"
	"maunium.net/go/mautrix/event"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/bridge/mimiid"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
	"github.com/mimi-gateway/mimi-gateway/mimi/protocol"
)

// connect asks a person for a connection, or, if their provider has none, for consent to
// be added to plain groups. It returns the contact if there is one already, and
// otherwise what to tell the asker.
func (c *Client) connect(ctx context.Context, peer mimi.URI) (contact *client.Contact, asked string, err error) {
	contact, err = c.main.backend.Engine.Connect(ctx, c.account, peer)
	switch {
	case errors.Is(err, protocol.ErrNoProfile) && c.main.opts.Config.PlainRooms:
		return nil, consentAskedText(peer), c.main.backend.Engine.AskConsent(ctx, c.account, peer)
	case err == nil && contact.State != client.ContactConnected:
		return nil, askedText(peer), nil
	case !errors.Is(err, client.ErrAlreadyConnected):
		return contact, "", err
	}
	contacts, err := c.main.backend.Engine.Contacts(ctx, c.account)
	if err != nil {
		return nil, "", err
	}
	for _, contact := range contacts {
		if contact.Peer == peer {
			return contact, "", nil
		}
	}
	return nil, "", client.ErrAlreadyConnected
}

// chatWith returns the portal of a connection.
func (c *Client) chatWith(contact *client.Contact) *bridgev2.CreateChatResponse {
	return &bridgev2.CreateChatResponse{PortalKey: mimiid.MakePortalKey(contact.Room, c.login.ID)}
}

// askedText is the answer to somebody who asked for a connection.
func askedText(peer mimi.URI) string {
	return fmt.Sprintf("%s has been asked. You will be invited to a chat with them when they accept. Nobody is told if they don't.", peer.Handle())
}

// errAsked reports a chat that will be there when the other person accepts. It is
// an error only because bridgev2 wants a chat at once.
func errAsked(text string) error {
	return bridgev2.RespError(mautrix.RespError{
		ErrCode: "IO.GITHUB.MIMI-GATEWAY.ASKED", Err: text, StatusCode: 202,
	})
}

// ResolveIdentifier implements [bridgev2.IdentifierResolvingNetworkAPI].
func (c *Client) ResolveIdentifier(ctx context.Context, identifier string, createChat bool) (*bridgev2.ResolveIdentifierResponse, error) {
	peer, err := mimi.ParseAddress(identifier)
	if err != nil {
		return nil, explain(err).response()
	}
	return c.resolve(ctx, peer, createChat)
}

func (c *Client) resolve(ctx context.Context, peer mimi.URI, createChat bool) (*bridgev2.ResolveIdentifierResponse, error) {
	ghostID, err := c.main.personID(ctx, peer)
	if err != nil {
		return nil, explain(err).response()
	}
	name := peer.Handle()
	response := &bridgev2.ResolveIdentifierResponse{
		UserID: ghostID, UserInfo: &bridgev2.UserInfo{Name: &name, Identifiers: []string{"im:" + name}},
	}
	if !createChat {
		return response, nil
	}
	contact, asked, err := c.connect(ctx, peer)
	if err != nil {
		return nil, explain(err).response()
	}
	if asked != "" {
		return nil, errAsked(asked)
	}
	if response.Ghost, err = c.main.ghost(ctx, mimi.URI{}, client.Person{User: peer}); err != nil {
		return nil, explain(err).response()
	}
	response.UserInfo, response.Chat = nil, c.chatWith(contact)
	return response, nil
}

// CreateChatWithGhost implements [bridgev2.GhostDMCreatingNetworkAPI].
func (c *Client) CreateChatWithGhost(ctx context.Context, g *bridgev2.Ghost) (*bridgev2.CreateChatResponse, error) {
	peer, err := c.main.ghostUser(ctx, g.ID)
	if err == nil && peer.IsZero() {
		err = client.ErrNoPerson
	}
	if err != nil {
		return nil, explain(err).response()
	}
	response, err := c.resolve(ctx, peer, true)
	if err != nil {
		return nil, err
	}
	return response.Chat, nil
}

// GetContactList implements [bridgev2.ContactListingNetworkAPI].
func (c *Client) GetContactList(ctx context.Context) ([]*bridgev2.ResolveIdentifierResponse, error) {
	return c.SearchUsers(ctx, "")
}

// SearchUsers implements [bridgev2.UserSearchingNetworkAPI]. It searches among
// those whom the person is connected with: nobody else's address is known.
func (c *Client) SearchUsers(ctx context.Context, query string) ([]*bridgev2.ResolveIdentifierResponse, error) {
	contacts, err := c.main.backend.Engine.Contacts(ctx, c.account)
	if err != nil {
		return nil, explain(err).response()
	}
	query = strings.ToLower(query)
	var out []*bridgev2.ResolveIdentifierResponse
	for _, contact := range contacts {
		name := shownName(contact.Peer, contact.Name)
		if contact.State != client.ContactConnected || !strings.Contains(strings.ToLower(name), query) {
			continue
		}
		ghostID, err := c.main.personID(ctx, contact.Peer)
		if err != nil {
			return nil, explain(err).response()
		}
		out = append(out, &bridgev2.ResolveIdentifierResponse{
			UserID: ghostID, UserInfo: &bridgev2.UserInfo{Name: &name}, Chat: c.chatWith(contact),
		})
	}
	return out, nil
}

// CreateGroup implements [bridgev2.GroupCreatingNetworkAPI].
func (c *Client) CreateGroup(ctx context.Context, params *bridgev2.GroupCreateParams) (*bridgev2.CreateChatResponse, error) {
	out, err := c.createGroup(ctx, params)
	if err != nil {
		return nil, explain(err).response()
	}
	return out, nil
}

func (c *Client) createGroup(ctx context.Context, params *bridgev2.GroupCreateParams) (*bridgev2.CreateChatResponse, error) {
	if params.RoomID != "" {
		if err := c.main.checkPower(ctx, params.RoomID); err != nil {
			return nil, err
		}
	}
	people, err := c.participants(ctx, params)
	if err != nil {
		return nil, err
	}
	name, topic := "", ""
	if params.Name != nil {
		name = params.Name.Name
	}
	if params.Topic != nil {
		topic = params.Topic.Topic
	}
	out := &bridgev2.CreateChatResponse{FailedParticipants: map[networkid.UserID]*bridgev2.CreateChatFailedParticipant{}}
	err = c.main.whileCreating(ctx, func(ctx context.Context) error {
		room, failed, err := c.main.backend.Engine.CreateRoom(ctx, c.account, client.RoomOptions{
			Name: name, Topic: topic, Plain: params.Type == plainType, Requirement: requirements[params.Type],
		}, slices.Collect(maps.Keys(people)))
		if err != nil {
			return err
		}
		for user, err := range failed {
			c.main.log.InfoContext(ctx, "could not add somebody to a new group", "room", room, "err", err)
			out.FailedParticipants[people[user]] = &bridgev2.CreateChatFailedParticipant{
				Reason: user.Handle() + ": " + explain(err).String(), UserMXID: c.main.matrixID(user, people[user]),
			}
		}
		out.PortalKey = mimiid.MakePortalKey(room, "")
		if err := c.openGroup(ctx, room, params.RoomID); err != nil {
			return err
		}
		return c.firstAvatar(ctx, room, params.Avatar)
	})
	return out, err
}

// matrixID returns the Matrix user that stands for a person.
func (c *Connector) matrixID(user mimi.URI, ghost networkid.UserID) id.UserID {
	if user.Domain == c.opts.Config.Domain {
		return c.userOf(user)
	}
	return c.bridge.Matrix.FormatGhostMXID(ghost)
}

// openGroup gives a new group its portal: an existing Matrix room, or a new one.
func (c *Client) openGroup(ctx context.Context, room mimi.URI, matrixRoom id.RoomID) error {
	info, err := c.main.backend.Engine.Room(ctx, room)
	if err != nil {
		return err
	}
	source, err := c.main.logins(ctx, info)
	if err != nil {
		return err
	}
	if matrixRoom != "" {
		if err := c.main.adopt(ctx, source, info, matrixRoom); err != nil {
			return err
		}
	}
	return c.main.inPortal(ctx, info, func(ctx context.Context, p *place) error {
		if meta, ok := p.portal.Metadata.(*mimiid.PortalMetadata); ok && matrixRoom != "" {
			meta.Plumbed = true
			if err := p.portal.Save(ctx); err != nil {
				return fmt.Errorf("bridge: failed to save the portal: %w", err)
			}
		}
		return c.main.settle(ctx, p, client.Person{User: c.account, Local: true}, true)
	})
}

// participants returns whom to add to a new group, with their ghosts. Local people
// who are in the Matrix room already are among them, with or without a login.
func (c *Client) participants(ctx context.Context, params *bridgev2.GroupCreateParams) (map[mimi.URI]networkid.UserID, error) {
	out := map[mimi.URI]networkid.UserID{}
	for _, participant := range params.Participants {
		user, err := c.main.ghostUser(ctx, participant)
		if err != nil {
			return nil, err
		}
		if !user.IsZero() && user != c.account {
			out[user] = participant
		}
	}
	if params.RoomID == "" {
		return out, nil
	}
	members, err := c.main.bridge.Matrix.GetMembers(ctx, params.RoomID)
	if err != nil {
		return nil, fmt.Errorf("bridge: failed to read the members of a room: %w", err)
	}
	for member, content := range members {
		if !content.Membership.IsInviteOrJoin() || !c.main.isLocal(member) || member == c.user {
			continue
		}
		login, err := c.main.provision(ctx, member)
		if err != nil {
			return nil, err
		}
		if login == nil {
			continue
		}
		if other, ok := login.Client.(*Client); ok {
			out[other.account] = other.ghost
		}
	}
	return out, nil
}

// errPower reports a Matrix room in which the bot may not do what it needs to.
var errPower = errors.New("bridge: the bot has no power in the room")

// checkPower reports whether the bot may run a Matrix room. bridgev2 does not ask
// before it is too late.
func (c *Connector) checkPower(ctx context.Context, room id.RoomID) error {
	power, err := c.bridge.Matrix.GetPowerLevels(ctx, room)
	if err != nil {
		return fmt.Errorf("bridge: failed to read the power levels: %w", err)
	}
	level := power.GetUserLevel(c.bridge.Bot.GetMXID())
	need := max(power.Invite(), power.Kick(), power.GetEventLevel(event.StateBridge), power.GetEventLevel(DisclosureEvent))
	if level < need {
		return explanation{
			cause: errPower, what: "The bot may not invite, remove, and describe the bridge in this room.",
			next: fmt.Sprintf("Give %s at least the power level %d, then try again.", c.bridge.Bot.GetMXID(), need),
		}
	}
	return nil
}
