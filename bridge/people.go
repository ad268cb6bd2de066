package bridge

import (
	"context"
	"errors"
	"fmt"

	"maunium.net/go/mautrix"
	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/matrix"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/config"
	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

// A Profiler is a homeserver that tells the display names of its accounts.
type Profiler interface {
	// Displayname returns the global display name of a user, which may be empty.
	// exists is false if the homeserver knows no such account.
	Displayname(ctx context.Context, user id.UserID) (name string, exists bool, err error)
}

// homeserver asks a real homeserver as the bot.
type homeserver struct{ matrix *matrix.Connector }

// Displayname implements [Profiler].
func (h homeserver) Displayname(ctx context.Context, user id.UserID) (string, bool, error) {
	profile, err := h.matrix.AS.BotClient().GetProfile(ctx, user)
	if errors.Is(err, mautrix.MNotFound) || errors.Is(err, mautrix.MForbidden) {
		return "", false, nil
	} else if err != nil {
		return "", false, fmt.Errorf("bridge: failed to ask the homeserver for a profile: %w", err)
	}
	return profile.DisplayName, true, nil
}

// Lookup implements [client.People]: it is asked when somebody wants to reach an
// address for the first time, and applies network.auto_provision.
func (c *Connector) Lookup(ctx context.Context, localpart string) (string, error) {
	if err := c.awaitReady(ctx); err != nil {
		return "", err
	}
	userID := id.NewUserID(localpart, c.bridge.Matrix.ServerName())
	if c.isOurs(userID) {
		return "", client.ErrNoPerson
	}
	if c.opts.Config.AutoProvision == config.AutoProvisionOff {
		user, err := c.bridge.GetExistingUserByMXID(ctx, userID)
		if err != nil {
			return "", fmt.Errorf("bridge: failed to load the user: %w", err)
		}
		if user == nil || user.GetDefaultLogin() == nil {
			return "", client.ErrNoPerson
		}
	} else if !c.mayProvision(userID) {
		return "", client.ErrNoPerson
	}
	name, exists, err := c.profiles.Displayname(ctx, userID)
	if err != nil {
		return "", err
	}
	if !exists {
		return "", client.ErrNoPerson
	}
	return name, nil
}

// isOurs reports whether an account is the bot, or a ghost.
func (c *Connector) isOurs(user id.UserID) bool {
	return user == c.bridge.Bot.GetMXID() || c.bridge.IsGhostMXID(user)
}

// isLocal reports whether a user is a person of this homeserver.
func (c *Connector) isLocal(user id.UserID) bool {
	return user.Homeserver() == c.bridge.Matrix.ServerName() && !c.isOurs(user)
}

// errElsewhere reports a person whose account is at another homeserver.
var errElsewhere = errors.New("only accounts of this homeserver have a MIMI address here")

// accountOf returns the MIMI address of a person of this homeserver. It fails
// with [mimi.ErrHandle] if the localpart can't be one.
func (c *Connector) accountOf(user id.UserID) (mimi.URI, error) {
	if !c.isLocal(user) {
		return mimi.URI{}, errElsewhere
	}
	return mimi.UserURI(c.opts.Config.Domain, user.Localpart())
}

// userOf is the inverse of accountOf.
func (c *Connector) userOf(account mimi.URI) id.UserID {
	return id.NewUserID(account.Localpart(), c.bridge.Matrix.ServerName())
}

// loginOf returns the login of an account, and makes it if need be. It returns
// nil if the person has none and has to ask for it.
func (c *Connector) loginOf(ctx context.Context, account mimi.URI) (*bridgev2.UserLogin, error) {
	return c.provision(ctx, c.userOf(account))
}
