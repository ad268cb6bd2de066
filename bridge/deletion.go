package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"maunium.net/go/mautrix/bridgev2"
	"maunium.net/go/mautrix/bridgev2/commands"
	"maunium.net/go/mautrix/bridgev2/status"
	"maunium.net/go/mautrix/id"

	"github.com/mimi-gateway/mimi-gateway/mimi"
	"github.com/mimi-gateway/mimi-gateway/mimi/client"
)

const (
	commandDelete = "delete-account"
	confirmation  = "confirm"
)

// errNotAdmin reports a command that only administrators of the gateway may use.
var errNotAdmin = errors.New("bridge: for administrators of the gateway only")

// deletionText says what a deletion does, and what it does not.
const deletionText = "This deletes %s: the people in your direct chats are told that the account is closed, all rooms are left, and then keys, " +
	"contacts, requests and the address go. It cannot be undone, and may take days if other providers do not answer.\n\n" +
	"**It does not delete copies on the other side**: what was written stays with the people, and the providers, who have it. " +
	"It does not delete the Matrix account, nor what is in its Matrix rooms. After it nobody can reach the address, until its owner says `login` again: " +
	"that makes new keys, of which everybody who knew the old ones is warned.\n\nTo go on, say `%s`."

// addDeletionCommands adds the command that deletes an account. "logout" stays what it
// is: it ends a login, and not the account.
func (c *Connector) addDeletionCommands(proc *commands.Processor) {
	proc.AddHandlers(&commands.FullHandler{
		Name: commandDelete,
		Help: commands.HelpMeta{
			Section:     commands.HelpSectionAuth,
			Description: "Delete your MIMI account, or see how far that is. Administrators can delete those of others.",
			Args:        "[_Matrix ID_] [" + confirmation + "]",
		},
		Func: c.deleteCommand,
	})
}

func (c *Connector) deleteCommand(ce *commands.Event) {
	who, confirmed := ce.User.MXID, false
	args := ce.Args
	if len(args) > 0 && strings.HasPrefix(args[0], "@") {
		who, args = id.UserID(args[0]), args[1:]
		if who != ce.User.MXID && !ce.User.Permissions.Admin {
			ce.Reply("%s", explain(errNotAdmin))
			return
		}
	}
	if len(args) == 1 && args[0] == confirmation {
		confirmed, args = true, nil
	}
	if len(args) > 0 {
		ce.Reply("Usage: `$cmdprefix %s [Matrix ID] [%s]`", commandDelete, confirmation)
		return
	}
	account, err := c.accountOf(who)
	if err == nil {
		err = c.deleteAccount(ce, account, who, confirmed)
	}
	if err != nil {
		c.answerAfter(ce, err, "")
	}
}

// deleteAccount says what the deletion of an account would do, does it if that was
// confirmed, or says how far it is.
func (c *Connector) deleteAccount(ce *commands.Event, account mimi.URI, who id.UserID, confirmed bool) error {
	d, err := c.backend.Engine.Deletion(ce.Ctx, account)
	switch {
	case err == nil && d.Done:
		return client.ErrNoAccount
	case err == nil:
		ce.Reply("%s is being deleted. %s", account.Handle(), progress(d.Left, d.Rooms))
		return nil
	case !errors.Is(err, client.ErrNotFound):
		return err
	case !confirmed:
		again := commandDelete + " " + confirmation
		if who != ce.User.MXID {
			again = commandDelete + " " + who.String() + " " + confirmation
		}
		ce.Reply(deletionText, account.Handle(), again)
		return nil
	}
	if d, err = c.backend.Engine.DeleteAccount(ce.Ctx, account); err != nil {
		return err
	}
	ce.Log.Info().Bool("by_admin", who != ce.User.MXID).Msg("An account is being deleted")
	ce.Reply("%s is being deleted. %s You are told how it goes on, and `%s` says how far it is.", account.Handle(), progress(d.Left, d.Rooms), commandDelete)
	return nil
}

// progress says how many rooms an account has left.
func progress(left, rooms int) string { return fmt.Sprintf("It has left %d of %d rooms.", left, rooms) }

// deleting tells a person how far the deletion of their account is.
func (c *Connector) deleting(ctx context.Context, e *client.Event) error {
	return c.tell(ctx, e, e.Account, fmt.Sprintf("%s is being deleted. %s", e.Account.Handle(), progress(e.Count, e.Total)))
}

// deleted tells a person that their account is gone, takes them out of the rooms that
// they may still see, and ends their login.
func (c *Connector) deleted(ctx context.Context, e *client.Event) error {
	if err := c.tell(ctx, e, e.Account, fmt.Sprintf(
		"%s is deleted: all %d rooms are left, and its keys are gone. Copies on the other side stay. Say `login` if you want an address again.", e.Account.Handle(), e.Total)); err != nil {
		return err
	}
	user, err := c.bridge.GetUserByMXID(ctx, c.userOf(e.Account))
	if err != nil {
		return fmt.Errorf("bridge: failed to load the user: %w", err)
	}
	login := user.GetDefaultLogin()
	if login == nil {
		return nil
	}
	if err := c.putOutOfAll(ctx, login, e); err != nil {
		return err
	}
	login.Delete(ctx, status.BridgeState{StateEvent: status.StateLoggedOut}, bridgev2.DeleteOpts{DontCleanupRooms: true})
	return nil
}

// putOutOfAll takes the person of a login out of all portals.
func (c *Connector) putOutOfAll(ctx context.Context, login *bridgev2.UserLogin, e *client.Event) error {
	portals, err := c.bridge.DB.UserPortal.GetAllForLogin(ctx, login.UserLogin)
	if err != nil {
		return fmt.Errorf("bridge: failed to read the portals of a login: %w", err)
	}
	for _, up := range portals {
		portal, err := c.bridge.GetExistingPortalByKey(ctx, up.Portal)
		if err != nil {
			return fmt.Errorf("bridge: failed to load the portal: %w", err)
		}
		if portal == nil || portal.MXID == "" {
			continue
		}
		if err := c.locked(ctx, login, portal.PortalKey, false, func(ctx context.Context, portal *bridgev2.Portal) error {
			return c.putOut(ctx, portal, e, login.UserMXID)
		}); err != nil {
			return err
		}
	}
	return nil
}

// wasDeleted reports whether a person has deleted their account, or is about to: then
// they are not given another one before they ask for it.
func (c *Connector) wasDeleted(ctx context.Context, account mimi.URI) (bool, error) {
	_, err := c.backend.Engine.Deletion(ctx, account)
	if errors.Is(err, client.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}
